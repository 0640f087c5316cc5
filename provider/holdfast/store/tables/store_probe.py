"""What each honesty probe of the object store has found."""

from typing import Any

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.store.tables.base import CreatedAt, Id, Table, TextList


class StoreProbeRow(Table):
    """One probe; it never changes.

    Attributes:
        place: of the store, as it names itself.
        is_honest: whether the store keeps its locks.
        findings: what it did with each rule.
        leftovers: canaries that were still locked.
        version: of the product that has probed.
    """

    __tablename__ = "store_probe"
    __table_args__ = (
        CheckConstraint("place <> ''", "place"),
        CheckConstraint("jsonb_typeof(findings) = 'array' AND findings <> '[]'::jsonb", "findings"),
        CheckConstraint("""NOT (is_honest AND findings @> '[{"outcome": "broken"}]'::jsonb)""", "is_honest"),
        Index("store_probe_place_ix", "place", "created_at", "id"),
    )

    id: Mapped[Id]
    place: Mapped[str]
    is_honest: Mapped[bool]
    findings: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    leftovers: Mapped[TextList]
    version: Mapped[str]
    probed_by: Mapped[str]
    created_at: Mapped[CreatedAt]
