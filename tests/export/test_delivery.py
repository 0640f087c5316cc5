"""Exporters against real receivers that behave badly: in the end nothing is missing, and the receiver alone can tell."""

from __future__ import annotations

import json
import os
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from holdfast.core.audit import commitment
from holdfast.core.errors import InvalidRequest, StateConflict
from holdfast.core.tiles import bundle_path
from holdfast.export.cursor import dead_letters_of
from holdfast.export.exporter import REFUSALS
from holdfast.export.receiver import judged
from holdfast.store.tables import AuditEventRow
from tests.support import receivers
from tests.support.events import event_row
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
    assert seen(receiver.taken, first) == whole(last - first)


@pytest.mark.parametrize("format_", ["json", "ocsf", "cef"])
@pytest.mark.parametrize(
    "behaviours", [("take",), ("drop", "take"), ("slow", "drop", "take"), ("late", "double")], ids=" ".join
)
def test_a_syslog_receiver_that_behaves_badly_has_everything_in_the_end(
    place: ExportPlace, authority: Authority, named: Named, behaviours: tuple[str, ...], format_: str
) -> None:
    first = place.publish()
    with receivers.syslog(authority, sometimes(*behaviours)) as receiver:
        settings = place.syslog(receiver.port, ca_file=authority.ca_file, batch=40, format=format_)
        exporter = place.exporter(named(), settings)
        last = place.publish(160)
        place.catch_up(exporter)
        if receiver.held:
            last = place.publish(1)
            place.catch_up(exporter)
    assert seen(receiver.taken, first) == whole(last - first)


def test_what_a_receiver_throws_away_that_ends_in_order_is_a_gap_that_it_reports_and_that_a_replay_fills(
    place: ExportPlace, authority: Authority, named: Named
) -> None:
    first, name = place.publish(), named()
    with receivers.syslog(authority, sometimes("early", "take", "forget")) as receiver:
        settings = place.syslog(receiver.port, ca_file=authority.ca_file, batch=40)
        exporter = place.exporter(name, settings)
        last = place.publish(160)
        place.catch_up(exporter)
        replayer = place.replayer(name, settings)
        for _ in range(20):
            found = judged(receiver.taken, first)
            gaps = [*found["gaps"], *([[found["last"] + 1, last - 1]] if found["last"] + 1 < last else [])]
            for begin, end in gaps:
                replayer.send(begin, end)
    assert seen(receiver.taken, first) == whole(last - first)


@pytest.mark.parametrize("batch", [7, 400])
@pytest.mark.parametrize("behaviours", [("take",), (*["take"] * 11, "drop"), (*["take"] * 13, "500")], ids=len)
def test_a_relp_receiver_acknowledges_each_message_and_what_it_does_not_comes_again(
    place: ExportPlace, authority: Authority, named: Named, behaviours: tuple[str, ...], batch: int
) -> None:
    first = place.publish()
    calls = iter(behaviours * 3)
    with receivers.relp(authority, lambda _: next(calls, "take")) as receiver:
        settings = place.syslog(receiver.port, ca_file=authority.ca_file, batch=batch, protocol="relp")
        exporter = place.exporter(named(), settings)
        last = place.publish(300)
        place.catch_up(exporter)
        exporter._sink.close()
    assert seen(receiver.taken, first) == whole(last - first)


def test_files_are_segments_that_follow_one_another_with_the_checkpoint_beside_them(
    place: ExportPlace, named: Named, tmp_path: Path
) -> None:
    first = place.publish()
    exporter = place.exporter(named(), place.files(tmp_path / "out"))
    last = place.publish(250)
    place.catch_up(exporter)
    segments = sorted((tmp_path / "out").glob("*.ndjson"))
    assert [path.stem for path in segments] == [
        f"{begin:020}-{min(begin + 99, last - 1):020}" for begin in range(first, last, 100)
    ]
    assert seen(lines_of(tmp_path / "out"), first) == whole(last - first)
    assert (tmp_path / "out" / "checkpoint").read_text() == place.note
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"checkpoint", *(path.name for path in segments)}
    assert all(path.stat().st_mode & 0o007 == 0 for path in segments)


