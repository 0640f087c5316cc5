"""The formats of the export: what anybody writes into an event stays a value, and comes back as it was."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.audit import AuditAction, commitment
from holdfast.core.leaf import leaf_entry
from holdfast.core.merkle import leaf_hash
from holdfast.export import cef, ocsf
from holdfast.export.config import Format
from holdfast.export.payload import PAYLOADS, line_of
from holdfast.export.receiver import judged
from holdfast.export.record import Record
from holdfast.export.rfc5424 import framed, message
from holdfast.wire.canonical import event_bytes

ROOT = Path(__file__).parents[2]
SCHEMAS = {
    Format.JSON: json.loads((ROOT / "docs/reference/export-record.schema.json").read_text()),
    Format.OCSF: json.loads((ROOT / "docs/reference/ocsf-1.3.0.schema.json").read_text()),
}
CEF_KEYS = json.loads((ROOT / "docs/reference/cef-0.keys.json").read_text())
NASTY = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    [
        "a\nCEF:0|x|y|z|1|n|3|cn1=9",
        "a\r\n<110>1 2026-01-01T00:00:00Z h a - - - {}",
        "|cs1=evil HoldfastLeaf={}",
        "\\|\\= = |",
        "\u2028\u2029\x85\x0b\x0c\x1b[2J\x7f",
        '"}],"records":[',
        "ends in a backslash\\",
        "Zoë ж 漢 🦀",
    ]
)
KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
CONTENT = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)
EVENTS = st.fixed_dictionaries(
    {
        "action": st.sampled_from([action.value for action in AuditAction]),
        "initiator": NASTY,
        "project": st.none() | NASTY,
        "target": st.fixed_dictionaries({"type": NASTY, "id": NASTY}),
        "outcome": st.sampled_from(["succeeded", "refused"]),
        "reason": NASTY,
        "request_id": NASTY,
        "trace_id": NASTY,
        "content": st.dictionaries(KEYS, CONTENT, max_size=4),
    }
)
FORMATS = list(Format)


def record_of(event: dict[str, Any], index: int = 0, previous: bytes | None = None) -> Record:
    identity, moment = UUID(int=index + 1), datetime(2026, 11, 26, 9, 30, 0, 123456, tzinfo=UTC)
    document = {"format": "holdfast.audit-event/1", "id": str(identity), **event}
    content = event_bytes(document)
    salt = index.to_bytes(32, "big")
    entry = leaf_entry(index, identity, moment, commitment(salt, content))
    return Record(
        "example.org/log",
        index,
        previous,
        leaf_hash(entry),
        entry.decode(),
        identity,
        moment,
        salt,
        content.decode(),
        document,
    )


def plain(**more: Any) -> dict[str, Any]:
    return {
        "action": "run.created",
        "initiator": "user:mia",
        "project": "oncology",
        "target": {"type": "run", "id": "7"},
        "outcome": "succeeded",
        "reason": "",
        "request_id": "r",
        "trace_id": "",
        "content": {},
        **more,
    }


@pytest.mark.parametrize("format_", FORMATS)
@given(events=st.lists(EVENTS, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_whatever_stands_in_an_event_is_one_line_and_is_received_as_it_was(
    format_: Format, events: list[dict[str, Any]]
) -> None:
    lines, previous = [], None
    for index, event in enumerate(events):
        record = record_of(event, index, previous)
        lines.append(PAYLOADS[format_](record))
        previous = record.leaf_hash
    for line in lines:
        text = line.decode()
        assert text.splitlines() == [text]
        assert all(character.isprintable() for character in text)
        if format_ is not Format.CEF:
            assert text.isascii()
    under_syslog = [
        message(record_of(event, n), b"", "host").decode() + line.decode()
        for n, (event, line) in enumerate(zip(events, lines, strict=True))
    ]
    for received in ([line.decode() for line in lines], under_syslog):
        found = judged(received)
        assert (found["events"], found["gaps"], found["altered"], found["without_event"]) == (len(events), [], {}, 0)


@pytest.mark.parametrize("format_", [Format.JSON, Format.OCSF])
@given(event=EVENTS)
@settings(max_examples=50, deadline=None)
def test_json_and_ocsf_are_what_their_schemas_say(format_: Format, event: dict[str, Any]) -> None:
    record = record_of(event)
    for each in (record, record.without_content("size")):
        jsonschema.validate(json.loads(PAYLOADS[format_](each)), SCHEMAS[format_], cls=jsonschema.Draft202012Validator)


OTHERS_DO = {"call", "dag", "anonymous_call", "login", "airflow_call", "airflow_command", "airflow_change"}


@pytest.mark.parametrize("action", list(AuditAction))
def test_every_action_has_a_class_and_an_activity_in_ocsf(action: AuditAction) -> None:
    verb = action.value.partition(".")[2]
    assert action.value in ocsf.ACCESS or verb in ocsf.VERBS, f"say in export/ocsf.py what {verb!r} is"
    content = {"subject": "user:olaf", "role": "viewer"}
    event = ocsf.ocsf_of(record_of(plain(action=action.value, content=content)))
    jsonschema.validate(event, SCHEMAS[Format.OCSF], cls=jsonschema.Draft202012Validator)
    # What others do is told by its own name; what we do has one of OCSF's.
    if event["activity_id"] == ocsf.OTHER:
        assert (action.value.partition(".")[0] in OTHERS_DO, event["activity_name"]) == (True, verb)
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]


@pytest.mark.parametrize("key", ["class_uid", "metadata", "time", "severity_id", "type_uid", "activity_id"])
def test_the_schema_of_ocsf_refuses_an_event_without_what_is_required(key: str) -> None:
    event = ocsf.ocsf_of(record_of(plain()))
    del event[key]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, SCHEMAS[Format.OCSF], cls=jsonschema.Draft202012Validator)


@given(event=EVENTS)
@settings(max_examples=80, deadline=None)
def test_cef_has_known_keys_of_known_lengths_and_a_header_of_seven_fields(event: dict[str, Any]) -> None:
    line = cef.cef(record_of(event)).decode()
    header = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    assert header[0] == "CEF:0"
    assert len(header) == 8
    assert header[6] in ("3", "6")
    fields = re.findall(r"(?:^| )(\w+)=((?:[^\\=]|\\.)*)(?= \w+=|$)", header[7])
    assert " ".join(f"{key}={value}" for key, value in fields) == header[7]
    assert len({key for key, _ in fields}) == len(fields)
    for key, value in fields:
        if key.startswith("Holdfast"):
            continue
        known = CEF_KEYS["keys"][key]
        unescaped = re.sub(r"\\(.)", r"\1", value)
        assert re.fullmatch(CEF_KEYS["types"][known["type"]], unescaped, re.DOTALL), (key, value)
        assert len(unescaped) <= known.get("length", 10**9), key


@given(event=EVENTS, host=NASTY)
@settings(max_examples=80, deadline=None)
def test_a_syslog_header_holds_printable_ascii_whatever_stands_in_the_event(event: dict[str, Any], host: str) -> None:
    record = record_of({**event, "action": event["action"]})
    text = message(record, b"PAYLOAD", host).decode()
    found = re.fullmatch(
        r"<(\d{1,3})>1 2026-11-26T09:30:00\.123456Z ([!-~]{1,255}) holdfast - ([!-~]{1,32})"
        r' \[origin software="holdfast" swVersion="[0-9.a-z]+"\]\[meta sequenceId="1"\] PAYLOAD',
        text,
    )
    assert found, text
    assert int(found[1]) == 13 * 8 + (6 if event["outcome"] == "succeeded" else 5)


def test_a_frame_counts_bytes_and_not_characters() -> None:
    assert framed("ж".encode()) == b"2 \xd0\xb6"


@pytest.mark.parametrize("format_", FORMATS)
def test_a_record_that_is_too_large_goes_without_its_event_and_says_so(format_: Format) -> None:
    record = record_of(plain(content={"parameters": "x" * 5000}))
    small = line_of(record, format_, 3000)
    assert len(small) < 3000 < len(line_of(record, format_, 20_000))
    found = judged([small.decode()])
    assert (found["without_event"], found["altered"]) == (1, {})


@pytest.mark.parametrize("format_", FORMATS)
def test_a_record_that_the_sender_found_altered_is_altered_to_the_receiver(format_: Format) -> None:
    line = PAYLOADS[format_](record_of(plain()).without_content("altered"))
    assert "left out: altered" in judged([line.decode()])["altered"][0]
