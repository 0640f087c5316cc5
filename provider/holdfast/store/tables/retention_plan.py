"""Retention plans with their items, what was decided on each plan, and the certificate of what became of it."""

from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.core.access import Role
from holdfast.core.retention.plan import CARRIED_OUT, PLANNED, ItemState
from holdfast.store.tables.base import (
    SCHEMA,
    Bytes,
    CreatedAt,
    Document,
    Id,
    Moment,
    Table,
    is_digest,
    one_of,
    project_key,
)


class RetentionPlanRow(Table):
    """A retention plan; never changes.

    Attributes:
        number: as people write it, `RP-12`.
        place: the object store that it is for.
        server: the database server that it was made on, by PostgreSQL's system identifier.
        left_out: how many objects are due and not planned, by why.
        root: of the Merkle tree over its items.
    """

    __tablename__ = "retention_plan"
    __table_args__ = (
        project_key(),
        UniqueConstraint("number"),
        UniqueConstraint("id", "planned_by", "root", name="retention_plan_made_uq"),
        CheckConstraint("item_count > 0 AND size_bytes >= 0", "sizes"),
        CheckConstraint("reason <> ''", "reason"),
        *is_digest("root"),
        Index("retention_plan_project_ix", "project_id", "id"),
    )

    id: Mapped[Id]
    number: Mapped[int] = mapped_column(BigInteger, Identity())
    project_id: Mapped[UUID]
    place: Mapped[str]
    server: Mapped[int] = mapped_column(BigInteger, server_default=text("(pg_control_system()).system_identifier"))
    item_count: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    left_out: Mapped[Document]
    root: Mapped[Bytes]
    reason: Mapped[str]
    planned_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class RetentionPlanItemRow(Table):
    """An object that may go, exactly as it is; only what becomes of it changes.

    Attributes:
        object_key: of its bytes in the object store; None for a DatasetVersion, whose bytes are at their source.
        policy_digest: of the policy's version that let it go.
        says: why it is kept, or what remains.
    """

    __tablename__ = "retention_plan_item"
    __table_args__ = (
        ForeignKeyConstraint(["plan_id"], [f"{SCHEMA}.retention_plan.id"], deferrable=True, initially="DEFERRED"),
        ForeignKeyConstraint(["policy_id"], [f"{SCHEMA}.retention_policy.id"]),
        UniqueConstraint("plan_id", "object_id", name="retention_plan_item_object_uq"),
        CheckConstraint("index >= 0", "index"),
        one_of("object_type", PLANNED),
        CheckConstraint(
            "num_nulls(object_key, version_id) = CASE object_type WHEN 'artifact' THEN 0 ELSE 2 END", "bytes"
        ),
        *is_digest("digest", "policy_digest"),
        one_of("disposition", CARRIED_OUT),
        one_of("state", ItemState),
        CheckConstraint("(ended_at IS NOT NULL) = (state IN ('purged', 'kept', 'residual'))", "ended"),
        CheckConstraint("says <> '' OR state IN ('planned', 'purging', 'purged')", "says"),
        Index("retention_plan_item_object_ix", "object_id"),
    )

    plan_id: Mapped[UUID] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    project_id: Mapped[UUID]
    object_type: Mapped[str]
    object_id: Mapped[UUID]
    object_key: Mapped[str | None]
    version_id: Mapped[str | None]
    digest: Mapped[Bytes]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    policy_id: Mapped[UUID]
    policy_digest: Mapped[Bytes]
    disposition: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'planned'"))
    says: Mapped[str] = mapped_column(server_default=text("''"))
    ended_at: Mapped[Moment | None]


class RetentionPlanDecisionRow(Table):
    """The one decision on a plan, over its root. Planner ≠ approver is a constraint here, and so is that the approver is an officer."""

    __tablename__ = "retention_plan_decision"
    __table_args__ = (
        ForeignKeyConstraint(
            ["plan_id", "planned_by", "root"],
            [f"{SCHEMA}.retention_plan.{column}" for column in ("id", "planned_by", "root")],
            name="retention_plan_decision_made_fk",
        ),
        one_of("decision", ("approve", "reject", "withdraw")),
        CheckConstraint("decision = 'withdraw' OR principal <> planned_by", "planner_is_not_approver"),
        CheckConstraint(
            f"decision = 'withdraw' OR '{Role.SECURITY_OFFICER}' = ANY (roles) AND principal LIKE 'user:_%'",
            "approver_is_officer",
        ),
    )

    plan_id: Mapped[UUID] = mapped_column(primary_key=True)
    planned_by: Mapped[str]
    root: Mapped[Bytes]
    principal: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    decision: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[CreatedAt]


class RetentionCertificateRow(Table):
    """What became of a plan, in canonical form; never changes.

    Attributes:
        event_id: the audit event that has its digest.
        root: of the Merkle tree over what became of each item.
    """

    __tablename__ = "retention_certificate"
    __table_args__ = (
        ForeignKeyConstraint(["plan_id"], [f"{SCHEMA}.retention_plan.id"]),
        CheckConstraint("digest = sha256(convert_to(content, 'UTF8'))", "digest"),
        *is_digest("root"),
    )

    plan_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID]
    content: Mapped[str]
    digest: Mapped[Bytes]
    root: Mapped[Bytes]
    created_at: Mapped[CreatedAt]
