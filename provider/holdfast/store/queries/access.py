"""Who the caller is to a Project, and what was answered before, in one round trip."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from holdfast.core.access import Access, Caller, Role
from holdfast.store.tables import IdempotencyReplyRow, ProjectRow, RoleBindingRow, ServiceTokenRow


@dataclass(frozen=True, slots=True)
class Authorisation:
    """What one round trip tells about a call."""

    access: Access
    project_id: UUID | None
    is_archived: bool
    project_class: str
    data_plane: str
    reply: tuple[bytes, dict[str, object] | None] | None


_roles = (
    select(func.array_agg(RoleBindingRow.role))
    .where(
        RoleBindingRow.subject == func.any(bindparam("subjects", type_=ARRAY(Text))),
        RoleBindingRow.revoked_at.is_(None),
        or_(RoleBindingRow.project_id.is_(None), RoleBindingRow.project_id == ProjectRow.id),
    )
    .correlate(ProjectRow)
    .scalar_subquery()
)
_ONE = select(literal(1).label("one")).subquery()
_AUTHORISE = (
    select(
        ProjectRow.id,
        ProjectRow.archived_at,
        ProjectRow.project_class,
        ProjectRow.data_plane,
        _roles.label("roles"),
        IdempotencyReplyRow.request_digest,
        IdempotencyReplyRow.reply,
    )
    .select_from(_ONE)
    .outerjoin(ProjectRow, ProjectRow.name == bindparam("project"))
    .outerjoin(
        IdempotencyReplyRow,
        and_(IdempotencyReplyRow.principal == bindparam("principal"), IdempotencyReplyRow.key == bindparam("key")),
    )
)


def authorise(connection: Connection, caller: Caller, project: str | None, key: str | None = None) -> Authorisation:
    """Return what the caller is to the Project (or to the platform) and the reply that its key has got before, if any."""
    row = connection.execute(
        _AUTHORISE, {"project": project, "subjects": list(caller.subjects), "principal": caller.principal, "key": key}
    ).one()
    if caller.principal.startswith("system:"):
        roles = frozenset(Role)
    else:
        roles = frozenset(Role(role) for role in row.roles or ())
    exists = project is None or row.id is not None
    access = Access(caller if exists else _nobody(caller), project, roles if exists else frozenset())
    return Authorisation(
        access=access,
        project_id=row.id,
        is_archived=row.archived_at is not None,
        project_class=row.project_class or "",
        data_plane=row.data_plane or "",
        reply=(row.request_digest, row.reply) if row.request_digest is not None else None,
    )


def _nobody(caller: Caller) -> Caller:
    """Return the caller without any scope, so that a Project that is not there looks like one that is not for the caller."""
    return Caller(caller.principal, request_id=caller.request_id, trace_id=caller.trace_id)


_SERVICE_TOKEN = (
    select(
        ServiceTokenRow.__table__,
        ProjectRow.name.label("project"),
        (ServiceTokenRow.expires_at <= func.now()).label("expired"),
    )
    .join(ProjectRow, ProjectRow.id == ServiceTokenRow.project_id)
    .where(ServiceTokenRow.id == bindparam("token"))
)


def service_token(connection: Connection, token: UUID) -> tuple[ServiceTokenRow, str, bool] | None:
    """Return a token's row, its Project's name and whether it has expired by the database's clock."""
    row = connection.execute(_SERVICE_TOKEN, {"token": token}).one_or_none()
    return None if row is None else (row, row.project, row.expired)  # type: ignore[return-value]
