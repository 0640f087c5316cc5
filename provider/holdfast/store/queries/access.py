"""Who calls, what the caller is to a Project, and what was answered before, in one round trip."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, func, literal, or_, outerjoin, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased
from sqlalchemy.types import Text

from holdfast.core.access import Access, Bearer, Caller, Permission, Role, ServiceToken, check_bearer
from holdfast.store.prepared import Prepared
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
_ITS_PROJECT = aliased(ProjectRow, name="its_project")
_TOKEN = (
    ServiceTokenRow.name.label("token_name"),
    ServiceTokenRow.secret_hash,
    ServiceTokenRow.scope,
    ServiceTokenRow.revoked_at,
    (ServiceTokenRow.expires_at <= func.now()).label("is_expired"),
    _ITS_PROJECT.name.label("token_project"),
)
# Strict functions: of NULL they return NULL, and no lock is taken.
_LOCK = func.pg_advisory_xact_lock(func.hashtextextended(bindparam("turn", type_=Text), 0))


@cache
def _authorising(*, bears_token: bool, has_key: bool) -> Prepared:
    """Return the statement for such a call; every call begins with it, so it asks for nothing that the call cannot have."""
    columns: list[Any] = [ProjectRow.id, ProjectRow.archived_at, ProjectRow.project_class, ProjectRow.data_plane]
    found = outerjoin(_ONE, ProjectRow, ProjectRow.name == bindparam("project"))
    if bears_token:
        columns += _TOKEN
        found = found.outerjoin(ServiceTokenRow, ServiceTokenRow.id == bindparam("token"))
        found = found.outerjoin(_ITS_PROJECT, _ITS_PROJECT.id == ServiceTokenRow.project_id)
    else:
        columns += [_roles.label("roles")]
    if has_key:
        columns += [IdempotencyReplyRow.request_digest, IdempotencyReplyRow.reply]
        of_the_caller = IdempotencyReplyRow.principal == bindparam("principal")
        found = found.outerjoin(IdempotencyReplyRow, and_(of_the_caller, IdempotencyReplyRow.key == bindparam("key")))
    return Prepared(select(*columns, _LOCK).select_from(found))


def authorise(
    connection: Connection,
    caller: Caller | Bearer,
    project: str | None,
    key: str | None = None,
    *,
    turn: str | None = None,
) -> Authorisation:
    """Return what the caller is to the Project (or to the platform) and the reply that its key has got before, if any.

    With a turn it waits until no other transaction has the turn of this name, and makes others wait until this one ends. What it returns
    may then be older than the waiting; whatever is read next is not.

    Raises:
        Unauthenticated: the caller bears a token that is not good.
    """
    values: dict[str, Any] = {"project": project, "turn": turn}
    if key is not None:
        values |= {"principal": caller.principal, "key": key}
    bears_token = isinstance(caller, Bearer)
    values |= {"token": caller.token} if isinstance(caller, Bearer) else {"subjects": list(caller.subjects)}
    row = _authorising(bears_token=bears_token, has_key=key is not None).one(connection, values)
    if isinstance(caller, Bearer):
        caller, roles = check_bearer(caller, _token_of(row)), frozenset[Role]()
    elif caller.principal.startswith("system:"):
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
        reply=(row.request_digest, row.reply) if key is not None and row.request_digest is not None else None,
    )


def _nobody(caller: Caller) -> Caller:
    """Return the caller without any scope, so that a Project that is not there looks like one that is not for the caller."""
    return Caller(caller.principal, request_id=caller.request_id, trace_id=caller.trace_id)


_SERVICE_TOKEN = Prepared(
    select(*_TOKEN)
    .join_from(ServiceTokenRow, _ITS_PROJECT, _ITS_PROJECT.id == ServiceTokenRow.project_id)
    .where(ServiceTokenRow.id == bindparam("token"))
)


def identify(connection: Connection, bearer: Bearer) -> Caller:
    """Return who bears a token; raises Unauthenticated."""
    row = _SERVICE_TOKEN.one_or_none(connection, {"token": bearer.token})
    return check_bearer(bearer, _token_of(row) if row is not None else None)


@lru_cache(maxsize=1000)
def _scope_of(names: tuple[str, ...]) -> frozenset[Permission]:
    return frozenset(Permission(name) for name in names)


def _token_of(row: Any) -> ServiceToken | None:
    if row.secret_hash is None:
        return None
    return ServiceToken(
        name=row.token_name,
        secret_hash=row.secret_hash,
        project=row.token_project,
        scope=_scope_of(tuple(row.scope)),
        is_revoked=row.revoked_at is not None,
        is_expired=row.is_expired,
    )
