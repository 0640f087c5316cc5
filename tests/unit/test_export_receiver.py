"""The receiver's own check: everything that can be done to a stream on its way, and what it says of it."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.core.merkle import Frontier
from holdfast.core.note import encoded
from holdfast.export import receiver
from holdfast.export.config import Format
from holdfast.export.payload import PAYLOADS
from tests.unit.test_export_formats import plain, record_of

COUNT = 20
Lines = list[str]


def stream(format_: Format, count: int = COUNT) -> Lines:
    lines, previous = [], None
    for index in range(count):
        record = record_of(plain(content={"parameters": {"a": index}, "note": "Zoë = |x|\\ "}), index, previous)
        previous = record.leaf_hash
        lines.append(PAYLOADS[format_](record).decode())
    return lines


def note_of(count: int = COUNT) -> str:
    frontier, previous = Frontier(), None
    for index in range(count):
        record = record_of(plain(content={"parameters": {"a": index}, "note": "Zoë = |x|\\ "}), index, previous)
        previous = record.leaf_hash
        list(frontier.append(record.leaf_hash))
    return f"example.org/log\n{count}\n{encoded(frontier.root())}\n\n— example.org/log AAAA\n"


def edited(path: tuple[str, ...], value: Any) -> Callable[[Lines], Lines]:
    def edit(lines: Lines) -> Lines:
        document = json.loads(lines[7])
        inner = document
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        return [*lines[:7], json.dumps(document), *lines[8:]]

    return edit


def made_anew(lines: Lines) -> Lines:
    """Return a stream in which an event was edited by somebody who hashes everything again."""
    record = record_of(plain(initiator="user:eve", content={}), 7, record_of_line(lines[6]))
    after = json.loads(lines[8])
    after["ledger"]["previous"] = "sha256:" + record.leaf_hash.hex()
    return [*lines[:7], PAYLOADS[Format.JSON](record).decode(), json.dumps(after), *lines[9:]]


def record_of_line(line: str) -> bytes:
    return bytes.fromhex(json.loads(line)["ledger"]["leaf_hash"][7:])


ATTACKS: dict[str, tuple[Callable[[Lines], Lines], list[Any], list[list[int]]]] = {
    "an event is left out": (lambda lines: lines[:7] + lines[8:], [], [[7, 7]]),
    "the beginning is left out": (lambda lines: lines[3:], [], [[0, 2]]),
    "an event is edited": (edited(("event", "initiator"), "user:eve"), [7], [[7, 7]]),
    "an event gets another content": (edited(("event", "content"), {}), [7], [[7, 7]]),
    "an event is taken out": (edited(("event",), None), [7], [[7, 7]]),
    "a leaf is edited": (edited(("ledger", "leaf"), "{}"), ["line 8"], [[7, 7]]),
    "a leaf hash is edited": (edited(("ledger", "leaf_hash"), "sha256:" + "0" * 64), [7], [[7, 7]]),
    "a previous hash is edited": (edited(("ledger", "previous"), "sha256:" + "0" * 64), [7], []),
    "an index is edited": (edited(("ledger", "index"), 70), [70], [[7, 7]]),
    "an index is no number": (edited(("ledger", "index"), "x"), ["line 8"], [[7, 7]]),
    "a salt is edited": (edited(("ledger", "salt"), "00" * 32), [7], [[7, 7]]),
    "another log's event is put in": (edited(("ledger", "log"), "example.org/other"), [7], [[7, 7]]),
    "a line is cut": (lambda lines: [*lines[:7], lines[7][:-5], *lines[8:]], ["line 8"], [[7, 7]]),
    "a line is no record": (lambda lines: [*lines, "hello"], [f"line {COUNT + 1}"], []),
    "a key appears twice": (
        lambda lines: [*lines[:7], lines[7].replace('"initiator":', '"initiator":"user:eve","initiator":'), *lines[8:]],
        ["line 8"],
        [[7, 7]],
    ),
    "one index comes with two events": (lambda lines: [*lines[:8], made_anew(lines)[7], *lines[8:]], [7], []),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_noticed_and_its_place_is_named(attack: str) -> None:
    change, altered, gaps = ATTACKS[attack]
    found = receiver.judged(change(stream(Format.JSON)))
    assert (sorted(found["altered"], key=str), found["gaps"]) == (altered, gaps)


@pytest.mark.parametrize("format_", list(Format))
@pytest.mark.parametrize(
    "arrival",
    [
        lambda lines: lines,
        lambda lines: [line for line in lines for _ in range(3)],
        lambda lines: random.Random(3).sample(lines, len(lines)),
        lambda lines: ["", *lines, ""],
    ],
    ids=["in order", "three times", "in another order", "with empty lines"],
)
def test_what_is_whole_is_said_to_be_whole_however_it_arrived(
    format_: Format, arrival: Callable[[Lines], Lines]
) -> None:
    found = receiver.judged(arrival(stream(format_)), 0, note_of())
    assert (found["events"], found["gaps"], found["altered"]) == (COUNT, [], {})


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 13, COUNT])
def test_the_root_is_the_checkpoints(count: int) -> None:
    assert receiver.judged(stream(Format.JSON, count), 0, note_of(count))["altered"] == {}
    if count > 1:
        assert "checkpoint" in receiver.judged(stream(Format.JSON, count - 1), 0, note_of(count))["altered"]


def test_a_stream_that_was_hashed_anew_is_noticed_by_a_checkpoint_alone() -> None:
    lines = made_anew(stream(Format.JSON))
    assert receiver.judged(lines)["altered"] == {}
    assert list(receiver.judged(lines, 0, note_of())["altered"]) == ["checkpoint"]


@pytest.mark.parametrize("format_", list(Format))
def test_no_byte_of_a_line_can_be_changed_unnoticed_where_it_means_something(format_: Format) -> None:
    lines, chance = stream(format_, 3), random.Random(5)
    recorded = [receiver_event(line) for line in lines]
    for _ in range(400):
        place = chance.randrange(len(lines[1]))
        changed = (
            lines[1][:place] + chr((ord(lines[1][place]) ^ 1 << chance.randrange(7)) or 48) + lines[1][place + 1 :]
        )
        found = receiver.judged([lines[0], changed, lines[2]])
        if not found["altered"] and not found["gaps"]:
            # What is beside the evidence may change; the event that was recorded may not.
            assert receiver_event(changed) == recorded[1]


def receiver_event(line: str) -> Any:
    return next(iter(receiver.records(line)))[1]


def test_the_program_has_at_most_a_hundred_lines_of_code_and_needs_nothing() -> None:
    path = Path(receiver.__file__)
    tree = ast.parse(path.read_text())
    documented = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]
    docstrings = sum(node.body[0].end_lineno - node.body[0].lineno + 1 for node in documented)
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#!")]
    assert len(lines) - docstrings <= 100
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported <= set(sys.stdlib_module_names)


def test_as_a_program_it_says_so_and_ends_with_0_or_1(tmp_path: Path) -> None:
    whole, note = tmp_path / "whole.ndjson", tmp_path / "checkpoint"
    whole.write_text("\n".join(stream(Format.OCSF)) + "\n")
    note.write_text(note_of())
    command = [sys.executable, "-I", "-S", receiver.__file__, str(whole), "--checkpoint", str(note)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert (done.returncode, json.loads(done.stdout)["events"]) == (0, COUNT), done.stderr
    whole.write_text("\n".join(stream(Format.OCSF)[1:]) + "\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert (done.returncode, json.loads(done.stdout)["gaps"]) == (1, [[0, 0]])


def test_a_byte_that_is_no_text_alters_its_line_and_no_other(tmp_path: Path) -> None:
    received = [line.encode() for line in stream(Format.JSON)]
    received[7] = received[7].replace(b"Zo", b"Z\xff")
    (tmp_path / "received").write_bytes(b"\n".join(received))
    done = subprocess.run(
        [sys.executable, receiver.__file__, str(tmp_path / "received")], capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)
    assert (done.returncode, found["gaps"], len(found["altered"])) == (1, [[7, 7]], 1), done.stderr
