"""The syslog sinks against rsyslog, which is not ours."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from holdfast.export.receiver import judged, records
from tests.support.rsyslog import Rsyslog, rsyslog

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.export import ExportPlace
    from tests.support.tls import Authority

Named = Callable[[], str]


@pytest.fixture(scope="module")
def receiver(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rsyslog]:
    with rsyslog(authority, tmp_path_factory.mktemp("rsyslog")) as receiver:
        yield receiver


@pytest.fixture
def shown(authority: Authority) -> Path:
    return authority.issue("exporter")


def until_whole(receiver: Rsyslog, first: int, count: int) -> dict[str, object]:
    """Return what is taken once there is so much of it; rsyslog writes a moment after it has read."""
    deadline = time.monotonic() + 30
    while True:
        found = judged([line for line in receiver.taken if _index_in(line) >= first], first)
        if found["events"] >= count or time.monotonic() > deadline:
            return {key: found[key] for key in ("events", "gaps", "altered")}
        time.sleep(0.05)


def _index_in(line: str) -> int:
    [(evidence, _)] = records(line)
    return int(evidence["index"])


@pytest.mark.parametrize("format_", ["json", "ocsf", "cef"])
@pytest.mark.parametrize("protocol", ["tls", "relp"])
def test_rsyslog_has_everything_as_it_was_recorded(
    place: ExportPlace, authority: Authority, receiver: Rsyslog, named: Named, shown: Path, protocol: str, format_: str
) -> None:
    first, port = place.publish(), getattr(receiver, protocol)
    settings = place.syslog(
        port, ca_file=authority.ca_file, certificate_file=shown, batch=300, protocol=protocol, format=format_
    )
    exporter = place.exporter(named(), settings)
    last = place.publish(700)
    place.catch_up(exporter)
    exporter._sink.close()
    assert until_whole(receiver, first, last - first) == {"events": last - first, "gaps": [], "altered": {}}


def test_what_rsyslog_has_acknowledged_it_has_although_it_was_ended_and_the_rest_comes_again(
    place: ExportPlace, authority: Authority, receiver: Rsyslog, named: Named, shown: Path
) -> None:
    first, name = place.publish(), named()
    settings = place.syslog(
        receiver.relp, ca_file=authority.ca_file, certificate_file=shown, batch=50, protocol="relp", timeout_s=5
    )
    exporter = place.exporter(name, settings)
    last = place.publish(400)
    for number in range(8):
        if number in (2, 5):
            receiver.stop(signal.SIGTERM)
            exporter.step()
            receiver.start()
        exporter.step()
    place.catch_up(exporter)
    exporter._sink.close()
    assert until_whole(receiver, first, last - first) == {"events": last - first, "gaps": [], "altered": {}}
