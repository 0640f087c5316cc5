"""What the installation says of its object store. Who has probed it writes that down; from then on it is what is said.

What a probe found is no client's to claim: there is no route that takes it. It is written by who holds the store's credential and the
service's login, in one transaction with its event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, func, insert, select

from holdfast import __version__
from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.probe import RULES, Finding, RuleOutcome, hold_level, is_honest
from holdfast.ports import Eraser, ObjectStore
from holdfast.service.event import new_id
from holdfast.service.transaction import Change, Transactions
from holdfast.store.tables import StoreProbeRow
from holdfast.wire.store import StoreFinding, StoreProbe, StoreStanding


@dataclass(frozen=True, slots=True)
class StoreService:
    """Implements `ports.Store`.

    Attributes:
        transactions: on behalf of who asks.
        objects: the store.
        limit: how old a probe may be.
    """

    transactions: Transactions
    objects: ObjectStore
    limit: timedelta

    def show(self) -> StoreStanding:
        """Return what a hold is worth in the store now, by its newest probe; raises PolicyViolation."""
        with self.transactions.read(Permission.PROJECT_READ, None) as (connection, _):
            return standing_of(connection, self.objects, self.limit)

    def record_probe(self, findings: Sequence[Finding], leftovers: Sequence[str]) -> StoreProbe:
        """Have it on record what a probe of the store found, and return it; raises PolicyViolation, Unavailable: nothing is recorded."""
        identity, place, verdict = new_id(), self.objects.place, is_honest(findings)
        shown = [
            StoreFinding(
                rule=one.rule,
                tried=RULES[one.rule].tried,
                honest=RULES[one.rule].honest,
                outcome=one.outcome,
                says=one.says,
            )
            for one in findings
        ]

        def apply(change: Change) -> StoreProbe:
            values = {
                "id": identity,
                "place": place,
                "is_honest": verdict,
                "findings": [one.model_dump(mode="json") for one in shown],
                "leftovers": list(leftovers),
                "version": __version__,
                "probed_by": change.caller.principal,
            }
            statement = insert(StoreProbeRow).values(values).returning(*StoreProbeRow.__table__.c)
            probe = _probe_of(change.connection.execute(statement).one())
            content = {
                "probe": str(identity),
                "is_honest": verdict,
                "broken": probe.named(RuleOutcome.BROKEN),
                "untried": probe.named(RuleOutcome.UNTRIED),
                "leftovers": len(leftovers),
                "version": __version__,
            }
            change.record(AuditAction.STORE_PROBED, "store", place, content)
            return probe

        return self.transactions.change("store.probe", Permission.STORE_PROBE, None, None, None, StoreProbe, apply)


def standing_of(connection: Connection, store: ObjectStore | Eraser, limit: timedelta) -> StoreStanding:
    """Return what a hold is worth in a store now, by its newest probe, which may be so old at most."""
    newest = (
        select(*StoreProbeRow.__table__.c, (func.now() - StoreProbeRow.created_at).label("age"))
        .where(StoreProbeRow.place == store.place)
        .order_by(StoreProbeRow.created_at.desc(), StoreProbeRow.id.desc())
        .limit(1)
    )
    row = connection.execute(newest).one_or_none()
    level, why = hold_level(
        has_lock=store.has_lock,
        is_honest=row.is_honest if row else None,
        age=row.age if row else timedelta(0),
        limit=limit,
        by_this_version=row is not None and row.version == __version__,
    )
    probe = None if row is None else _probe_of(row)
    return StoreStanding(place=store.place, hold_level=level, why=why, probe=probe)


def _probe_of(row: object) -> StoreProbe:
    fields = {name: getattr(row, name) for name in StoreProbe.model_fields if name != "probed_at"}
    return StoreProbe(**fields, probed_at=row.created_at)  # type: ignore[attr-defined]