def lines_of(directory: Path) -> list[str]:
    return [line for path in sorted(directory.glob("*.ndjson")) for line in path.read_text().splitlines()]


def test_the_whole_log_is_proved_by_a_checkpoint_that_came_by_another_way(
    place: ExportPlace, named: Named, tmp_path: Path
) -> None:
    exporter = place.exporter(named(), place.files(tmp_path, begin="first"))
    size = place.publish(10)
    place.catch_up(exporter)
    lines = lines_of(tmp_path)
    assert seen(lines, 0, place.note) == whole(size)
    made_anew = place.note.split("\n")
    made_anew[2] = "A" * 43 + "="
    assert "checkpoint" in judged(lines, 0, "\n".join(made_anew))["altered"]
    cut_off = judged(lines[:-1], 0, place.note)
    assert (cut_off["gaps"], "checkpoint" in cut_off["altered"]) == ([[size - 1, size - 1]], True)


def test_what_a_receiver_forgets_it_reports_as_a_gap_and_gets_by_a_replay_of_that_range(
    place: ExportPlace, authority: Authority, named: Named
) -> None:
    first, name = place.publish(), named()
    with receivers.webhook(authority, lambda number: "forget" if number in (1, 3) else "take") as receiver:
        settings = place.webhook(receiver.url, ca_file=authority.ca_file, batch=20)
        exporter = place.exporter(name, settings)
        last = place.publish(100)
        place.catch_up(exporter)
        found = judged(receiver.taken, first)
        assert found["gaps"] == [[first + 20, first + 39], [first + 60, first + 79]]
        cursor = place.status(name).cursor
        for begin, end in found["gaps"]:
            place.replayer(name, settings).send(begin, end)
        assert place.status(name).cursor == cursor
    assert seen(receiver.taken, first) == whole(last - first)
    assert events_of(place, "export_sink.replayed", name)[-1]["ranges"] == [[first + 60, first + 79]]


def events_of(place: ExportPlace, action: str, target: str) -> list[dict[str, object]]:
    with place.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT content FROM audit_event WHERE action = :action AND target_id = :target ORDER BY id"),
            {"action": action, "target": target},
        )
        return [json.loads(row.content)["content"] for row in rows]


def test_a_batch_that_is_refused_for_good_is_a_dead_letter_and_the_rest_goes_on_in_order(
    place: ExportPlace, authority: Authority, named: Named
) -> None:
    first, name = place.publish(), named()
    answers = {1: "400", 2: "413"}
    with receivers.webhook(authority, lambda number: answers.get(number, "take")) as receiver:
        settings = place.webhook(receiver.url, ca_file=authority.ca_file, batch=20)
        exporter = place.exporter(name, settings)
        last = place.publish(100)
        place.catch_up(exporter)
        assert judged(receiver.taken, first)["gaps"] == [[first + 20, first + 59]]
        letters = dead_letters_of(place.engine, name)
        assert [(letter.first, letter.last) for letter in letters] == [
            (first + 20, first + 39),
            (first + 40, first + 59),
        ]
        assert [letter.reason.rpartition(" ")[2] for letter in letters] == ["400", "413"]
        assert place.status(name).dead_letters == 2

        answers |= {receiver.calls: "422"}
        sent, refused = place.replayer(name, settings).send_dead_letters()
        assert sent is not None
        assert (sent.ranges, [letter.id for letter in refused]) == ([(first + 20, first + 59)], [letters[0].id])
        assert place.status(name).dead_letters == 1
        place.replayer(name, settings).send_dead_letters()
        assert place.status(name).dead_letters == 0
        assert place.replayer(name, settings).send_dead_letters() == (None, [])
    assert seen(receiver.taken, first) == whole(last - first)


