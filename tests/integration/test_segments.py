"""The audit trail is kept as long as its rules say and no longer: whole segments go, what they were stays, and every old proof holds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from holdfast.core.access import Caller
from holdfast.core.audit import AuditAction, EventClass, class_of
from holdfast.core.digest import text_of
from holdfast.core.errors import InvalidRequest, NotFound, StateConflict, Unavailable
from holdfast.core.merkle import Frontier, leaf_hash
from holdfast.core.tiles import WIDTH, bundle_path, packed, unpacked
from holdfast.export.feed import Feed
from holdfast.export.record import DISPOSED, ERASED
from holdfast.ledger import verify_proof
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.prove import FIRST_LINE, prove_events
from holdfast.ledger.publish import Publisher
from holdfast.ledger.segments import segments_of
from holdfast.ledger.sequencer import Sequencer
from holdfast.ledger.verify import Verification
from holdfast.ops.segments import Retention, check_login, define_retention
from holdfast.service.refusals import translate
from holdfast.service.transaction import Transactions
from holdfast.store import migrate
from holdfast.store.engine import open_engine
from holdfast.wire.ledger import AuditSegment, SegmentOutcome
from tests.support.events import write_events
from tests.support.ledger import checked_by_others, unguarded
from tests.support.postgres import PostgresServer

OFFICER = Caller("system:officer")


@dataclass
class Trail:
    """An audit trail with its log, and the logins that work on it."""

    service: Engine
    disposer: Engine
    sql: Connection
    root: Path
    signer: FileSigner
    owner_url: str
    disposer_url: str

    @property
    def log(self) -> DirectoryPlace:
        return DirectoryPlace(self.root / "log")

    def extend(self) -> int:
        publisher = Publisher(self.service, [self.signer], is_signed, self.log)
        return Sequencer(self.service, publisher).extend()

    def write(self, count: int, action: str = "run.created", **more: Any) -> None:
        write_events(self.service, count, action=action, **more)

    def retention(self, probe: Callable[[str], None] = lambda _: None) -> Retention:
        return Retention(self.disposer, self.log, OFFICER, probe)

    def retain(self) -> list[SegmentOutcome]:
        """Do what is due, once all of it is in the log."""
        self.extend()
        outcomes = list(self.retention().apply())
        self.extend()
        return outcomes

    def keep(self, event_class: EventClass, days: int | None = None, quota: int | None = None) -> None:
        define_retention(Transactions(self.service, OFFICER), event_class, days, quota, "tests")

    def segments(self) -> list[AuditSegment]:
        with self.service.connect() as connection:
            return segments_of(connection).segments

    def of(self, event_class: EventClass) -> list[AuditSegment]:
        return [one for one in self.segments() if one.event_class is event_class]

    def close(self, event_class: EventClass) -> int:
        """Close the open segment of a class before it is full, and return its number."""
        with self.disposer.begin() as connection:
            return int(connection.scalar(text("SELECT close_segment(:class)"), {"class": event_class}) or 0)

    def age(self, number: int, days: int = 400) -> None:
        """Let a sealed segment be so much older."""
        with unguarded(self.sql):
            self.sql.execute(
                text(
                    "UPDATE audit_segment SET newest_at = newest_at - make_interval(days => :days) WHERE segment = :n"
                ),
                {"n": number, "days": days},
            )

    def sealed(self, event_class: EventClass, days: int = 400) -> int:
        """Return a segment of a class that is sealed and so old."""
        self.write(300)
        number = self.close(event_class)
        self.retain()
        self.age(number, days)
        self.write(300)
        self.extend()
        return number

    def findings(self) -> list[tuple[int | None, str]]:
        look = Verification(self.log, [self.signer.key], is_signed, self.service)
        look.verify()
        return [(one.index, one.what) for one in look.findings]

    def ids(self, action: str) -> list[UUID]:
        return list(self.sql.scalars(text("SELECT id FROM audit_event WHERE action = :a ORDER BY id"), {"a": action}))

    def proof(self, event: UUID) -> str:
        with self.service.connect() as connection:
            return prove_events(connection, self.log, None, event=event).text

    def holds(self, proof: str, directory: Path) -> bool:
        """Whether the program for people who have nothing of ours accepts a proof."""
        path = directory / "proof"
        path.write_text(proof)
        command = [sys.executable, "-I", "-S", verify_proof.__file__, "--key", str(self.signer.key), str(path)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def count(self, **where: str) -> int:
        column, value = next(iter(where.items()))
        return int(self.sql.scalar(text(f"SELECT count(*) FROM audit_event WHERE {column} = :v"), {"v": value}) or 0)


@pytest.fixture
def trail(postgres: PostgresServer, tmp_path: Path) -> Iterator[Trail]:
    import secrets

    name = f"hf_{secrets.token_hex(6)}"
    owner_url = postgres.create_database(name)
    migrate.upgrade(owner_url)
    urls = [
        postgres.url(name, postgres.create_login(f"{name}_{short}", member_of=role))
        for short, role in (("app", "holdfast_service"), ("gone", "holdfast_disposer"))
    ]
    service, disposer = (open_engine(url, pool_size=8) for url in urls)
    owner = create_engine(owner_url, isolation_level="AUTOCOMMIT")
    signer = FileSigner.make("example.org/log", tmp_path / "log.key")
    with owner.connect() as sql:
        sql.execute(text("SET search_path = holdfast"))
        yield Trail(service, disposer, sql, tmp_path, signer, owner_url, urls[1])
    for engine in (service, disposer, owner):
        engine.dispose()
    postgres.drop_database(name)


def test_a_hundred_thousand_sprayed_log_ins_evict_nothing_but_log_ins(trail: Trail, tmp_path: Path) -> None:
    trail.keep(EventClass.LOGIN, quota=20_000)
    trail.write(300, "run.created")
    trail.write(30, "call.denied", outcome="refused")
    trail.write(1, "login.attempted")
    trail.extend()
    [first] = trail.ids("login.attempted")
    proof = trail.proof(first)
    for _ in range(5):
        trail.write(20_000, "login.attempted", outcome="refused")
        trail.retain()
    disposed = [one for one in trail.of(EventClass.LOGIN) if one.disposed_at]
    assert [one.count for one in disposed] == [20_001, 20_000, 20_000, 20_000]
    assert trail.count(action="login.attempted") == 20_000
    assert trail.count(action="run.created") == 300
    assert trail.count(action="call.denied") == 30
    assert {one.event_class for one in trail.segments() if one.disposed_at} == {EventClass.LOGIN}
    assert trail.count(action="audit_segment.disposed") == 4
    # What they were stays: the log, every proof that anybody holds, and whatever others check.
    assert trail.findings() == []
    assert trail.holds(proof, tmp_path)
    with pytest.raises(NotFound, match=str(first)):
        trail.proof(first)
    assert trail.sql.scalar(text("SELECT count(*) FROM ledger_leaf")) == trail.extend() - 80_001
    assert migrate.check(trail.owner_url) == []


def test_a_segment_goes_when_its_period_is_over_and_is_certified_by_its_root(trail: Trail) -> None:
    trail.write(40, "call.denied")
    trail.write(20, "run.created")
    trail.write(60, "call.denied")
    number = trail.sealed(EventClass.DENIAL)
    before = next(one for one in trail.segments() if one.segment == number)
    assert (before.count, before.first_index, before.last_index) == (100, 0, 119)
    trail.keep(EventClass.DENIAL, days=365)
    [outcome] = trail.retain()
    assert (outcome.segment, outcome.became) == (number, "done")
    after = next(one for one in trail.segments() if one.segment == number)
    assert after == before.model_copy(
        update={
            "disposed_at": after.disposed_at,
            "certificate": after.certificate,
            "next": None,
            "why": "its events have gone",
            "until": None,
        }
    )
    assert after.certificate == trail.ids("audit_segment.disposed")[0]
    said = json.loads(
        trail.sql.scalar(text("SELECT content FROM audit_event WHERE id = :id"), {"id": after.certificate}) or ""
    )
    assert said["content"]["root"] == before.root
    assert said["content"]["rule"]["period_days"] == 365
    assert said["reason"] == "its newest event is older than 365 days"
    assert trail.findings() == []
    assert trail.retain() == []
    found = checked_by_others(trail.root / "log", str(trail.signer.key))
    assert (found["size"], found["fsck"], found["tlog"]) == (trail.extend(), "holds", "holds")


def test_nothing_goes_without_a_rule_and_a_new_rule_takes_it_back(trail: Trail) -> None:
    trail.write(10, "audit_event.read")
    number = trail.sealed(EventClass.READ)
    assert trail.retain() == []
    trail.keep(EventClass.READ, days=1)
    trail.keep(EventClass.READ)
    assert trail.retain() == []
    assert next(one for one in trail.segments() if one.segment == number).why == "no rule lets events of class read go"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((EventClass.DISPOSAL, 1, None, "x"), "kept for ever"),
        ((EventClass.CHANGE, None, 5, "x"), "no quota"),
        ((EventClass.READ, 1, None, " "), "no reason"),
        ((EventClass.READ, 0, None, "x"), "period_days"),
        ((EventClass.READ, None, 0, "x"), "quota"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(trail: Trail, arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        define_retention(Transactions(trail.service, OFFICER), *arguments)
    assert trail.count(action="audit_retention.defined") == 0


def test_a_rule_that_nobody_has_put_on_record_lets_nothing_go(trail: Trail) -> None:
    trail.write(5, "audit_event.read")
    number = trail.sealed(EventClass.READ)
    with trail.service.begin() as thief:
        thief.execute(
            text(
                "INSERT INTO audit_retention (id, class, period_days, reason, defined_by)"
                " VALUES (gen_random_uuid(), 'read', 1, 'none', 'user:nobody')"
            )
        )
    [outcome] = trail.retain()
    assert (outcome.segment, outcome.became) == (number, "waits")
    assert "no rule lets it go" in outcome.says
    assert any("is not as an event has put it on record" in what for _, what in trail.findings())


def test_what_a_sink_has_not_got_stays_and_what_it_asks_for_again_is_said_to_have_gone(trail: Trail) -> None:
    trail.write(5, "audit_event.read")
    number = trail.sealed(EventClass.READ)
    trail.keep(EventClass.READ, days=365)
    with trail.service.begin() as connection:
        connection.execute(text("INSERT INTO export_sink (name, first, cursor) VALUES ('siem', 4, 4)"))
    assert trail.retain() == []
    kept = next(one for one in trail.segments() if one.segment == number)
    assert kept.why == "sink siem has not got all of its events"
    with trail.service.begin() as connection:
        connection.execute(text("UPDATE export_sink SET cursor = 5, leaf_hash = sha256('') WHERE name = 'siem'"))
    [outcome] = trail.retain()
    assert outcome.became == "done"
    feed = Feed(trail.service, trail.log)
    log, _ = feed.published()
    records = feed.read(log, 0, 10)
    assert [one.left_out for one in records] == [DISPOSED] * 5 + [None] * 5


def test_erasing_an_event_keeps_its_leaf_and_every_proof(trail: Trail, tmp_path: Path) -> None:
    trail.write(1, reason="Mia Canary is ill", initiator="user:mia.canary")
    trail.write(300)
    trail.extend()
    event = trail.ids("run.created")[0]
    proof, leaf = trail.proof(event), trail.sql.execute(text("SELECT * FROM ledger_leaf WHERE index = 0")).one()
    erased = trail.retention().erase(event, "a right to erasure")
    trail.extend()
    row = trail.sql.execute(text("SELECT * FROM audit_event WHERE id = :id"), {"id": event}).one()
    assert (row.content, row.salt, row.initiator, row.target_id) == (None, None, "erased", "erased")
    assert (erased.index, erased.record) == (0, trail.ids("audit_event.erased")[0])
    assert trail.sql.execute(text("SELECT * FROM ledger_leaf WHERE index = 0")).one() == leaf
    assert trail.findings() == []
    assert trail.holds(proof, tmp_path)
    bare = trail.proof(event)
    assert trail.holds(bare, tmp_path)
    everything = "".join(str(one) for one in trail.sql.execute(text("SELECT * FROM audit_event")))
    assert "canary" not in everything.lower()
    log, _ = (feed := Feed(trail.service, trail.log)).published()
    assert feed.read(log, 0, 1)[0].left_out == ERASED
    # It is sealed and goes like any other.
    number = trail.sealed(EventClass.CHANGE)
    trail.keep(EventClass.CHANGE, days=365)
    assert [(one.segment, one.became) for one in trail.retain()] == [(number, "done")]
    assert trail.findings() == []


def test_what_cannot_be_erased_is_said_to_be_so(trail: Trail) -> None:
    trail.write(1)
    [event] = trail.ids("run.created")
    with pytest.raises(NotFound, match="in the log"):
        trail.retention().erase(event, "why")
    trail.extend()
    with pytest.raises(InvalidRequest, match="no reason"):
        trail.retention().erase(event, "")
    trail.retention().erase(event, "why")
    with pytest.raises(StateConflict, match="erased already"):
        trail.retention().erase(event, "why")
    trail.extend()
    with pytest.raises(StateConflict, match="never erased"):
        trail.retention().erase(trail.ids("audit_event.erased")[0], "why")
    assert trail.count(action="audit_event.erased") == 1


STEPS = {"sealed": 0, "certified": 1, "disposed": 1}
_DIE_AT = """
import os, sys
from pathlib import Path
from holdfast.core.access import Caller
from holdfast.ledger.place import DirectoryPlace
from holdfast.ops.segments import Retention
from holdfast.store.engine import open_engine
url, log, point = sys.argv[1:]
die = lambda now: os._exit(9) if now == point else None
print(len(list(Retention(open_engine(url), DirectoryPlace(Path(log)), Caller("system:officer"), die).apply())))
"""


@pytest.mark.parametrize("point", STEPS)
def test_a_process_that_dies_anywhere_leaves_a_segment_as_it_was(trail: Trail, point: str) -> None:
    trail.keep(EventClass.READ, days=365)
    trail.write(300, "audit_event.read")
    number = trail.sealed(EventClass.READ) if STEPS[point] else trail.close(EventClass.READ)
    trail.extend()
    before = (trail.segments(), trail.count(action="audit_event.read"), trail.extend())
    command = [sys.executable, "-c", _DIE_AT, trail.disposer_url, str(trail.root / "log"), point]
    assert subprocess.run(command, check=False).returncode == 9
    assert (trail.segments(), trail.count(action="audit_event.read"), trail.extend()) == before
    [outcome] = trail.retain()
    assert (outcome.segment, outcome.became) == (number, "done")
    assert trail.findings() == []


def test_an_event_whose_segment_has_just_gone_is_to_be_written_again(trail: Trail) -> None:
    trail.write(1)
    copied = "id, project, action, initiator, target_type, target_id, outcome, content, salt, commitment"
    gone = text(
        f"INSERT INTO audit_event ({copied}, segment)"
        f" SELECT {copied.replace('id', 'gen_random_uuid()', 1)}, 999999 FROM audit_event WHERE content IS NOT NULL LIMIT 1"
    )
    with pytest.raises(Unavailable, match="went at the same moment"), translate(), trail.service.begin() as connection:
        connection.execute(gone)


def test_writers_go_on_while_segments_close_are_sealed_and_go(trail: Trail) -> None:
    trail.keep(EventClass.LOGIN, quota=40)
    trail.write(300)
    trail.extend()
    stop, failed, written = threading.Event(), list[BaseException](), Counter[str]()

    def work(action: str) -> None:
        try:
            while not stop.is_set():
                try:
                    with translate():
                        trail.write(1, action)
                except Unavailable:  # and again, as a client does: its segment went between the look for it and the row
                    continue
                written[action] += 1
        except BaseException as error:  # noqa: BLE001 - looked at below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(action,)) for action in ("login.attempted", "run.created") * 2]
    for thread in threads:
        thread.start()
    outcomes = [outcome for _ in range(30) for outcome in trail.retain()]
    stop.set()
    for thread in threads:
        thread.join()
    trail.extend()
    assert not failed
    assert {one.became for one in outcomes} <= {"done", "waits"}
    assert sum(one.step == "dispose" and one.became == "done" for one in outcomes) > 3
    assert trail.count(action="run.created") == 300 + written["run.created"]
    assert sum(one.count for one in trail.of(EventClass.LOGIN)) == written["login.attempted"]
    assert trail.findings() == []


def _refused(connection: Connection, statement: str, **values: Any) -> str:
    with pytest.raises(DBAPIError) as refused:
        connection.execute(text(statement), values)
    connection.rollback()
    return str(refused.value.orig.sqlstate)


def test_the_disposer_does_only_what_the_rules_let_it_do(trail: Trail) -> None:
    trail.write(300, "audit_event.read")
    number = trail.sealed(EventClass.READ)
    trail.write(1, "audit_event.read")
    fresh = trail.close(EventClass.READ)
    with trail.disposer.connect() as thief:
        for statement in (
            "SELECT content FROM audit_event",
            "SELECT salt FROM audit_event",
            "DELETE FROM audit_event",
            "DELETE FROM ledger_leaf",
            "UPDATE audit_event SET erased_at = now()",
            "UPDATE audit_segment SET disposed_at = now()",
            f"DROP TABLE audit_event_{number}",
            f"SELECT * FROM audit_event_{number}",
            f"INSERT INTO audit_event_{fresh} DEFAULT VALUES",
            "INSERT INTO audit_retention (id, class, period_days, reason, defined_by) VALUES (gen_random_uuid(), 'read', 1, 'x', 'x')",
            "SELECT open_segment('read')",
        ):
            assert _refused(thief, statement) == "42501", statement
        dispose = "SELECT dispose_segment(:number, :certificate)"
        some = trail.ids("audit_segment.sealed")[0]
        # No rule; a rule and no certificate; not sealed; another event as certificate.
        assert _refused(thief, dispose, number=number, certificate=some) == "HF006"
        trail.keep(EventClass.READ, days=365)
        assert _refused(thief, dispose, number=number, certificate=some) == "HF006"
        assert _refused(thief, dispose, number=fresh, certificate=some) == "HF001"
        assert _refused(thief, dispose, number=999, certificate=some) == "HF001"
        assert _refused(thief, "SELECT seal_segment(:number, 0, sha256(''))", number=number) == "HF002"
        assert _refused(thief, "SELECT erase_event(:event)", event=trail.ids("audit_event.read")[0]) == "HF001"
    with trail.service.connect() as thief:
        for call in (
            "close_segment('read')",
            f"dispose_segment({number}, gen_random_uuid())",
            "erase_event(gen_random_uuid())",
        ):
            assert _refused(thief, f"SELECT {call}") == "42501", call
    late = "INSERT INTO audit_event SELECT (e).* FROM (SELECT e FROM audit_event e WHERE segment = :number LIMIT 1) one"
    assert _refused(trail.sql, late, number=number) == "40001"
    assert trail.findings() == []


def certify(trail: Trail, number: int, **changes: Any) -> None:
    """Dispose of a segment as somebody does who owns the database and forges the certificate."""
    segment = next(one for one in trail.segments() if one.segment == number)
    content = {**segment.model_dump(mode="json", include={"count", "root"}), **changes}
    trail.write(1, "audit_segment.disposed", target={"type": "audit_segment", "id": str(number)}, content=content)
    certificate = trail.ids("audit_segment.disposed")[-1]
    with unguarded(trail.sql):
        trail.sql.execute(text("DELETE FROM ledger_leaf WHERE segment = :n"), {"n": number})
        trail.sql.execute(
            text("UPDATE audit_segment SET disposed_at = now(), certificate = :c WHERE segment = :n"),
            {"n": number, "c": certificate},
        )
    trail.sql.execute(text(f"DROP TABLE audit_event_{number}"))
    trail.extend()


def test_a_segment_that_was_made_to_go_without_a_certificate_is_found(trail: Trail) -> None:
    trail.write(300, "audit_event.read")
    number = trail.sealed(EventClass.READ)
    certify(trail, number, count=299)
    assert trail.findings() == [
        (0, f"segment {number}, which is said to be disposed of, has no event that certifies this")
    ]


def test_an_event_that_is_hidden_in_a_segment_that_has_gone_is_found(trail: Trail) -> None:
    trail.write(300, "audit_event.read")
    trail.write(1, "promotion.approved")
    number = trail.sealed(EventClass.READ)
    trail.keep(EventClass.READ, days=365)
    trail.retain()
    assert trail.findings() == []
    with unguarded(trail.sql):
        trail.sql.execute(text("DELETE FROM ledger_leaf WHERE index = 300"))
        trail.sql.execute(text("DELETE FROM audit_event WHERE action = 'promotion.approved'"))
        trail.sql.execute(
            text(
                "UPDATE audit_segment SET indexes = indexes + int8multirange(int8range(300, 301)), count = count + 1, last_index = 300"
                " WHERE segment = :n"
            ),
            {"n": number},
        )
    found = trail.findings()
    assert {index for index, _ in found} == {0}
    assert any("other events than its row says" in what for _, what in found)


def test_an_event_that_is_hidden_under_a_second_certificate_is_found(trail: Trail) -> None:
    trail.write(300, "audit_event.read")
    trail.write(1, "promotion.approved")
    number = trail.sealed(EventClass.READ)
    trail.keep(EventClass.READ, days=365)
    trail.retain()
    entries = [entry for tile in (0, 1) for entry in unpacked(trail.log.read(bundle_path(tile, WIDTH)))][:301]
    tree = Frontier()
    for entry in entries:
        list(tree.append(leaf_hash(entry)))
    trail.write(
        1,
        "audit_segment.disposed",
        target={"type": "audit_segment", "id": str(number)},
        content={"count": 301, "root": text_of(tree.root())},
    )
    with unguarded(trail.sql):
        trail.sql.execute(text("DELETE FROM ledger_leaf WHERE index = 300"))
        trail.sql.execute(text("DELETE FROM audit_event WHERE action = 'promotion.approved'"))
        trail.sql.execute(
            text(
                "UPDATE audit_segment SET indexes = indexes + int8multirange(int8range(300, 301)), count = 301, last_index = 300,"
                " root = :root, certificate = :certificate WHERE segment = :n"
            ),
            {"n": number, "root": tree.root(), "certificate": trail.ids("audit_segment.disposed")[-1]},
        )
    trail.extend()
    assert trail.findings() == [
        (0, f"segment {number}, which is said to be disposed of, is something else than an event has said of it")
    ]


def test_an_entry_of_a_segment_that_has_gone_is_bad_at_its_own_index(trail: Trail) -> None:
    trail.write(300, "audit_event.read")
    trail.sealed(EventClass.READ)
    trail.keep(EventClass.READ, days=365)
    trail.retain()
    bundle = trail.root / "log" / bundle_path(0, WIDTH)
    entries = unpacked(bundle.read_bytes())
    entries[9] = entries[9].replace(b"Z", b"X")
    bundle.write_bytes(packed(entries))
    indexes = [index for index, _ in trail.findings() if index is not None]
    assert set(indexes) == {9}


def test_a_segment_that_goes_while_the_log_is_verified_is_no_finding(trail: Trail) -> None:
    trail.write(10, "audit_event.read")
    number = trail.sealed(EventClass.READ)
    trail.keep(EventClass.READ, days=365)
    trail.extend()
    went = list[SegmentOutcome]()
    look = Verification(
        trail.log,
        [trail.signer.key],
        is_signed,
        trail.service,
        progress=lambda _done, _of: went.extend(trail.retention().apply()),
    )
    assert look.verify().findings == []
    assert [(one.segment, one.became) for one in went] == [(number, "done")]
    trail.extend()
    assert trail.findings() == []


def test_a_sealed_segment_that_says_something_else_than_its_event_is_found(trail: Trail) -> None:
    trail.write(10, "audit_event.read")
    number = trail.sealed(EventClass.READ)
    assert trail.findings() == []
    with unguarded(trail.sql):
        trail.sql.execute(text("UPDATE audit_segment SET root = sha256('x') WHERE segment = :n"), {"n": number})
    assert trail.findings() == [
        (0, f"segment {number}, which is said to be sealed, is something else than an event has said of it")
    ]


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("action = 'role.bound'", "action"),
        ("project = 'other'", "project"),
        ("outcome = 'refused'", "outcome"),
        ("target_type = 'run_of_another'", "target_type"),
        ("initiator = 'user:eve'", "initiator"),
        ("target_id = 'x'", "target_id"),
    ],
)
def test_what_stays_of_an_erased_event_cannot_be_changed_unseen(trail: Trail, change: str, column: str) -> None:
    trail.write(300)
    trail.extend()
    event = trail.ids("run.created")[7]
    trail.retention().erase(event, "a right to erasure")
    trail.extend()
    assert trail.findings() == []
    with unguarded(trail.sql):
        trail.sql.execute(text(f"UPDATE audit_event SET {change} WHERE id = :id"), {"id": event})
    [(index, what)] = trail.findings()
    assert index is not None
    assert what == f"event {index}, {event}, shows something else than the event of its erasure says: {column}"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_retention SET period_days = 1",
        "UPDATE audit_retention SET defined_at = defined_at - interval '1 day'",
        "DELETE FROM audit_retention",
    ],
)
def test_a_rule_that_was_changed_is_found(trail: Trail, change: str) -> None:
    trail.keep(EventClass.READ, days=365)
    trail.extend()
    assert trail.findings() == []
    with unguarded(trail.sql):
        trail.sql.execute(text(change))
    assert any(what.endswith("is on record, and not there as it says") for _, what in trail.findings())


def test_a_rule_that_the_services_login_puts_in_without_an_event_is_found(trail: Trail) -> None:
    trail.write(1)
    trail.extend()
    with trail.service.begin() as thief:
        thief.execute(
            text(
                "INSERT INTO audit_retention (id, class, period_days, reason, defined_by)"
                " VALUES (gen_random_uuid(), 'read', 1, 'x', 'me')"
            )
        )
    [(index, what)] = trail.findings()
    assert (index, what.endswith("of class read is not as an event has put it on record")) == (None, True)


def test_what_is_no_event_is_found_and_hides_nothing_else(trail: Trail) -> None:
    for content in ("no JSON", "[]", '{"target": 1}'):
        with trail.service.begin() as thief:
            thief.execute(
                text(
                    "INSERT INTO audit_event (id, action, initiator, target_type, target_id, outcome, content, salt, commitment)"
                    " VALUES (gen_random_uuid(), 'x', 'x', 'x', 'x', 'refused', :c, sha256('s'),"
                    " sha256(sha256('s') || convert_to(:c, 'UTF8')))"
                ),
                {"c": content},
            )
    trail.extend()
    assert [index for index, what in trail.findings() if "says nothing that is an event" in what] == [0, 1, 2]


def test_a_segment_without_events_is_not_closed(trail: Trail) -> None:
    with trail.disposer.connect() as connection:
        assert _refused(connection, "SELECT close_segment('login')") == "HF002"
    assert [one.next for one in trail.of(EventClass.LOGIN)] == ["keep"]


def test_a_log_that_is_not_there_is_no_evidence_of_tampering(trail: Trail) -> None:
    trail.write(300, "audit_event.read")
    trail.extend()
    trail.close(EventClass.READ)
    elsewhere = DirectoryPlace(trail.root / "elsewhere")
    with pytest.raises(Unavailable, match=re.escape(f"there is no log in {elsewhere}")):
        list(Retention(trail.disposer, elsewhere, OFFICER).apply())


def test_the_login_that_disposes_has_to_be_the_disposers(trail: Trail) -> None:
    check_login(trail.disposer)
    with pytest.raises(InvalidRequest, match="may not dispose"):
        check_login(trail.service)


def test_an_event_without_content_of_which_nobody_says_that_it_was_erased_is_found(trail: Trail) -> None:
    trail.write(300)
    trail.extend()
    with unguarded(trail.sql):
        trail.sql.execute(
            text(
                "UPDATE audit_event SET content = NULL, salt = NULL, erased_at = now(), initiator = 'erased', target_id = 'erased'"
                " WHERE id = (SELECT event_id FROM ledger_leaf WHERE index = 7)"
            )
        )
    [(index, what)] = trail.findings()
    assert (index, "no event says that it was erased" in what) == (7, True)


def test_an_event_in_a_segment_of_another_class_is_found_and_keeps_the_segment(trail: Trail) -> None:
    segment = trail.of(EventClass.LOGIN)[0].segment
    trail.write(300)
    with unguarded(trail.sql):
        trail.sql.execute(
            text("UPDATE audit_event SET segment = :n WHERE id = (SELECT min(id::text)::uuid FROM audit_event)"),
            {"n": segment},
        )
    trail.extend()
    [(index, what)] = trail.findings()
    assert index is not None
    assert "columns unlike its content: segment" in what
    assert trail.close(EventClass.LOGIN) == segment
    [outcome] = trail.retain()
    assert (outcome.step, outcome.became) == ("seal", "refused")
    assert "is not as it was recorded" in outcome.says


def test_a_row_that_was_changed_keeps_its_segment_from_going(trail: Trail) -> None:
    trail.write(300, "audit_event.read")
    trail.extend()
    trail.close(EventClass.READ)
    with unguarded(trail.sql):
        trail.sql.execute(
            text(
                "UPDATE audit_event SET recorded_at = recorded_at - interval '1 year'"
                " WHERE id = (SELECT event_id FROM ledger_leaf WHERE index = 9)"
            )
        )
    [outcome] = trail.retain()
    assert (outcome.step, outcome.became) == ("seal", "refused")
    assert outcome.says.startswith("event 9, ")
    assert "is not the one in the log" in outcome.says


def put_in_twice(trail: Trail, twin: UUID) -> None:
    """Put an event in once more, in another segment and with another salt."""
    with unguarded(trail.sql):
        trail.sql.execute(
            text(
                "INSERT INTO audit_event (id, project, action, initiator, target_type, target_id, outcome, content, salt, commitment, segment)"
                " SELECT id, project, action, initiator, target_type, target_id, outcome, content, sha256(salt),"
                " sha256(sha256(salt) || convert_to(content, 'UTF8')), current_segment('login') FROM audit_event WHERE id = :id"
            ),
            {"id": twin},
        )


def test_an_id_that_is_used_twice_stops_no_sequencer_and_is_found(trail: Trail) -> None:
    trail.write(300)
    twin = trail.ids("run.created")[0]
    put_in_twice(trail, twin)
    assert trail.extend() == 300
    [(index, what)] = trail.findings()
    assert (index, str(twin) in what) == (None, True)


def test_an_id_that_is_used_twice_is_proved_once(trail: Trail, tmp_path: Path) -> None:
    trail.write(300)
    twin = trail.ids("run.created")[0]
    trail.extend()
    put_in_twice(trail, twin)
    proof = trail.proof(twin)
    assert proof.count(FIRST_LINE) == 1
    assert trail.holds(proof, tmp_path)


def test_the_database_knows_the_class_of_every_action(trail: Trail) -> None:
    known = {
        action: trail.sql.scalar(text("SELECT class_of_action(:action)"), {"action": action.value})
        for action in AuditAction
    }
    assert known == {action: class_of(action).value for action in AuditAction}


def test_what_belongs_to_no_class_by_itself_is_kept_the_longest(trail: Trail) -> None:
    [change] = trail.of(EventClass.CHANGE)
    assert trail.sql.scalar(text("SELECT current_segment('change')")) == change.segment
    trail.sql.execute(
        text(
            "INSERT INTO audit_event (id, action, initiator, target_type, target_id, outcome, content, salt, commitment) VALUES"
            " (gen_random_uuid(), 'x', 'x', 'x', 'x', 'refused', '{}', sha256('s'), sha256(sha256('s') || convert_to('{}', 'UTF8')))"
        )
    )
    assert trail.of(EventClass.CHANGE)[0].count == 1
