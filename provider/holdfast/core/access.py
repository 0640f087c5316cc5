"""Who may do what: roles, the actions each grants, and the decision. Default is deny."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from holdfast.core.errors import InvalidRequest, NotFound, PolicyViolation


class Unauthenticated(Exception):
    """The caller has not shown who it is; the message says whether a token is unknown, expired or revoked, and never repeats it."""


class Role(StrEnum):
    """The roles of the domain."""

    VIEWER = "viewer"
    PROJECT_MAINTAINER = "project_maintainer"
    SRE = "sre"
    SECURITY_OFFICER = "security_officer"
    PLATFORM_OWNER = "platform_owner"


class Permission(StrEnum):
    """What a route may ask for."""

    PROJECT_READ = "project.read"
    PROJECT_CREATE = "project.create"
    PROJECT_ARCHIVE = "project.archive"
    BINDING_WRITE = "binding.write"
    TOKEN_WRITE = "token.write"  # noqa: S105 - a permission's name
    ENVIRONMENT_WRITE = "environment.write"
    POLICY_WRITE = "policy.write"
    DATASET_WRITE = "dataset.write"
    RUN_WRITE = "run.write"
    RUN_RECONCILE = "run.reconcile"
    ARTIFACT_WRITE = "artifact.write"
    ARTIFACT_CONTENT = "artifact.content"
    MODEL_WRITE = "model.write"
    PROMOTION_REQUEST = "promotion.request"
    PROMOTION_DECIDE = "promotion.decide"
    PROMOTION_EXECUTE = "promotion.execute"
    AUDIT_READ = "audit.read"
    EXPORT_OPERATE = "export.operate"
    STORE_PROBE = "store.probe"
    RETENTION_PROPOSE = "retention.propose"
    RETENTION_DECIDE = "retention.decide"
    RETENTION_PLAN = "retention.plan"
    RETENTION_PLAN_DECIDE = "retention.plan_decide"
    LEGAL_HOLD_READ = "legal_hold.read"
    LEGAL_HOLD_PLACE = "legal_hold.place"
    LEGAL_HOLD_RELEASE = "legal_hold.release"


_READ = frozenset({Permission.PROJECT_READ})
_MAKE = _READ | {
    Permission.ENVIRONMENT_WRITE,
    Permission.DATASET_WRITE,
    Permission.RUN_WRITE,
    Permission.ARTIFACT_WRITE,
    Permission.ARTIFACT_CONTENT,
    Permission.MODEL_WRITE,
    Permission.PROMOTION_REQUEST,
    Permission.PROMOTION_EXECUTE,
}
GRANTS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _READ,
    Role.PROJECT_MAINTAINER: _MAKE
    | {
        Permission.TOKEN_WRITE,
        Permission.POLICY_WRITE,
        Permission.PROMOTION_DECIDE,
        Permission.AUDIT_READ,
        Permission.RETENTION_PROPOSE,
    },
    Role.SRE: _READ
    | {
        Permission.AUDIT_READ,
        Permission.RUN_RECONCILE,
        Permission.EXPORT_OPERATE,
        Permission.STORE_PROBE,
        Permission.RETENTION_PLAN,
        Permission.LEGAL_HOLD_READ,
    },
    Role.SECURITY_OFFICER: _READ
    | {
        Permission.ARTIFACT_CONTENT,
        Permission.POLICY_WRITE,
        Permission.PROMOTION_DECIDE,
        Permission.AUDIT_READ,
        Permission.RETENTION_DECIDE,
        Permission.RETENTION_PLAN,
        Permission.RETENTION_PLAN_DECIDE,
        Permission.LEGAL_HOLD_READ,
        Permission.LEGAL_HOLD_PLACE,
        Permission.LEGAL_HOLD_RELEASE,
    },
    Role.PLATFORM_OWNER: _READ
    | {
        Permission.PROJECT_CREATE,
        Permission.PROJECT_ARCHIVE,
        Permission.BINDING_WRITE,
        Permission.TOKEN_WRITE,
        Permission.AUDIT_READ,
        Permission.STORE_PROBE,
    },
}

AIRFLOW_SCOPE = _MAKE
"""What an Airflow connection needs so that every operator works."""

TOKEN_PERMISSIONS = _MAKE | {Permission.AUDIT_READ, Permission.RUN_RECONCILE, Permission.RETENTION_PLAN}
"""The most a service token may be scoped to: never to decide, to bind roles or to make other tokens."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, resolved by an edge.

    Attributes:
        principal: `user:<name>`, `token:<id>` or `system:<name>`.
        groups: the caller's groups as Airflow names them.
        project: the name of the only Project a service token is for; None for everybody else.
        scope: a token's permissions; None for a caller whose permissions come from role bindings.
        request_id: id of the call, in every event it causes.
        trace_id: W3C trace id or empty.
    """

    principal: str
    groups: frozenset[str] = frozenset()
    project: str | None = None
    scope: frozenset[Permission] | None = None
    request_id: str = ""
    trace_id: str = ""

    @property
    def subjects(self) -> frozenset[str]:
        """What a role binding may name to mean this caller."""
        return frozenset({self.principal} | {f"group:{group}" for group in self.groups})


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who shows a service token that nobody has looked up yet. It is not a `Caller`, so nothing can be done on its behalf.

    Attributes:
        token: the id in the token.
        secret_hash: SHA-256 of the token as shown.
        request_id: id of the call.
        trace_id: W3C trace id or empty.
    """

    token: UUID
    secret_hash: bytes = field(repr=False)
    request_id: str = ""
    trace_id: str = ""

    @property
    def principal(self) -> str:
        """Who it is, should the token be good."""
        return f"token:{self.token}"


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """What is recorded of a service token.

    Attributes:
        name: as it was given.
        secret_hash: SHA-256 of the secret.
        project: the name of the only Project it is for.
        scope: its permissions.
        is_revoked: since when does not matter.
        is_expired: by the database's clock.
    """

    name: str
    secret_hash: bytes = field(repr=False)
    project: str
    scope: frozenset[Permission]
    is_revoked: bool
    is_expired: bool


