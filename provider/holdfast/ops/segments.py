"""What is done to the segments of the audit trail: they are closed, sealed and disposed of, and single events are erased.

Each step is a transaction of its own with the event that says so. Whether it may be, the database decides once more.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from holdfast.core.access import Caller, Permission
from holdfast.core.audit import AuditAction, EventClass
from holdfast.core.digest import text_of
from holdfast.core.errors import HoldfastError, InvalidRequest, NotFound, StateConflict, Unavailable
from holdfast.core.segments import WITH_QUOTA, Step
from holdfast.ledger.disposals import rule_content
from holdfast.ledger.place import Place
from holdfast.ledger.segments import leaves_of, retention_of, segments_of
from holdfast.ops.disposer import check_disposer
from holdfast.service.event import event_row, new_id
from holdfast.service.refusals import translate
from holdfast.service.transaction import Change, Probe, Transactions, no_probe
from holdfast.store.engine import read_only
from holdfast.store.prepared import Prepared
from holdfast.store.record import write_record
from holdfast.wire.ledger import AuditRetention, AuditSegment, ErasedEvent, SegmentOutcome

_SEGMENT, _RETENTION, _EVENT = "audit_segment", "audit_retention", "audit_event"


@dataclass(frozen=True, slots=True)
class Retention:
    """Keeps the audit trail no longer than its rules say.

    Attributes:
        engine: of the disposer's login.
        log: where the log is read: what goes has to stand in it.
        caller: who does it.
        probe: called at named points; tests inject faults by it.
    """

    engine: Engine
    log: Place
    caller: Caller
    probe: Probe = no_probe

    def apply(self) -> Iterator[SegmentOutcome]:
        """Do to each segment what is due, and yield what has become of it; whatever breaks off is done by the next call.

        Raises:
            Unavailable: the database or the log does not answer; what was yielded is done.
        """
        for step, act in ((Step.CLOSE, self._close), (Step.SEAL, self._seal), (Step.DISPOSE, self._dispose)):
            with translate(), read_only(self.engine) as connection:
                due = [segment for segment in segments_of(connection).segments if segment.next is step]
            for segment in due:
                yield self._outcome(segment, step, act)

    def _outcome(self, segment: AuditSegment, step: Step, act: Callable[[AuditSegment], str]) -> SegmentOutcome:
        try:
            became, says = "done", act(segment)
        except StateConflict as conflict:
            became, says = "waits", conflict.message
        except HoldfastError as error:
            if isinstance(error, Unavailable):
                raise
            became, says = "refused", str(error)
        return SegmentOutcome(
            segment=segment.segment, event_class=segment.event_class, step=step, became=became, says=says
        )

    def _close(self, segment: AuditSegment) -> str:
        with self._transaction() as connection:
            _CLOSE.all(connection, {"class": segment.event_class.value})
        return segment.why

    def _seal(self, segment: AuditSegment) -> str:
        with self._transaction() as connection:
            count, root = leaves_of(connection, self.log, segment.segment)
            row = _SEAL.one(connection, {"segment": segment.segment, "count": count, "root": root})
            content = {
                "class": segment.event_class.value,
                "count": count,
                "first_index": row.first_index,
                "last_index": row.last_index,
                "oldest_at": row.oldest_at.isoformat(),
                "newest_at": row.newest_at.isoformat(),
                "root": text_of(root),
            }
            self._record(connection, AuditAction.AUDIT_SEGMENT_SEALED, segment.segment, content)
            self.probe("sealed")
        return f"{count} events, each as it is in the log"

    def _dispose(self, segment: AuditSegment) -> str:
        with self._transaction() as connection:
            [rule] = [one for one in retention_of(connection) if one.event_class is segment.event_class]
            content = {
                "class": segment.event_class.value,
                **segment.model_dump(
                    mode="json", include={"count", "first_index", "last_index", "oldest_at", "newest_at", "root"}
                ),
                "rule": rule.model_dump(mode="json", exclude={"event_class"}),
            }
            certificate = self._record(
                connection, AuditAction.AUDIT_SEGMENT_DISPOSED, segment.segment, content, reason=segment.why
            )
            self.probe("certified")
            _DISPOSE.all(connection, {"segment": segment.segment, "certificate": certificate})
            self.probe("disposed")
        return f"{segment.count} events have gone: {segment.why}"

    def erase(self, event: UUID, reason: str) -> ErasedEvent:
        """Erase what an event says and about whom; its id, time, action and commitment stay, and so does every proof.

        Args:
            event: its id.
            reason: why, which everybody will read who may read events.

        Raises:
            NotFound: there is no such event, or it is not in the log yet.
            InvalidRequest: no reason is given.
            StateConflict: it is erased already, or says itself that something has gone.
        """
        if not reason.strip():
            raise InvalidRequest("no reason is given for erasing an event", remedy="Say why, by --reason")
        with self._transaction() as connection:
            row = _FIND.one_or_none(connection, {"event": event})
            if row is None:
                raise NotFound(
                    f"there is no audit event {event} in the log",
                    remedy="An event is erased once it can be proved; `holdfast audit list` shows events",
                )
            if row.erased_at is not None:
                raise StateConflict(f"audit event {event} is erased already", remedy="There is nothing left to do")
            content = {
                "index": row.index,
                "action": row.action,
                "target_type": row.target_type,
                "outcome": row.outcome,
                "commitment": text_of(row.commitment),
            }
            record = self._record(
                connection, AuditAction.AUDIT_EVENT_ERASED, event, content, reason=reason, project=row.project
            )
            self.probe("recorded")
            _ERASE.all(connection, {"event": event})
            self.probe("erased")
        return ErasedEvent(event=event, index=row.index, record=record)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with translate(), self.engine.begin() as connection:
            yield connection

    def _record(
        self,
        connection: Connection,
        action: AuditAction,
        target: int | UUID,
        content: dict[str, object],
        *,
        reason: str = "",
        project: str | None = None,
    ) -> UUID:
        kind = _SEGMENT if isinstance(target, int) else _EVENT
        row = event_row(self.caller, project, action, (kind, str(target)), content, reason=reason)
        write_record(connection, [row], None)
        identity: UUID = row["id"]  # type: ignore[assignment]
        return identity


def check_login(engine: Engine) -> None:
    """Return when the login may dispose of events; raises InvalidRequest where it is another one than the disposer's."""
    check_disposer(engine, "dispose_segment(bigint, uuid)", "dispose of audit events")


