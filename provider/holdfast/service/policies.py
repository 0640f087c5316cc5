"""Promotion policies."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select

from holdfast.core.access import Permission, Role
from holdfast.core.audit import AuditAction
from holdfast.core.digest import text_of
from holdfast.core.errors import InvalidRequest
from holdfast.core.promotion import ApprovalGate, Comparison, Gate, MetricGate
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.transaction import Change, Transactions, new_id
from holdfast.store import mapping
from holdfast.store.queries.models import newest_policy
from holdfast.store.queries.page import page_of
from holdfast.store.tables import PromotionPolicyRow
from holdfast.wire.canonical import document_digest
from holdfast.wire.model import Policy, PolicyRequest
from holdfast.wire.types import Page


def gates_of(documents: list[dict[str, Any]]) -> list[Gate]:
    """Return the gates of a stored policy."""
    return [
        MetricGate(gate["metric"], Comparison(gate["comparison"]), float(gate["bound"]))
        if gate["gate"] == "metric"
        else ApprovalGate(gate["count"], frozenset(Role(role) for role in gate["roles"]))
        for gate in documents
    ]


@dataclass(frozen=True)
class PolicyService:
    """The part of `ports.Promotions` that defines policies."""

    transactions: Transactions

    def define_policy(self, name: str, request: PolicyRequest, *, key: str | None = None) -> Policy:
        """Define a promotion policy; another content under the same name is its next version, the same content the version there is.

        Raises:
            InvalidRequest: the policy asks for nobody's approval.
        """
        if not any(gate.gate == "approval" for gate in request.gates):
            raise InvalidRequest(
                f"policy {request.name!r} asks for no approval", remedy="Add an approval gate: nobody promotes alone"
            )
        content = request.model_dump(mode="json")
        digest = document_digest({"format": "holdfast.promotion-policy/1", **content})

        def apply(change: Change) -> Policy:
            newest = newest_policy(change.connection, change.project, request.name)
            if newest is not None and newest.digest == digest:
                change.nothing_changed()
                return mapping.policy_of(newest, name)
            row = change.connection.execute(
                insert(PromotionPolicyRow)
                .values(
                    id=new_id(),
                    project_id=change.project,
                    version=newest.version + 1 if newest is not None else 1,
                    digest=digest,
                    created_by=change.caller.principal,
                    **content,
                )
                .returning(*PromotionPolicyRow.__table__.c)
            ).one()
            change.record(
                AuditAction.POLICY_DEFINED,
                "promotion_policy",
                row.id,
                {"name": request.name, "version": row.version, "digest": text_of(digest)},
            )
            return mapping.policy_of(row, name)

        return self.transactions.change(
            "promotions.define_policy",
            Permission.POLICY_WRITE,
            name,
            request,
            key,
            Policy,
            apply,
            turn=f"promotion_policy/{request.name}",
        )

    def list_policies(self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Policy]:
        """Return every version of every promotion policy, newest first."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            statement = select(*PromotionPolicyRow.__table__.c).where(PromotionPolicyRow.project_id == found.project_id)
            return page_of(
                connection,
                statement,
                PromotionPolicyRow.id,
                lambda row: mapping.policy_of(row, name),
                limit=limit,
                cursor=cursor,
            )
