"""Carries out an approved retention plan: exactly its items, each looked at once more, and a certificate of what became of them.

Of some items at a time first the record says that they go, then their bytes go, then the store is asked what is left, then the record
says what became of them. Whatever breaks off in between, the next call goes on with, and comes to the same certificate. While items go,
nobody can place a hold in their Project: it comes before, and then they stay, or afterwards, and then they are gone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Connection, Engine, Interval, Text, Uuid, bindparam, text

from holdfast.core.access import Caller
from holdfast.core.audit import AuditAction, Outcome
from holdfast.core.digest import of, text_of
from holdfast.core.errors import StateConflict
from holdfast.core.retention.clock import check_clocks
from holdfast.core.retention.plan import APPROVAL_LIFETIME, ItemState, check_items, make_certificate, name_of, root_of
from holdfast.core.retention.policy import ObjectType
from holdfast.ops.disposer import check_disposer
from holdfast.ports import Eraser
from holdfast.service.event import event_row
from holdfast.service.refusals import translate
from holdfast.service.retention_plans import entries_of, line_of
from holdfast.service.store import standing_of
from holdfast.service.transaction import Probe, no_probe
from holdfast.store.engine import read_only
from holdfast.store.prepared import Prepared
from holdfast.store.queries.retention import now_and_newest
from holdfast.store.queries.retention_plans import (
    BATCH,
    certificate_of,
    counts_of,
    items_of,
    open_items_of,
    plan_row,
)
from holdfast.store.record import write_record
from holdfast.store.turn import take_turn
from holdfast.wire.canonical import document_bytes
from holdfast.wire.retention_plan import RetentionExecution

_STANDSTILL_S = 600  # a store that does not answer is waited for, try by try
_PURGED = {
    ObjectType.ARTIFACT: AuditAction.ARTIFACT_PURGED,
    ObjectType.DATASET_VERSION: AuditAction.DATASET_VERSION_PURGED,
}
_GONE = "it has gone by another plan"
_AT_ITS_SOURCE = "its bytes are at their source, out of which Holdfast takes nothing"
PROBE_POINTS = ("checked", "begun", "erased", "ended", "recorded", "certified")


@dataclass(frozen=True, slots=True)
class _End:
    """What has become of an item."""

    row: Any
    state: ItemState
    says: str = ""


@dataclass(frozen=True, slots=True)
class Disposal:
    """Carries out retention plans.

    Attributes:
        engine: of the disposer's login.
        eraser: takes objects out of the store.
        caller: who does it.
        probe_limit: how old a probe of the store may be for the certificate to rely on it.
        progress: takes how many items have ended, of how many.
        probe: called at named points; tests inject faults by it.
        batch: items at a time: what is in memory, and for how many a hold has to wait.
    """

    engine: Engine
    eraser: Eraser
    caller: Caller
    probe_limit: timedelta = timedelta(hours=48)
    progress: Callable[[int, int], None] = lambda _done, _of: None
    probe: Probe = no_probe
    batch: int = BATCH

    def approved(self) -> list[str]:
        """Return the names of the plans that may be carried out here and now, or have begun to be, the oldest first."""
        with translate(), read_only(self.engine) as connection:
            return [
                name_of(row.number)
                for row in _APPROVED.all(connection, {"place": self.eraser.place, "lifetime": APPROVAL_LIFETIME})
            ]

    def carry_out(self, name: str) -> RetentionExecution:
        """Carry a plan out, or go on where that broke off; of one that is carried out already return what it came to.

        Args:
            name: `RP-12`, or its id.

        Raises:
            NotFound: there is none.
            StateConflict: it is not approved, its approval has expired, it is for another store or of another installation, another
                process carries it out, or the clocks disagree; nothing has gone by this call.
            IntegrityViolation: its items are not those that were approved; nothing has gone by this call.
            Unavailable: the store or the database does not answer; the next call goes on.
        """
        with translate(), read_only(self.engine) as connection:
            plan = plan_row(connection, None, name)
            if plan.certificate is None:
                self._check(connection, plan)
        if plan.certificate is None:
            with translate(), take_turn(self.engine, f"retention_plan/{plan.project_id}", _STANDSTILL_S) as keep:
                if keep is None:
                    raise StateConflict(
                        f"another process carries out a retention plan of Project {plan.project!r}",
                        remedy="Wait until it has ended",
                    )
                self._items(plan, keep)
                self._certify(plan)
        return self._execution(plan)

    def _check(self, connection: Connection, plan: Any) -> None:
        """Return when the plan is the one that was approved, for this store, and the clocks can be trusted."""
        if plan.place != self.eraser.place:
            raise StateConflict(
                f"retention plan {name_of(plan.number)} is for the object store {plan.place}, and this is {self.eraser.place}",
                remedy="Carry it out with the settings of the store that it was made for",
            )
        database, newest = now_and_newest(connection)
        check_clocks({"the database": database, "this machine": datetime.now(UTC)}, newest)
        check_items(entries_of(connection, plan.id), plan.root, name_of(plan.number))
        self.probe("checked")

    def _items(self, plan: Any, keep: Callable[[], None]) -> None:
        begin = 0
        while True:
            keep()
            with read_only(self.engine) as connection:
                rows = open_items_of(connection, plan.id, begin, self.batch)
            if not rows:
                return
            with self._undisturbed(plan.project_id) as connection:
                self._go(connection, plan, rows)
            begin = rows[-1].index + 1
            self.progress(min(begin, plan.item_count), plan.item_count)

    @contextmanager
    def _undisturbed(self, project: UUID) -> Iterator[Connection]:
        """Yield a connection during whose use no hold is placed in a Project; it ends with the session, however that ends."""
        with self.engine.connect() as connection:
            _LOCK.all(connection, {"project": project})
            connection.commit()
            try:
                yield connection
            finally:
                connection.invalidate()

    def _go(self, connection: Connection, plan: Any, rows: Sequence[Any]) -> None:
        by_index = {row.index: row for row in rows}
        with connection.begin():
            begun = _BEGIN.all(connection, {"plan": plan.id, "indexes": list(by_index)})
            obstacles = {row.index: row for row in begun if row.obstacle is not None}
            kept = [
                _End(by_index[index], ItemState.KEPT, one.obstacle)
                for index, one in obstacles.items()
                if not one.was_begun
            ]
            self._record(connection, plan, kept)
        self.probe("begun")
        # What the database does not say to be going has ended meanwhile, by somebody else.
        going = [by_index[row.index] for row in begun if row.obstacle is None]
        left = self.eraser.erase([row.object_key for row in going if row.object_key is not None])
        self.probe("erased")
        ends = [_ended(row, left) for row in going]
        late = {index: one.obstacle for index, one in obstacles.items() if one.was_begun}
        ends += self._late(late, by_index)
        with connection.begin():
            values = {
                "indexes": [one.row.index for one in ends],
                "states": [one.state.value for one in ends],
                "says": [one.says for one in ends],
            }
            _END.all(connection, {"plan": plan.id, **values})
            self._record(connection, plan, ends)
            self.probe("ended")
        self.probe("recorded")

    def _late(self, late: Mapping[int, str], rows: Mapping[int, Any]) -> list[_End]:
        """Return what has become of items that had begun to go when something came in between: of those whose bytes are there still, nothing."""
        keys = [rows[index].object_key for index in late if rows[index].object_key is not None]
        shown = self.eraser.shows(keys) if keys else {}
        return [
            _End(rows[index], ItemState.KEPT, why)
            if why.startswith(_GONE) or rows[index].object_key is None or shown.get(rows[index].object_key)
            else _End(rows[index], ItemState.RESIDUAL, f"its bytes had gone before; its record stays: {why}")
            for index, why in late.items()
        ]

    def _record(self, connection: Connection, plan: Any, ends: Sequence[_End]) -> None:
        events = []
        for one in ends:
            kind = ObjectType(one.row.object_type)
            content = {
                "plan": name_of(plan.number),
                "index": one.row.index,
                "outcome": one.state.value,
                "says": one.says,
                "digest": text_of(one.row.digest),
                "policy_digest": text_of(one.row.policy_digest),
            }
            action = AuditAction.RETENTION_PLAN_ITEM_KEPT if one.state is ItemState.KEPT else _PURGED[kind]
            outcome = Outcome.REFUSED if one.state is ItemState.RESIDUAL else Outcome.SUCCEEDED
            target = (kind.value, str(one.row.object_id))
            events.append(event_row(self.caller, plan.project, action, target, content, outcome=outcome))
        if events:
            write_record(connection, events, None)

    def _certify(self, plan: Any) -> None:
        with self.engine.begin() as connection:
            approval = _APPROVAL.one(connection, {"plan": plan.id})
            standing = standing_of(connection, self.eraser, self.probe_limit)
            counts = counts_of(connection, plan.id)
            root = root_of(document_bytes(line_of(plan.id, row)) for row in items_of(connection, plan.id))
            certificate = make_certificate(
                {
                    "id": str(plan.id),
                    "name": name_of(plan.number),
                    "project": plan.project,
                    "items": plan.item_count,
                    "root": text_of(plan.root),
                    "planned_by": plan.planned_by,
                    "planned_at": plan.created_at.isoformat(),
                },
                {
                    "principal": plan.principal,
                    "approved_at": plan.decided_at.isoformat(),
                    "event": str(approval.event),
                    "index": approval.index,
                },
                {state.value: counts[state] for state in (ItemState.PURGED, ItemState.KEPT, ItemState.RESIDUAL)},
                root,
                {"place": self.eraser.place, "hold_level": standing.hold_level.value},
            )
            content = document_bytes(certificate)
            digest = of(content)
            said = {
                "plan": name_of(plan.number),
                "certificate": text_of(digest),
                "root": text_of(root),
                "outcomes": certificate["outcomes"],
            }
            target = ("retention_plan", str(plan.id))
            event = event_row(self.caller, plan.project, AuditAction.RETENTION_PLAN_CERTIFIED, target, said)
            write_record(connection, [event], None)
            values = {"event": event["id"], "content": content.decode(), "digest": digest, "root": root}
            _CERTIFY.all(connection, {"plan": plan.id, **values})
            self.probe("certified")

    def _execution(self, plan: Any) -> RetentionExecution:
        with translate(), read_only(self.engine) as connection:
            certificate = certificate_of(connection, plan)
        return RetentionExecution(plan=name_of(plan.number), **certificate.content["outcomes"], certificate=certificate)


def check_login(engine: Engine) -> None:
    """Return when the login may carry out plans; raises InvalidRequest where it is another one than the disposer's."""
    check_disposer(engine, "begin_disposal(uuid, bigint[])", "carry out retention plans")


