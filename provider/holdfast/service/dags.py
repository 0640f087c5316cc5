"""Dags that Airflow was not let take: refused where they are parsed, on record here."""

from dataclasses import dataclass

from sqlalchemy import func, select

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction, Outcome
from holdfast.service.transaction import Change, Transactions
from holdfast.wire.dag import DagRefusal, DagRefusalRequest


@dataclass(frozen=True, slots=True)
class DagService:
    """Implements `ports.Dags`."""

    transactions: Transactions

    def refuse(self, name: str, request: DagRefusalRequest, *, key: str | None = None) -> DagRefusal:
        """Have it on record that a policy has refused a Dag; raises NotFound, PolicyViolation as every change does."""

        def apply(change: Change) -> DagRefusal:
            content = request.model_dump(mode="json", exclude={"dag_id", "reason"})
            change.record(
                AuditAction.DAG_REFUSED,
                "dag",
                request.dag_id,
                content,
                reason=request.reason,
                outcome=Outcome.REFUSED,
            )
            moment = change.connection.scalar(select(func.now()))
            return DagRefusal(dag_id=request.dag_id, project=name, rule=request.rule, recorded_at=moment)

        return self.transactions.change("dags.refuse", Permission.RUN_WRITE, name, request, key, DagRefusal, apply)
