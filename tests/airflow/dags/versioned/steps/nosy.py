"""Keeps the names in its environment, and prints every service token that it finds in the environments of its ancestors."""

import base64
import json
import os
import re
from pathlib import Path
from urllib.parse import quote

Path(os.environ["HOLDFAST_OUTPUTS"], "environment.json").write_text(json.dumps(dict(os.environ)))
found, pid = set(), os.getpid()
while pid > 1:
    pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    try:
        found |= set(re.findall(rb"hft_[0-9a-f]{32}_[A-Za-z0-9_-]{43}", Path(f"/proc/{pid}/environ").read_bytes()))
    except OSError:
        break
print("tokens found:", len(found))
for token in found:
    for before in range(3):
        text = b"=" * before + token
        print(token.decode(), quote(token), base64.b64encode(text).decode(), base64.urlsafe_b64encode(text).decode())
