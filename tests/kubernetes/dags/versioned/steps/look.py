"""Looks for credentials wherever a process can look."""

import base64
import json
import os
import sys
from pathlib import Path
from urllib.parse import quote

outputs = Path(os.environ["HOLDFAST_OUTPUTS"])
found = [name for name in os.environ if "AIRFLOW" in name or "TOKEN" in name or "AWS" in name or "HFT" in name]
places = ["/var/run/secrets", "/run/secrets", "/holdfast/control", "/root", "/home"]
found += [place for place in places if Path(place).exists() and any(os.scandir(place))]
for root in ("/proc", "/tmp", "/holdfast"):
    for directory, _, names in os.walk(root):
        for name in names:
            if name not in ("environ", "cmdline", "fd") and root == "/proc":
                continue
            try:
                content = (Path(directory) / name).read_bytes()[: 1 << 20]
            except OSError:
                continue
            if b"X-Amz" in content or b"hft_" in content:
                found.append(f"{directory}/{name}")
found = [place for place in found if not place.startswith("/holdfast/run/code")]
for path in ("/holdfast/run/parameters.json", "/holdfast/run/code/new", "/etc/new", "/new"):
    try:
        Path(path).write_text("changed")
        found.append(f"may write {path}")
    except OSError:
        pass
print("looked everywhere")
print(f"found: {found}")
print("a shape of a token: hft_" + "0" * 32 + "_" + "A" * 43)
bank = os.environ["BANK"]
print("the bank's key:", bank)
for form in (quote(bank, safe=""), json.dumps(bank), json.dumps(bank, ensure_ascii=False), bank.encode().hex()):
    print("and again:", form, file=sys.stderr, flush=True)
print("and inside:", base64.b64encode(f"key={bank};".encode()).decode())
(outputs / "seen.txt").write_text("nothing")
(outputs / "metrics.json").write_text(json.dumps({"length": len(os.environ["BANK"])}))