def define_retention(
    transactions: Transactions, event_class: EventClass, period_days: int | None, quota: int | None, reason: str
) -> AuditRetention:
    """Say for how long events of a class are kept from now on, and return the rule.

    Args:
        transactions: on behalf of who says so; the service's login.
        event_class: any but `disposal`.
        period_days: 1 to 36500; None for ever.
        quota: 1 or more, for what anybody can cause without a right: denials, log-ins, reads; None without.
        reason: why.

    Raises:
        InvalidRequest: the class or a number cannot be; no rule has changed.
        PolicyViolation: the caller may not say so.
    """
    if event_class is EventClass.DISPOSAL:
        raise InvalidRequest("what says that events have gone is kept for ever", remedy="Name another class")
    if quota is not None and event_class not in WITH_QUOTA:
        raise InvalidRequest(
            f"events of class {event_class} have no quota", remedy=f"{', '.join(sorted(WITH_QUOTA))} may have one"
        )
    if not reason.strip():
        raise InvalidRequest("no reason is given for the rule", remedy="Say why, by --reason")

    def apply(change: Change) -> AuditRetention:
        identity = new_id()
        _DEFINE.all(
            change.connection,
            {
                "id": identity,
                "class": event_class.value,
                "period_days": period_days,
                "quota": quota,
                "reason": reason,
                "by": change.caller.principal,
            },
        )
        [rule] = [one for one in retention_of(change.connection) if one.event_class is event_class]
        content = rule_content(identity, rule)
        change.record(AuditAction.AUDIT_RETENTION_DEFINED, _RETENTION, event_class.value, content, reason=reason)
        return rule

    # One after the other: the newest counts, and two of one moment would have no order.
    return transactions.change(
        "audit.retention", Permission.POLICY_WRITE, None, None, None, AuditRetention, apply, turn="audit_retention"
    )


_CLOSE = Prepared(text("SELECT close_segment(:class)"))
_SEAL = Prepared(
    text(
        "SELECT first_index, last_index, oldest_at, newest_at FROM seal_segment(:segment, :count, CAST(:root AS bytea))"
    )
)
_DISPOSE = Prepared(text("SELECT dispose_segment(:segment, :certificate)"))
_ERASE = Prepared(text("SELECT erase_event(:event)"))
_FIND = Prepared(
    text(
        "SELECT l.index, e.project, e.action, e.target_type, e.outcome, e.commitment, e.erased_at FROM ledger_leaf l"
        " JOIN audit_event e ON e.id = l.event_id AND e.segment = l.segment WHERE l.event_id = :event"
    )
)
_DEFINE = Prepared(
    text(
        "INSERT INTO audit_retention (id, class, period_days, quota, reason, defined_by)"
        " VALUES (:id, :class, :period_days, :quota, :reason, :by)"
    )
)