def check_bearer(bearer: Bearer, token: ServiceToken | None) -> Caller:
    """Return the caller that bears a token.

    Raises:
        Unauthenticated: there is no such token, its secret is another, or it has expired or was revoked.
    """
    if token is None or not hmac.compare_digest(token.secret_hash, bearer.secret_hash):
        raise Unauthenticated("the service token is unknown; make one with `holdfast token create`")
    if token.is_revoked:
        raise Unauthenticated(f"service token {token.name!r} was revoked; make another with `holdfast token create`")
    if token.is_expired:
        raise Unauthenticated(f"service token {token.name!r} has expired; make another with `holdfast token create`")
    return Caller(
        bearer.principal,
        project=token.project,
        scope=token.scope,
        request_id=bearer.request_id,
        trace_id=bearer.trace_id,
    )


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller may do in one Project (or, with project None, on the platform)."""

    caller: Caller
    project: str | None
    roles: frozenset[Role] = field(default_factory=frozenset)

    @property
    def permissions(self) -> frozenset[Permission]:
        """The union over the roles, or a token's scope inside its own Project."""
        if self.caller.scope is not None:
            return self.caller.scope & TOKEN_PERMISSIONS if self.project == self.caller.project else frozenset()
        return frozenset().union(*(GRANTS[role] for role in self.roles))

    def require(self, permission: Permission, *others: Permission) -> None:
        """Return when the caller may, by this permission or by one of the others.

        Raises:
            NotFound: the caller may not even read there, so its existence is not shown.
            PolicyViolation: the caller may read there, and not do this.
        """
        permissions = self.permissions
        if not permissions.isdisjoint((permission, *others)):
            return
        if self.project is not None and Permission.PROJECT_READ not in permissions:
            raise NotFound(
                f"there is no Project {self.project!r} for {self.caller.principal}",
                remedy="Ask a Platform Owner for a role in it",
                is_denial=True,
            )
        place = f"in Project {self.project!r}" if self.project else "on the platform"
        raise PolicyViolation(
            f"{self.caller.principal} may not {permission} {place}",
            remedy=f"Granted by: {', '.join(roles_granting(permission)) or 'no role'}; a Platform Owner binds roles",
            details={
                "rule": "access.default-deny",
                "version": 1,
                "permission": str(permission),
                "changed_by": Role.PLATFORM_OWNER.value,
            },
        )


def roles_granting(permission: Permission) -> list[str]:
    """Return the roles that grant a permission."""
    return sorted(role.value for role, permissions in GRANTS.items() if permission in permissions)


def check_subject(subject: str) -> str:
    """Return the subject of a role binding when it is `user:<name>` or `group:<name>`.

    Raises:
        InvalidRequest: it is something else.
    """
    kind, _, name = subject.partition(":")
    if kind not in {"user", "group"} or not 1 <= len(name) <= 200 or not name.isprintable():
        raise InvalidRequest(f"{subject[:80]!r} is not a subject", remedy="Write user:<name> or group:<name>")
    return subject


def check_scope(permissions: Iterable[Permission]) -> frozenset[Permission]:
    """Return a token's scope when a token may have it.

    Raises:
        PolicyViolation: it names something only a person may do.
    """
    scope = frozenset(permissions)
    if beyond := scope - TOKEN_PERMISSIONS:
        raise PolicyViolation(
            f"a service token may not hold {', '.join(sorted(beyond))}",
            remedy="A person does this; leave it out of the scope",
            details={"rule": "access.token-scope", "version": 1, "changed_by": Role.PLATFORM_OWNER.value},
        )
    return scope