def _ended(row: Any, left: Mapping[str, Sequence[str]]) -> _End:
    if row.object_key is None:
        return _End(row, ItemState.PURGED, _AT_ITS_SOURCE)
    if shown := left.get(row.object_key):
        return _End(row, ItemState.RESIDUAL, "; ".join(shown))
    return _End(row, ItemState.PURGED)


_INDEXES = bindparam("indexes", type_=ARRAY(BigInteger))
_PLAN = bindparam("plan", type_=Uuid)
_APPROVED = Prepared(
    text(
        """
        SELECT p.number FROM retention_plan p JOIN retention_plan_decision d ON d.plan_id = p.id
        WHERE d.decision = 'approve' AND NOT EXISTS (SELECT FROM retention_certificate c WHERE c.plan_id = p.id)
        AND p.place = :place AND p.server = (pg_control_system()).system_identifier AND (
            d.created_at > now() - CAST(:lifetime AS interval)
            OR EXISTS (SELECT FROM retention_plan_item i WHERE i.plan_id = p.id AND i.state <> 'planned')
        ) ORDER BY p.number
        """
    ).bindparams(bindparam("lifetime", type_=Interval))
)
# The lock that whoever places a hold takes for himself alone.
_LOCK = Prepared(
    text("SELECT pg_advisory_lock_shared(hashtextextended('legal_hold/' || CAST(:project AS uuid), 0))").bindparams(
        bindparam("project", type_=Uuid)
    )
)
_BEGIN = Prepared(
    text("SELECT index, obstacle, was_begun FROM begin_disposal(:plan, :indexes)").bindparams(_PLAN, _INDEXES)
)
_END = Prepared(
    text("SELECT end_disposal(:plan, :indexes, :states, :says)").bindparams(
        _PLAN, _INDEXES, bindparam("states", type_=ARRAY(Text)), bindparam("says", type_=ARRAY(Text))
    )
)
_APPROVAL = Prepared(text("SELECT event, index FROM approval_of(:plan)").bindparams(_PLAN))
_CERTIFY = Prepared(
    text("SELECT certify_plan(:plan, :event, :content, CAST(:digest AS bytea), CAST(:root AS bytea))").bindparams(
        _PLAN, bindparam("event", type_=Uuid)
    )
)
