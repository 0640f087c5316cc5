"""Pods that are quarantined or removed: each is on record before anybody touches it. Nothing here reaches a cluster."""

from dataclasses import dataclass

from sqlalchemy import func, select

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.service.transaction import Change, Transactions
from holdfast.store.tables import AuditEventRow
from holdfast.wire.pod import PodRecord, PodRequest


@dataclass(frozen=True, slots=True)
class PodService:
    """Implements `ports.Pods`."""

    transactions: Transactions

    def quarantine(self, name: str, uid: str, request: PodRequest, *, key: str | None = None) -> PodRecord:
        """Have it on record that a pod is quarantined, and since when; one that is already keeps its time.

        Raises:
            NotFound: there is no such Project for the caller; nothing is on record, and the pod is not to be touched.
            PolicyViolation: the caller may not reconcile; so here, too.
        """
        return self._record(AuditAction.POD_QUARANTINED, name, uid, request, key)

    def remove(self, name: str, uid: str, request: PodRequest, *, key: str | None = None) -> PodRecord:
        """Have it on record that a pod is removed, and since when; raises what `quarantine` raises."""
        return self._record(AuditAction.POD_REMOVED, name, uid, request, key)

    def _record(self, action: AuditAction, name: str, uid: str, request: PodRequest, key: str | None) -> PodRecord:
        def apply(change: Change) -> PodRecord:
            found = select(func.min(AuditEventRow.recorded_at)).where(
                AuditEventRow.target_id == uid,
                AuditEventRow.target_type == "pod",
                AuditEventRow.project == name,
                AuditEventRow.action == action,
            )
            if (moment := change.connection.scalar(found)) is not None:
                change.nothing_changed()
            else:
                moment = change.connection.scalar(select(func.now()))
                content = request.model_dump(mode="json", exclude={"reason"})
                change.record(action, "pod", uid, content, reason=request.reason)
            return PodRecord(uid=uid, project=name, action=action, recorded_at=moment)

        # One after the other, so that two reconcilers do not both find nothing.
        return self.transactions.change(
            f"pods.{action}/{uid}", Permission.RUN_RECONCILE, name, request, key, PodRecord, apply, turn=f"pod/{uid}"
        )