@pytest.mark.parametrize("status", ["401", "404"])
def test_a_receiver_that_refuses_everything_is_asked_again_and_keeps_its_order(
    place: ExportPlace, authority: Authority, named: Named, status: str
) -> None:
    first, name = place.publish(), named()
    is_broken = True
    with receivers.webhook(authority, lambda _: status if is_broken else "take") as receiver:
        settings = place.webhook(receiver.url, ca_file=authority.ca_file, batch=10)
        exporter = place.exporter(name, settings)
        last = place.publish(100)
        for _ in range(20):
            exporter.step()
        found = place.status(name)
        assert (found.dead_letters, found.cursor) == (REFUSALS, first + 10 * REFUSALS)
        assert status in found.error
        assert found.failing_since is not None
        is_broken = False
        place.catch_up(exporter)
        place.replayer(name, settings).send_dead_letters()
    assert seen(receiver.taken, first) == whole(last - first)
    assert place.status(name).error == ""


def test_a_receiver_that_stays_away_for_72_hours_gets_everything_that_was_written_meanwhile(
    place: ExportPlace, authority: Authority, named: Named
) -> None:
    first, name = place.publish(), named()
    port = receivers.free_port()
    settings = place.webhook(
        f"https://localhost:{port}/hook", ca_file=authority.ca_file, retry_first_s=1, retry_longest_s=600
    )
    exporter = place.exporter(name, settings)
    away, steps = timedelta(0), 0
    place.publish(1)
    while away < timedelta(hours=72):
        wait = exporter.step()
        assert wait <= timedelta(seconds=600)
        away += wait
        steps += 1
        if not steps % 50:
            place.publish(100)
    found = place.status(name)
    assert "does not answer" in found.error
    assert found.behind == place.publish() - first
    assert 430 < steps < 900  # a try in five to ten minutes, and no storm
    with receivers.webhook(authority, port=port) as receiver:
        place.catch_up(exporter)
    last = place.publish()
    assert last - first > 800
    assert seen(receiver.taken, first) == whole(last - first)
    assert place.status(name).failing_since is None


def test_who_writes_events_does_not_wait_for_a_receiver_that_hangs(
    place: ExportPlace, authority: Authority, named: Named
) -> None:
    released = threading.Event()

    def hang(_: int) -> str:
        released.wait(20)
        return "take"

    with receivers.webhook(authority, hang) as receiver:
        exporter = place.exporter(named(), place.webhook(receiver.url, ca_file=authority.ca_file, timeout_s=30))
        place.publish(10)
        working = threading.Thread(target=exporter.step)
        working.start()
        until(lambda: receiver.calls > 0 or not working.is_alive())
        began = time.monotonic()
        place.publish(200)
        with place.engine.connect() as connection:
            held = connection.execute(
                text(
                    "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.pid <> pg_backend_pid()"
                    " AND c.relname IN ('audit_event', 'ledger_leaf', 'ledger_head', 'ledger_checkpoint', 'export_sink')"
                )
            ).scalar()
        took = time.monotonic() - began
        assert working.is_alive()
        released.set()
        working.join()
    assert held == 0
    assert took < 10


def test_nobody_is_believed_but_whom_the_authority_has_signed_for_that_name(
    place: ExportPlace, authority: Authority, named: Named, tmp_path: Path
) -> None:
    others = Authority.make(tmp_path / "others")
    for authority_of_receiver, name in ((others, "localhost"), (authority, "other.example.org")):
        with receivers.webhook(authority_of_receiver, name=name) as receiver:
            sink = named()
            exporter = place.exporter(sink, place.webhook(receiver.url, ca_file=authority.ca_file))
            place.publish(1)
            assert exporter.step() > timedelta(0)
            assert "certificate is not trusted" in place.status(sink).error
            assert receiver.taken == []
    with receivers.syslog(others) as receiver:
        sink = named()
        exporter = place.exporter(sink, place.syslog(receiver.port, ca_file=authority.ca_file))
        place.publish(1)
        exporter.step()
        assert "certificate is not trusted" in place.status(sink).error
        assert receiver.taken == []


