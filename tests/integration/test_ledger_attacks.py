"""Whoever changes the past is found out: by every way that the database's owner and the object store's owner have, alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from holdfast.core.audit import commitment
from holdfast.core.errors import IntegrityViolation
from holdfast.core.note import open_checkpoint, signed
from holdfast.core.tiles import packed, unpacked
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer
from holdfast.ledger.verify import Verification
from holdfast.service.governance import GovernanceService
from holdfast.settings import Platform
from holdfast.wire.project import ProjectRequest
from tests.support.ledger import unguarded

COUNT = 600
TARGET = 300


@dataclass
class Log:
    """A log of a known size, its database, and what an attacker holds."""

    platform: Platform
    signer: FileSigner
    root: Path
    sql: Any
    known: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> DirectoryPlace:
        return DirectoryPlace(self.root)

    def sequencer(self) -> Sequencer:
        publisher = Publisher(self.platform.engine, [self.signer], is_signed, self.place)
        return Sequencer(self.platform.engine, publisher)

    def findings(self) -> list[tuple[int | None, str]]:
        look = Verification(self.place, [self.signer.key], is_signed, self.platform.engine, self.known)
        look.verify()
        return [(finding.index, finding.what) for finding in look.findings]

    def event(self, index: int) -> Any:
        return self.sql.execute(
            text("SELECT e.* FROM audit_event e JOIN ledger_leaf l ON l.event_id = e.id WHERE l.index = :index"),
            {"index": index},
        ).one()

    def event_count(self) -> int:
        return int(self.sql.scalar(text("SELECT count(*) FROM ledger_leaf")))

    def change(self, statement: str, **values: Any) -> None:
        """Change rows as somebody does who owns the database, its triggers and constraints."""
        with unguarded(self.sql):
            self.sql.execute(text(statement), values)


@pytest.fixture(scope="module")
def whole(
    platform: Platform, admin: GovernanceService, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FileSigner, Path]:
    """A log that nobody has touched, with a checkpoint on the way that somebody outside has kept."""
    directory = tmp_path_factory.mktemp("log")
    signer = FileSigner.make("example.org/log", directory / "log.key")
    publisher = Publisher(platform.engine, [signer], is_signed, DirectoryPlace(directory / "log"))
    sequencer = Sequencer(platform.engine, publisher)
    for number in range(COUNT):
        admin.projects.create(ProjectRequest(name=f"p{number}", owner="tests"))
        if number == COUNT // 2:
            sequencer.extend()
            shutil.copy(directory / "log" / "checkpoint", directory / "kept outside")
    sequencer.extend()
    return signer, directory


@pytest.fixture
def log(whole: tuple[FileSigner, Path], platform: Platform, owner_sql: Any, tmp_path: Path) -> Iterator[Log]:
    signer, directory = whole
    shutil.copytree(directory / "log", tmp_path / "log")
    made = Log(platform, signer, tmp_path / "log", owner_sql, {"outside": (directory / "kept outside").read_text()})
    assert made.findings() == []
    tables = ("audit_event", "ledger_leaf", "ledger_checkpoint", "ledger_head")
    for table in tables:
        made.sql.execute(text(f"CREATE TABLE public.{table} AS TABLE {table}"))
    yield made
    for table in tables:
        made.change(f"DELETE FROM {table}")
        made.change(f"INSERT INTO {table} SELECT * FROM public.{table}")
        made.sql.execute(text(f"DROP TABLE public.{table}"))
    made.sql.execute(text("ALTER TABLE audit_event DROP CONSTRAINT IF EXISTS audit_event_commitment_binds_ck"))
    made.sql.execute(
        text(
            "ALTER TABLE audit_event ADD CONSTRAINT audit_event_commitment_binds_ck"
            " CHECK (commitment = sha256(salt || convert_to(content, 'UTF8')))"
        )
    )


def unbind(log: Log) -> None:
    log.sql.execute(text("ALTER TABLE audit_event DROP CONSTRAINT audit_event_commitment_binds_ck"))


def edit_content(log: Log) -> None:
    unbind(log)
    event = log.event(TARGET)
    log.change(
        "UPDATE audit_event SET content = :content WHERE id = :id",
        content=event.content.replace("tests", "mia"),
        id=event.id,
    )


def edit_and_commit_again(log: Log) -> None:
    event = log.event(TARGET)
    content = event.content.replace("tests", "mia")
    log.change(
        "UPDATE audit_event SET content = :content, commitment = :made, initiator = 'system:mia' WHERE id = :id",
        content=content, made=commitment(event.salt, content.encode()), id=event.id,
    )  # fmt: skip


def edit_time(log: Log) -> None:
    log.change(
        "UPDATE audit_event SET recorded_at = recorded_at - interval '1 day' WHERE id = :id", id=log.event(TARGET).id
    )


def edit_who_is_shown(log: Log) -> None:
    log.change("UPDATE audit_event SET initiator = 'user:mia' WHERE id = :id", id=log.event(TARGET).id)


def hide_from_its_project(log: Log) -> None:
    log.change("UPDATE audit_event SET project = 'elsewhere' WHERE id = :id", id=log.event(TARGET).id)


def delete(log: Log) -> None:
    log.change("DELETE FROM audit_event WHERE id = :id", id=log.event(TARGET).id)


def delete_with_its_leaf(log: Log) -> None:
    log.change("DELETE FROM audit_event WHERE id = :id", id=log.event(TARGET).id)
    log.change("DELETE FROM ledger_leaf WHERE index = :index", index=TARGET)


def reorder(log: Log) -> None:
    first, second = log.event(TARGET).id, log.event(TARGET + 1).id
    log.change("DELETE FROM ledger_leaf WHERE index IN (:a, :b)", a=TARGET, b=TARGET + 1)
    log.change(
        "INSERT INTO ledger_leaf SELECT CASE id WHEN :second THEN :a ELSE :b END, id, segment FROM audit_event"
        " WHERE id IN (:first, :second)",
        a=TARGET,
        b=TARGET + 1,
        first=first,
        second=second,
    )


def insert(log: Log) -> None:
    event = log.event(TARGET)
    log.change("DELETE FROM ledger_leaf WHERE index = :index", index=TARGET)
    log.change(
        "INSERT INTO audit_event SELECT gen_random_uuid(), recorded_at, xid, project, action, 'mia', target_type, target_id, outcome,"
        " content, salt, commitment FROM audit_event WHERE id = :id",
        id=event.id,
    )  # fmt: skip
    log.change(
        "INSERT INTO ledger_leaf SELECT :index, id, segment FROM audit_event WHERE initiator = 'mia'", index=TARGET
    )


def truncate_the_tail(log: Log) -> None:
    log.change(
        "DELETE FROM audit_event WHERE id IN (SELECT event_id FROM ledger_leaf WHERE index >= :index)", index=TARGET
    )
    log.change("DELETE FROM ledger_leaf WHERE index >= :index", index=TARGET)
    log.change("DELETE FROM ledger_checkpoint WHERE size > :index", index=TARGET)


def edit_an_entry(log: Log) -> None:
    path = log.root / "tile" / "entries" / "001"
    entries = unpacked(path.read_bytes())
    entries[TARGET - 256] = entries[TARGET - 256].replace(b'"commitment":"sha256:', b'"commitment":"SHA256:')
    path.write_bytes(packed(entries))


def swap_a_tile(log: Log) -> None:
    (log.root / "tile" / "0" / "001").write_bytes((log.root / "tile" / "0" / "000").read_bytes())


def flip_a_bit_of_a_tile(log: Log) -> None:
    path = log.root / "tile" / "0" / "001"
    content = bytearray(path.read_bytes())
    content[(TARGET - 256) * 32 + 5] ^= 1
    path.write_bytes(content)


def lose_a_bundle(log: Log) -> None:
    (log.root / "tile" / "entries" / "001").unlink()


FIRST_BAD: dict[Callable[[Log], None], int] = {
    edit_content: TARGET,
    edit_and_commit_again: TARGET,
    edit_time: TARGET,
    edit_who_is_shown: TARGET,
    hide_from_its_project: TARGET,
    delete: TARGET,
    delete_with_its_leaf: TARGET,
    reorder: TARGET,
    insert: TARGET,
    truncate_the_tail: TARGET,
    edit_an_entry: TARGET,
    swap_a_tile: 256,
    flip_a_bit_of_a_tile: TARGET,
    lose_a_bundle: 256,
}


@pytest.mark.parametrize("attack", FIRST_BAD, ids=lambda attack: attack.__name__)
def test_the_first_event_that_was_changed_is_named(log: Log, attack: Callable[[Log], None]) -> None:
    attack(log)
    indexes = [index for index, _ in log.findings() if index is not None]
    assert min(indexes) == FIRST_BAD[attack]


def test_an_event_that_is_put_in_among_the_old_ones_is_named(log: Log) -> None:
    log.change(
        "INSERT INTO audit_event SELECT gen_random_uuid(), recorded_at, xid, project, action, initiator, target_type, target_id, outcome,"
        " content, salt, commitment FROM audit_event WHERE id = :id",
        id=log.event(TARGET).id,
    )  # fmt: skip
    log.sequencer().extend()
    [(index, what)] = log.findings()
    assert (index, "can never be in the log" in what) == (None, True)


def test_a_database_that_was_restored_from_before_is_named_and_extends_nothing(log: Log) -> None:
    """The rows are those of an older moment, all of them, and new ones are added to them."""
    truncate_the_tail(log)
    log.change("UPDATE ledger_head SET size = :size", size=TARGET)
    assert min(index for index, _ in log.findings() if index is not None) == TARGET
    with pytest.raises(IntegrityViolation, match="older than the log"):
        log.sequencer().extend()


def test_a_checkpoint_that_another_key_has_signed_is_refused_wherever_it_lies(log: Log, tmp_path: Path) -> None:
    other = FileSigner.make("example.org/log", tmp_path / "other.key")
    shown = open_checkpoint((log.root / "checkpoint").read_text(), [log.signer.key], is_signed)
    note = signed(str(shown), (other.key, other.sign))
    log.change("UPDATE ledger_checkpoint SET note = :note WHERE size = :size", note=note, size=shown.size)
    assert [what for _, what in log.findings()] == [
        f"the checkpoint of {shown.size} events in the database: the note is not signed by example.org/log"
    ]
    (log.root / "checkpoint").write_text(note)
    with pytest.raises(IntegrityViolation, match="not signed by"):
        log.findings()
    with pytest.raises(IntegrityViolation, match="not this log's"):
        log.sequencer().extend()


def test_two_logs_that_are_shown_to_two_people_contradict_each_other(log: Log, tmp_path: Path) -> None:
    """Each is whole and signed; whoever is given the other's checkpoint finds out, and the copies hold one of them."""
    honest = (log.root / "checkpoint").read_text()
    shutil.copytree(log.root, tmp_path / "honest")
    edit_and_commit_again(log)
    log.change("DELETE FROM ledger_checkpoint")
    shutil.rmtree(log.root)
    log.sequencer().extend()
    log.known.clear()
    for place, theirs in ((log.root, honest), (tmp_path / "honest", (log.root / "checkpoint").read_text())):
        alone = Verification(DirectoryPlace(place), [log.signer.key], is_signed)
        alone.verify()
        assert alone.findings == []
        told = Verification(DirectoryPlace(place), [log.signer.key], is_signed, known={"the other's": theirs})
        told.verify()
        assert [finding.what for finding in told.findings] == [
            f"the checkpoint the other's of {log.event_count()} events has another root than the log's entries"
        ]


def test_a_log_that_is_made_anew_whole_contradicts_who_kept_a_checkpoint(log: Log) -> None:
    edit_and_commit_again(log)
    log.change("DELETE FROM ledger_checkpoint")
    shutil.rmtree(log.root)
    log.sequencer().extend()
    assert [what for _, what in log.findings()] == [
        f"the checkpoint outside of {COUNT // 2 + 1} events has another root than the log's entries"
    ]
    log.known.clear()
    assert log.findings() == [], "who has kept nothing cannot tell"
