#!/usr/bin/env python3
"""Tells from what was received alone whether anything of a Holdfast log is missing, doubled or altered.

    python3 receiver.py [--first N] [--checkpoint FILE] received.ndjson …

One file, Python 3.9 or later, standard library only. It reads lines: records in JSON, OCSF or CEF, also under a syslog header, and bodies of
webhooks. It ends with 0 when all is there as it was recorded, else with 1; what came twice and is the same does no harm. Whether the whole
was made anew, only a checkpoint tells that came by another way; verify_proof.py checks who has signed it.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from typing import Any, Iterable, Iterator, Optional

CEF = re.compile(r"CEF:0\|(?:(?:[^\\|]|\\.)*\|){6}(.*)")
FIELD = re.compile(r"(?:^| )(\w+)=((?:[^\\=]|\\.)*)(?= \w+=|$)")
UNESCAPED = {"n": "\n", "r": "\r"}
CEF_NAMES = {"log": "cs1", "previous": "cs2", "leaf_hash": "cs3", "leaf": "HoldfastLeaf", "salt": "HoldfastSalt"}


def distinct(pairs: Any) -> Any:
    """Return an object's members; another reader could take the other of two with one name."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key appears twice")
    return dict(pairs)


def parsed(text: str) -> Any:
    """Return what a JSON text means."""
    return json.loads(text, object_pairs_hook=distinct)


def sha256(*parts: bytes) -> Any:
    """Return the hash of bytes that follow one another."""
    return hashlib.sha256(b"".join(parts))


def records(line: str) -> Iterator[Any]:
    """Yield (evidence, event) of each record in a line; the event is None where it was left out."""
    if (found := CEF.search(line)) and "{" not in line[: found.start()]:
        fields = FIELD.findall(found[1])
        field = {key: re.sub(r"\\(.)", lambda m: UNESCAPED.get(m[1], m[1]), value) for key, value in fields}
        evidence = {name: field.get(key) for name, key in CEF_NAMES.items()}
        yield (
            {**evidence, "index": int(field["cn1"]), "left_out": field.get("HoldfastLeftOut")},
            parsed(field.get("HoldfastContent", "null")),
        )
        return
    document = parsed(line[line.index("{") :])
    for each in document.get("records", ()):
        yield from records(each if isinstance(each, str) else json.dumps(each))
    if "class_uid" in document:
        yield document["unmapped"]["ledger"], parsed(document.get("raw_data", "null"))
    elif "records" not in document:
        yield document["ledger"], document["event"]


def objection(evidence: Any, event: Any) -> Optional[str]:
    """Return what is wrong with a record by itself, None where nothing is."""
    leaf = parsed(evidence["leaf"])
    hashed = "sha256:" + sha256(b"\0", evidence["leaf"].encode()).hexdigest()
    if (hashed, leaf["index"]) != (evidence["leaf_hash"], evidence["index"]):
        return "its entry is not the one that is named"
    if event is None:
        return (
            None
            if evidence["left_out"] in ("size", "erased", "disposed")
            else f"its event is left out: {evidence['left_out']}"
        )
    canonical = json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    commitment = "sha256:" + sha256(bytes.fromhex(evidence["salt"]), canonical).hexdigest()
    return None if (commitment, event["id"]) == (leaf["commitment"], leaf["event"]) else "its event is another one"


def root_of(leaves: Iterable[str]) -> Optional[str]:
    """Return the root of the Merkle tree over leaf hashes, as a checkpoint has it: RFC 9162 section 2.1."""
    stack: list[bytes] = []
    for count, leaf in enumerate(leaves, 1):
        stack.append(bytes.fromhex(leaf[7:]))
        for _ in range((count & -count).bit_length() - 1):
            stack[-2:] = [sha256(b"\1", *stack[-2:]).digest()]
    while len(stack) > 1:
        stack[-2:] = [sha256(b"\1", *stack[-2:]).digest()]
    return base64.b64encode(stack[0]).decode() if stack else None


def judged(lines: Iterable[str], first: int = 0, note: Optional[str] = None) -> dict[str, Any]:
    """Return what the lines hold, and what is wrong with it; a gap is where no record is that holds."""
    seen: dict[int, Any] = {}
    altered: dict[Any, str] = {}
    gaps, log, doubled, last, bare = [], None, 0, first - 1, 0
    for number, line in enumerate(lines, 1):
        try:
            for evidence, event in records(line) if line.strip() else ():
                log, index = log or evidence["log"], int(evidence["index"])
                hashes = (evidence["previous"], evidence["leaf_hash"])
                wrong = objection(evidence, event) or (evidence["log"] != log and "it is another log's")
                if wrong or seen.get(index, hashes) != hashes:
                    altered[index] = wrong or "it came with other hashes before"
                    continue
                doubled, bare = doubled + (index in seen), bare + (event is None)
                seen[index] = hashes
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            altered[f"line {number}"] = f"it is no record: {error!r}"
    size, root = (int(note.split("\n")[1]), note.split("\n")[2]) if note else (0, None)
    for index in [*sorted(seen), max([size, *(n + 1 for n in seen)])]:
        if index > last + 1:
            gaps.append([last + 1, index - 1])
        elif index in seen and seen[index][0] != seen.get(index - 1, (None, seen[index][0] if index else None))[1]:
            altered.setdefault(index, "it does not follow the event before it")
        last = index
    if note and (log not in (None, note.split("\n")[0]) or not all(n in seen for n in range(size))):
        altered["checkpoint"] = "it is another log's, or not every event under it is here"
    elif note and root_of(seen[n][1] for n in range(size)) != root:
        altered["checkpoint"] = "the events are not those under it"
    found = {"log": log, "events": len(seen), "first": min(seen, default=None), "last": max(seen, default=None)}
    return {**found, "gaps": gaps, "doubled": doubled, "without_event": bare, "altered": altered}


def main() -> int:
    """Judge the files that are named, and say so."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=argparse.FileType(encoding="utf-8", errors="replace"))
    parser.add_argument("--first", type=int, default=0, help="the index with which the stream began")
    parser.add_argument("--checkpoint", type=argparse.FileType(encoding="utf-8"))
    chosen = parser.parse_args()
    note = chosen.checkpoint.read() if chosen.checkpoint else None
    found = judged((line for file in chosen.files for line in file), chosen.first, note)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 1 if found["gaps"] or found["altered"] else 0


if __name__ == "__main__":
    sys.exit(main())