def test_a_receiver_may_ask_for_a_certificate(
    place: ExportPlace, authority: Authority, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = authority.server_context()
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(authority.ca_file)
    monkeypatch.setattr(Authority, "server_context", lambda *_: asking)
    shown = authority.issue("exporter")
    first = place.publish()
    with receivers.relp(authority) as receiver:
        without, with_one = named(), named()
        exporters = [
            place.exporter(without, place.syslog(receiver.port, ca_file=authority.ca_file, protocol="relp")),
            place.exporter(
                with_one,
                place.syslog(receiver.port, ca_file=authority.ca_file, protocol="relp", certificate_file=shown),
            ),
        ]
        last = place.publish(5)
        for exporter in exporters:
            exporter.step()
            exporter._sink.close()
    assert place.status(without).behind > 0
    assert place.status(with_one).behind == 0
    assert seen(receiver.taken, first + 1)["gaps"] == []
    assert last > first


def test_another_key_than_the_receivers_signs_nothing_that_it_takes(
    place: ExportPlace, authority: Authority, named: Named, tmp_path: Path
) -> None:
    key, name = tmp_path / "other.key", named()
    key.write_bytes(b"another key for the tests that is long enough")
    key.chmod(0o600)
    first = place.publish()
    with receivers.webhook(authority) as receiver:
        exporter = place.exporter(name, place.webhook(receiver.url, ca_file=authority.ca_file, key_file=key))
        last = place.publish(10)
        exporter.step()
        assert (receiver.taken, receiver.refused) == ([], ["signature"])
        key.write_bytes(receivers.KEY)  # a new key is used as soon as it is there
        place.replayer(name, place.webhook(receiver.url, ca_file=authority.ca_file)).send_dead_letters()
        key.chmod(0o644)
        place.publish(1)
        exporter.step()
        assert "everybody on this machine may read" in place.status(name).error
        key.chmod(0o600)
        place.catch_up(exporter)
    assert seen(receiver.taken, first)["gaps"] == []
    assert last > first


def test_errors_hold_neither_the_path_of_a_url_nor_a_key(place: ExportPlace, named: Named, tmp_path: Path) -> None:
    secret = tmp_path / "authorization"
    secret.write_text("Splunk 7f3c-secret")
    secret.chmod(0o600)
    name = named()
    url = f"https://localhost:{receivers.free_port()}/hook/path-that-is-a-secret"
    exporter = place.exporter(name, place.webhook(url, authorization_file=secret))
    place.publish(1)
    exporter.step()
    said = place.status(name).model_dump_json()
    assert "does not answer" in said
    for hidden in ("path-that-is-a-secret", "7f3c", receivers.KEY.decode()):
        assert hidden not in said


def test_an_authorization_comes_from_a_file(
    place: ExportPlace, authority: Authority, named: Named, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "authorization"
    secret.write_text("Splunk 7f3c-secret\n")
    secret.chmod(0o600)
    with receivers.webhook(authority) as receiver:
        exporter = place.exporter(
            named(), place.webhook(receiver.url, ca_file=authority.ca_file, authorization_file=secret)
        )
        place.publish(1)
        exporter.step()
    assert receiver.authorizations == ["Splunk 7f3c-secret"]


def test_a_paused_sink_gets_nothing_and_loses_nothing(place: ExportPlace, authority: Authority, named: Named) -> None:
    first, name = place.publish(), named()
    with receivers.webhook(authority) as receiver:
        exporter = place.exporter(name, place.webhook(receiver.url, ca_file=authority.ca_file))
        place.operations.pause(name, "the receiver is moved")
        last = place.publish(10)
        exporter.step()
        assert receiver.calls == 0
        assert place.status(name).paused_at is not None
        place.operations.resume(name)
        place.catch_up(exporter)
        last = place.publish()
        place.catch_up(exporter)
    assert seen(receiver.taken, first) == whole(last - first)
    assert events_of(place, "export_sink.paused", name) == events_of(place, "export_sink.resumed", name)


def test_an_event_that_was_changed_after_it_was_published_goes_without_content_and_the_receiver_is_told(
    place: ExportPlace, authority: Authority, named: Named, owner_sql: object
) -> None:
    first, name = place.publish(), named()
    with receivers.webhook(authority) as receiver:
        exporter = place.exporter(name, place.webhook(receiver.url, ca_file=authority.ca_file))
        last = place.publish(10)
        chosen = f"(SELECT event_id FROM ledger_leaf WHERE index IN ({last - 3}, {last - 2}))"
        forged = "replace(content, 'user:mia', 'user:eve')"
        for statement in (
            "ALTER TABLE audit_event DISABLE TRIGGER USER",
            f"CREATE TABLE kept AS SELECT * FROM audit_event WHERE id IN {chosen}",
            (
                f"UPDATE audit_event SET content = {forged}, commitment = sha256(salt || convert_to({forged}, 'UTF8'))"
                f" WHERE id = (SELECT event_id FROM ledger_leaf WHERE index = {last - 3})"
            ),
            f"DELETE FROM audit_event WHERE id = (SELECT event_id FROM ledger_leaf WHERE index = {last - 2})",
        ):
            owner_sql.execute(text(statement))
        place.catch_up(exporter)
        for statement in (
            f"DELETE FROM audit_event WHERE id IN {chosen}",
            "INSERT INTO audit_event SELECT * FROM kept",
            "DROP TABLE kept",
            "ALTER TABLE audit_event ENABLE TRIGGER USER",
        ):
            owner_sql.execute(text(statement))
    found = judged(receiver.taken, first)
    assert (found["gaps"], sorted(found["altered"])) == (
        [[last - 3, last - 2]],
        [last - 3, last - 2],
    )
    assert "user:eve" not in "".join(receiver.taken)


FORGED = '{"format":"holdfast.export-record/1","ledger":{},"event":null}'


@pytest.mark.parametrize("format_", ["json", "ocsf", "cef"])
def test_what_somebody_writes_into_the_table_that_is_no_event_neither_stops_the_export_nor_forges_a_record(
    place: ExportPlace, authority: Authority, named: Named, format_: str
) -> None:
    first, name = place.publish(), named()
    contents = [
        "garbage",
        "null",
        "[]",
        f"{{}}}},{FORGED},{{",
        '{"id":1}',
        "[" * 900 + "]" * 900,
        event_row()["content"].replace('"action":', '"action":"run.created","action":'),
        event_row()["content"].replace('"target":{', '"target":[{').replace('},"trace_id"', '}],"trace_id"'),
        event_row()["content"],  # of another id
    ]
    with receivers.webhook(authority) as receiver:
        exporter = place.exporter(
            name, place.webhook(receiver.url, ca_file=authority.ca_file, format=format_, limit_bytes=16 << 20)
        )
        place.publish(3)
        rows = []
        for content in contents:
            salt = os.urandom(32)
            rows.append(
                {**event_row(), "content": content, "salt": salt, "commitment": commitment(salt, content.encode())}
            )
        with place.engine.begin() as connection:
            connection.execute(insert(AuditEventRow), rows)
        begin = place.sequencer.extend() - len(rows)
        last = place.publish(3)
        place.catch_up(exporter)
    found = judged(receiver.taken, first)
    assert sorted(found["altered"]) == list(range(begin, begin + len(rows)))
    assert set(found["altered"].values()) == {"its event is left out: malformed"}
    assert found["events"] == last - first - len(rows)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"\x00\x02{}",
        lambda content: b"\x00\x05{}",
        lambda content: content.replace(b'"index":', b'"index":1'),
        lambda content: content.replace(b'"commitment":"sha256:', b'"commitment":"sha256;'),
    ],
    ids=["empty", "one entry", "cut", "other indexes", "other commitments"],
)
def test_a_log_whose_entries_are_damaged_is_not_exported_and_says_so(
    place: ExportPlace, authority: Authority, named: Named, damage: Callable[[bytes], bytes]
) -> None:
    name = named()
    with receivers.webhook(authority) as receiver:
        exporter = place.exporter(name, place.webhook(receiver.url, ca_file=authority.ca_file))
        size = place.publish(2)
        number, width = divmod(size, 256)
        if width < 3:
            size = place.publish(3)
            number, width = divmod(size, 256)
        bundle = place.root / "log" / bundle_path(number, width)
        content = bundle.read_bytes()
        bundle.write_bytes(damage(content))
        assert exporter.step() > timedelta(0)
        assert "entr" in place.status(name).error
        assert receiver.taken == []
        bundle.write_bytes(content)
        place.catch_up(exporter)
    assert place.status(name).behind == 0


