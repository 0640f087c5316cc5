"""The ledger on a real database: every committed event gets one index, is published, and is proved to who has the key alone."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from holdfast.core.errors import IntegrityViolation
from holdfast.core.note import Checkpoint
from holdfast.ledger import verify_proof
from holdfast.ledger.copies import Copier
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.order import assign_indexes
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.prove import prove_events
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer
from holdfast.ledger.status import status_of
from holdfast.service.governance import GovernanceService
from holdfast.settings import Platform
from holdfast.wire.project import ProjectRequest
from tests.support.ledger import checked_by_others


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> FileSigner:
    return FileSigner.make("example.org/log", tmp_path_factory.mktemp("keys") / "log.key")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log")


@pytest.fixture
def sequencer(platform: Platform, signer: FileSigner, root: Path) -> Sequencer:
    return Sequencer(platform.engine, Publisher(platform.engine, [signer], is_signed, DirectoryPlace(root / "log")))


def create(admin: GovernanceService, count: int, prefix: str) -> None:
    for number in range(count):
        admin.projects.create(ProjectRequest(name=f"{prefix}-{number}", owner="tests"))


def events(owner_sql: Any) -> list[Any]:
    return list(owner_sql.execute(text("SELECT id FROM audit_event ORDER BY id")).scalars())


def test_every_event_is_in_the_log_and_proved_by_the_key_alone(
    admin: GovernanceService,
    sequencer: Sequencer,
    owner_sql: Any,
    platform: Platform,
    root: Path,
    signer: FileSigner,
    tmp_path: Path,
) -> None:
    create(admin, 5, "first")
    size = sequencer.extend()
    assert size == len(events(owner_sql)) >= 5

    proofs = []
    for event in events(owner_sql):
        with platform.engine.connect() as connection:
            proof = prove_events(connection, DirectoryPlace(root / "log"), None, event=event).text
        proofs.append(tmp_path / f"{event}.tlog-proof")
        proofs[-1].write_text(proof)
    command = [sys.executable, "-I", "-S", verify_proof.__file__, "--key", str(signer.key), *map(str, proofs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": holds") == size
    assert "project.created" in done.stdout


def test_what_is_added_extends_the_log_and_every_copy_has_every_checkpoint(
    admin: GovernanceService, sequencer: Sequencer, platform: Platform, signer: FileSigner, root: Path
) -> None:
    places = [DirectoryPlace(root / name) for name in ("worm", "witness")]
    copiers = [Copier(platform.engine, [signer.key], is_signed, place) for place in places]
    before = sequencer.extend()
    assert copiers[0].catch_up() == before
    create(admin, 300, "many")
    after = sequencer.extend()
    assert after == before + 300
    assert sequencer.extend() == after
    assert [copier.catch_up() for copier in copiers] == [after, after]
    for copy in ("worm", "witness"):
        kept = sorted((root / copy / "checkpoints").iterdir())
        assert int(kept[-1].name) == after
        assert (
            (root / copy / "checkpoint").read_text()
            == (root / "log" / "checkpoint").read_text()
            == kept[-1].read_text()
        )


def test_programs_that_are_not_ours_accept_every_entry_tile_proof_and_checkpoint(
    sequencer: Sequencer, root: Path, signer: FileSigner
) -> None:
    size = sequencer.extend()
    known = sorted((root / "worm" / "checkpoints").iterdir())
    found = checked_by_others(root / "log", str(signer.key), *known)
    assert found == {"size": size, "records": size, "consistent": len(known), "fsck": "holds", "tlog": "holds"}
    tile = root / "log" / "tile" / "0" / "000"
    content = tile.read_bytes()
    tile.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    spoilt = checked_by_others(root / "log", str(signer.key))
    tile.write_bytes(content)
    assert "holds" not in (spoilt["fsck"], spoilt["tlog"])


def test_an_event_of_a_transaction_that_ends_late_is_not_passed_over(
    admin: GovernanceService, sequencer: Sequencer, platform: Platform, owner_sql: Any
) -> None:
    with platform.engine.connect() as slow:
        slow.execute(text("SELECT pg_current_xact_id()"))
        create(admin, 3, "fast")
        waiting = sequencer.extend()
        assert waiting == len(events(owner_sql)) - 3
        slow.rollback()
    assert sequencer.extend() == len(events(owner_sql))


def test_a_database_that_was_restored_on_another_server_goes_on_where_it_was(
    admin: GovernanceService, sequencer: Sequencer, platform: Platform, owner_sql: Any
) -> None:
    create(admin, 3, "before")
    sequencer.extend()
    # As another server's: its number, and events of transactions that this one will not reach for ages.
    owner_sql.execute(text("UPDATE ledger_head SET server = 1, cursor_xid = '4000000000000'"))
    owner_sql.execute(
        text(
            "INSERT INTO audit_event SELECT gen_random_uuid(), recorded_at, '3999999999999', project, action, initiator, target_type,"
            " target_id, outcome, content, salt, commitment FROM audit_event LIMIT 2"
        )
    )
    with platform.engine.connect() as slow:
        # Under way since before: from now on what comes after it waits for it.
        slow.execute(text("SELECT pg_current_xact_id()"))
        create(admin, 3, "after")
        assert sequencer.extend() == len(events(owner_sql))
        create(admin, 2, "late")
        assert sequencer.extend() < len(events(owner_sql))
        slow.rollback()
    assert sequencer.extend() == len(events(owner_sql))
    assert owner_sql.scalar(text("SELECT server = system_identifier FROM ledger_head, pg_control_system()"))
    create(admin, 2, "later")
    assert sequencer.extend() == len(events(owner_sql))


def test_two_sequencers_that_work_at_once_give_each_event_one_index(
    admin: GovernanceService, platform: Platform, signer: FileSigner, root: Path, owner_sql: Any
) -> None:
    stop, failed = threading.Event(), []

    def work() -> None:
        publisher = Publisher(platform.engine, [signer], is_signed, DirectoryPlace(root / "log"))
        try:
            Sequencer(platform.engine, publisher).run(stop, 0.01)
        except BaseException as error:  # noqa: BLE001 - looked at below
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    create(admin, 60, "beside")
    stop.wait(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    count = owner_sql.scalar(text("SELECT count(*) FROM ledger_leaf"))
    assert count == len(events(owner_sql)) == owner_sql.scalar(text("SELECT max(index) + 1 FROM ledger_leaf"))


def test_a_database_that_is_older_than_its_log_publishes_nothing(
    sequencer: Sequencer, signer: FileSigner, root: Path
) -> None:
    sequencer.extend()
    from holdfast.core.note import signed

    path = root / "log" / "checkpoint"
    shown = path.read_text()
    newer = Checkpoint(signer.key.name, 10**6, bytes(32))
    path.write_text(signed(str(newer), (signer.key, signer.sign)))
    with pytest.raises(IntegrityViolation, match="older than the log"):
        sequencer.extend()
    assert "1000000" in path.read_text()
    path.write_text(shown)
    sequencer.extend()


@pytest.fixture(autouse=True)
def _no_lock_is_left(platform: Platform) -> Iterator[None]:
    yield
    with platform.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) == 0


def test_what_the_log_is_asked_all_the_time_costs_what_waits_and_not_what_there_is(
    admin: GovernanceService, sequencer: Sequencer, platform: Platform, owner_sql: Any
) -> None:
    create(admin, 1, "copied")
    many = text(
        "INSERT INTO audit_event (id, project, action, initiator, target_type, target_id, outcome, content, salt, commitment)"
        " SELECT gen_random_uuid(), project, action, initiator, target_type, target_id, outcome, content, salt, commitment"
        " FROM (SELECT * FROM audit_event ORDER BY id DESC LIMIT 1) e, generate_series(1, :count)"
    )
    owner_sql.execute(many, {"count": 20_000})
    owner_sql.commit()
    sequencer.extend()
    owner_sql.execute(text("ANALYZE audit_event, ledger_leaf"))
    owner_sql.execute(many, {"count": 100})
    owner_sql.commit()

    def rows_read(ask: Callable[[Connection], Any]) -> int:
        read = text(
            "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables WHERE schemaname = 'holdfast'"
        )
        with platform.engine.connect() as connection:
            before = connection.execute(read).scalar() or 0
            for _ in range(8):  # the server plans the first ones by their values
                ask(connection)
            return int((connection.execute(read).scalar() or 0) - before) // 8

    assert rows_read(status_of) < 1000
    assert rows_read(assign_indexes) < 1000
    assert rows_read(status_of) < 1000
    sequencer.extend()
    with platform.engine.connect() as connection:
        assert status_of(connection).waiting == 0
