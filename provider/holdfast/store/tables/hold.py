"""Legal holds, what each covers, and how one is released."""

from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.core.hold import (
    LONGEST_COOLING_OFF_S,
    SHORTEST_COOLING_OFF_S,
    Decision,
    HeldType,
    LockState,
    QueriedType,
    ReachedBy,
)
from holdfast.store.tables.base import SCHEMA, CreatedAt, Id, Moment, Table, TextList, one_of

_QUERY = ("query_kind", "query_label", "query_name", "query_after", "query_before")


class LegalHoldRow(Table):
    """A legal hold; only its release changes it, once and for good.

    Attributes:
        number: as people write it, `LH-12`.
        is_expanded: whether what it covers is followed along the lineage.
        query_type: what its query asks for, which counts for later writes as well; None where its scope is a list of objects.
        cooling_off_s: how long its release has to be asked for before it can be approved.
    """

    __tablename__ = "legal_hold"
    __table_args__ = (
        ForeignKeyConstraint(["query_project_id"], [f"{SCHEMA}.project.id"]),
        UniqueConstraint("number"),
        CheckConstraint("matter <> ''", "matter"),
        CheckConstraint("reason <> ''", "reason"),
        one_of("query_type", QueriedType),
        CheckConstraint(
            "(query_type IS NULL) = (query_project_id IS NULL)"
            f" AND (query_type IS NOT NULL OR num_nonnulls({', '.join(_QUERY)}) = 0)",
            "query",
        ),
        CheckConstraint("query_after < query_before", "window"),
        CheckConstraint(f"cooling_off_s BETWEEN {SHORTEST_COOLING_OFF_S} AND {LONGEST_COOLING_OFF_S}", "cooling_off_s"),
        Index("legal_hold_active_ix", "query_project_id", postgresql_where=text("released_at IS NULL")),
    )

    id: Mapped[Id]
    number: Mapped[int] = mapped_column(BigInteger, Identity())
    matter: Mapped[str]
    custodians: Mapped[TextList]
    reason: Mapped[str]
    is_expanded: Mapped[bool]
    query_type: Mapped[str | None]
    query_project_id: Mapped[UUID | None]
    query_kind: Mapped[str | None]
    query_label: Mapped[str | None]
    query_name: Mapped[str | None]
    query_after: Mapped[Moment | None]
    query_before: Mapped[Moment | None]
    cooling_off_s: Mapped[int] = mapped_column(Integer)
    placed_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    released_at: Mapped[Moment | None]


class LegalHoldReleaseRow(Table):
    """That the release of a legal hold was asked for, and what was decided. Two people and the time between are rules of the database."""

    __tablename__ = "legal_hold_release"
    __table_args__ = (
        ForeignKeyConstraint(["hold_id"], [f"{SCHEMA}.legal_hold.id"]),
        CheckConstraint("reason <> ''", "reason"),
        one_of("decision", Decision),
        CheckConstraint("num_nulls(decision, decided_by, decided_at) IN (0, 3)", "decided"),
        CheckConstraint("requested_by LIKE 'user:_%' AND decided_by LIKE 'user:_%'", "people"),
        CheckConstraint("decision <> 'approve' OR decided_by <> requested_by", "two_people"),
        Index("legal_hold_release_hold_ix", "hold_id", "id"),
        Index("legal_hold_release_open_ix", "hold_id", unique=True, postgresql_where=text("decision IS NULL")),
    )

    id: Mapped[Id]
    hold_id: Mapped[UUID]
    requested_by: Mapped[str]
    reason: Mapped[str]
    requested_at: Mapped[CreatedAt] = mapped_column(server_default=text("clock_timestamp()"))
    decision: Mapped[str | None]
    decided_by: Mapped[str | None]
    decided_at: Mapped[Moment | None]
    decision_reason: Mapped[str] = mapped_column(server_default=text("''"))


class LegalHoldObjectRow(Table):
    """That a legal hold covers an object, and how it was reached; only grows, but for the state of its lock in the object store.

    Attributes:
        reached_by: by the hold's scope, or along the lineage.
        from_id: the object from which it was reached; None for the scope itself.
        lock_state: of an Artifact's bytes in the object store; None for what has none there.
        read_back_at: when the store last said so itself.
    """

    __tablename__ = "legal_hold_object"
    __table_args__ = (
        ForeignKeyConstraint(["hold_id"], [f"{SCHEMA}.legal_hold.id"]),
        one_of("object_type", HeldType),
        one_of("reached_by", ReachedBy),
        CheckConstraint(
            "(reached_by = 'scope') = (from_id IS NULL) AND (from_type IS NULL) = (from_id IS NULL)", "from"
        ),
        one_of("lock_state", LockState),
        CheckConstraint("(object_type = 'artifact') = (lock_state IS NOT NULL)", "lock"),
        Index("legal_hold_object_object_ix", "object_id"),
        Index("legal_hold_object_wanted_ix", "hold_id", "object_id", postgresql_where=text("lock_state = 'wanted'")),
    )

    hold_id: Mapped[UUID] = mapped_column(primary_key=True)
    object_type: Mapped[str]
    object_id: Mapped[UUID] = mapped_column(primary_key=True)
    reached_by: Mapped[str]
    from_type: Mapped[str | None]
    from_id: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]
    lock_state: Mapped[str | None]
    read_back_at: Mapped[Moment | None]