def test_a_log_that_was_made_anew_is_not_exported_to_who_has_the_old_one(
    place: ExportPlace, authority: Authority, named: Named, owner_sql: object
) -> None:
    name = named()
    with receivers.webhook(authority) as receiver:
        exporter = place.exporter(name, place.webhook(receiver.url, ca_file=authority.ca_file))
        place.publish(10)
        place.catch_up(exporter)
        calls = receiver.calls
        owner_sql.execute(text("ALTER TABLE export_sink DISABLE TRIGGER USER"))
        owner_sql.execute(text("UPDATE export_sink SET leaf_hash = sha256('other') WHERE name = :name"), {"name": name})
        owner_sql.execute(text("ALTER TABLE export_sink ENABLE TRIGGER USER"))
        place.publish(1)
        assert exporter.step() > timedelta(0)
        assert "is not the one that sink" in place.status(name).error
        assert receiver.calls == calls


def test_two_exporters_of_one_sink_do_not_both_move_its_cursor(
    place: ExportPlace, authority: Authority, named: Named
) -> None:
    first, name = place.publish(), named()
    with receivers.webhook(authority) as receiver:
        settings = place.webhook(receiver.url, ca_file=authority.ca_file)
        other = place.exporter(name, settings)
        mine = place.exporter(name, settings, probe=lambda point: other.step() if point == "delivered" else None)
        last = place.publish(10)
        with pytest.raises(StateConflict, match="another exporter"):
            mine.step()
        assert place.status(name).cursor == last
    assert seen(receiver.taken, first) == whole(last - first)
    assert judged(receiver.taken, first)["doubled"] == last - first


