"""Projects, role bindings, service tokens and the replies kept for idempotency keys."""

from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.core.access import Role
from holdfast.core.policy import DataPlaneKind, ProjectClass
from holdfast.store.tables.base import (
    Bytes,
    CreatedAt,
    Document,
    Id,
    Moment,
    Table,
    TextList,
    is_digest,
    one_of,
    project_key,
)


class ProjectRow(Table):
    """A Project."""

    __tablename__ = "project"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("name ~ '^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$'", "name"),
        one_of("project_class", ProjectClass),
        one_of("data_plane", DataPlaneKind),
        CheckConstraint("project_class <> 'production' OR data_plane <> 'local'", "production_is_isolated"),
        Index("project_namespace_uq", "namespace", unique=True, postgresql_where=text("archived_at IS NULL")),
    )

    id: Mapped[Id]
    name: Mapped[str]
    owner: Mapped[str]
    project_class: Mapped[str]
    data_plane: Mapped[str]
    namespace: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    archived_at: Mapped[Moment | None]


class RoleBindingRow(Table):
    """A role for a subject in a Project, or on the platform where there is no Project."""

    __tablename__ = "role_binding"
    __table_args__ = (
        project_key(),
        Index(
            "role_binding_active_uq",
            text("coalesce(project_id::text, '')"),
            "subject",
            "role",
            unique=True,
            postgresql_where=text("revoked_at IS NULL"),
        ),
        # Every call looks up the roles of its caller.
        Index("role_binding_subject_ix", "subject", postgresql_where=text("revoked_at IS NULL")),
        Index("role_binding_project_ix", "project_id", "id"),
        one_of("role", Role),
        CheckConstraint("subject ~ '^(user|group):.+'", "subject"),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID | None]
    subject: Mapped[str]
    role: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    revoked_at: Mapped[Moment | None]


class ServiceTokenRow(Table):
    """A service token; of the secret only the SHA-256."""

    __tablename__ = "service_token"
    __table_args__ = (
        project_key(),
        UniqueConstraint("project_id", "id"),
        *is_digest("secret_hash"),
        CheckConstraint("expires_at > created_at", "expires"),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID]
    name: Mapped[str]
    secret_hash: Mapped[Bytes]
    scope: Mapped[TextList]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Moment]
    revoked_at: Mapped[Moment | None]


class IdempotencyReplyRow(Table):
    """The reply that a caller got for an idempotency key; none where the reply held a secret."""

    __tablename__ = "idempotency_reply"
    __table_args__ = is_digest("request_digest")

    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_digest: Mapped[Bytes]
    # Not jsonb: it is read as a whole or not at all, and as it was given.
    reply: Mapped[Document | None] = mapped_column(JSON)
    created_at: Mapped[CreatedAt]
