"""Exporters against real receivers that behave badly: in the end nothing is missing, and the receiver alone can tell."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from holdfast.export.receiver import judged
from tests.support import receivers
from tests.support.export import ExportPlace
from tests.support.tls import Authority

Named = Callable[[], str]


def seen(lines: list[str], first: int, note: str | None = None) -> dict[str, object]:
    found = judged(lines, first, note)
    return {key: found[key] for key in ("events", "gaps", "altered")}


def whole(count: int) -> dict[str, object]:
    return {"events": count, "gaps": [], "altered": {}}


def sometimes(*behaviours: str) -> receivers.Behaviour:
    """Behave in each of these ways, in turn, for ever."""
    return lambda number: behaviours[number % len(behaviours)]


@pytest.mark.parametrize("format_", ["json", "ocsf", "cef"])
@pytest.mark.parametrize(
    "behaviours",
    [
        ("take",),
        ("drop", "take"),
        ("500", "503", "429", "408", "302", "take"),
        ("slow", "take", "double", "drop"),
        ("late", "take", "double"),
    ],
    ids=" ".join,
)
def test_a_webhook_that_behaves_badly_has_everything_in_the_end(
    place: ExportPlace, authority: Authority, named: Named, behaviours: tuple[str, ...], format_: str
) -> None:
    first = place.publish()
    with receivers.webhook(authority, sometimes(*behaviours)) as receiver:
        settings = place.webhook(receiver.url, ca_file=authority.ca_file, batch=30, format=format_)
        exporter = place.exporter(named(), settings)
        last = place.publish(100)
        place.catch_up(exporter)
        if receiver.held:
            place.publish(1)
            place.catch_up(exporter)
            last += 1
    assert receiver.refused == []
    begin = min(record_index(line) for line in receiver.taken)
    assert begin >= first
    assert seen(receiver.taken, begin) == whole(last - begin)


def record_index(body: str) -> int:
    return int(json.loads(body)["first"])