def test_one_exporter_works_and_the_other_takes_over_when_it_ends(
    place: ExportPlace, authority: Authority, named: Named
) -> None:
    first, name = place.publish(), named()
    stops = [threading.Event(), threading.Event()]
    with receivers.webhook(authority) as receiver:
        settings = place.webhook(receiver.url, ca_file=authority.ca_file)
        exporters = [place.exporter(name, settings) for _ in stops]
        threads = [
            threading.Thread(target=exporter.run, args=(stop, 0.05))
            for exporter, stop in zip(exporters, stops, strict=True)
        ]
        for thread in threads:
            thread.start()
        for stop in stops:
            last = place.publish(20)
            until(lambda last=last: place.status(name).cursor == last)
            stop.set()
        for thread in threads:
            thread.join()
    assert seen(receiver.taken, first) == whole(last - first)
    assert judged(receiver.taken, first)["doubled"] == 0


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("given", [(0, 10**9), (5, 4), (-1, 3)])
def test_a_range_that_is_not_in_the_log_is_refused_before_anything_is_recorded(
    place: ExportPlace, named: Named, tmp_path: Path, given: tuple[int, int]
) -> None:
    name = named()
    settings = place.files(tmp_path)
    place.exporter(name, settings)
    place.publish(1)
    with pytest.raises(InvalidRequest, match="there are no events"):
        place.replayer(name, settings).send(*given)
    assert events_of(place, "export_sink.replayed", name) == []
    assert events_of(place, "export_sink.added", name)[0]["kind"] == "files"


def test_a_batch_that_is_not_full_lingers_until_its_oldest_event_has_waited(
    place: ExportPlace, named: Named, tmp_path: Path
) -> None:
    later = timedelta(0)
    exporter = place.exporter(
        named(), place.files(tmp_path, linger_s=60, batch=50), now=lambda: datetime.now(UTC) + later
    )
    place.publish(10)
    exporter.step()
    assert lines_of(tmp_path) == []
    later = timedelta(seconds=61)
    exporter.step()
    assert len(lines_of(tmp_path)) == 11  # the event that says that the sink was added is one of them
    later = timedelta(0)
    place.publish(60)
    exporter.step()
    assert len(lines_of(tmp_path)) == 61
