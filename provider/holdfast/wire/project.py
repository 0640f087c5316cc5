"""Projects, who may do what in them, and their service tokens."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from holdfast.core.access import Permission, Role
from holdfast.core.policy import DataPlaneKind, ProjectClass
from holdfast.wire.types import Name, Namespace, Text, Time, Whole, Wire

Owner = Annotated[str, Field(min_length=1, max_length=200)]


class ProjectRequest(Wire):
    """A Project to create."""

    name: Name
    owner: Owner
    project_class: ProjectClass = ProjectClass.DEVELOPMENT
    data_plane: DataPlaneKind = DataPlaneKind.LOCAL
    namespace: Namespace | None = None


class Project(Wire):
    """A Project."""

    id: UUID
    name: str
    owner: str
    project_class: ProjectClass
    data_plane: DataPlaneKind
    namespace: str | None
    created_at: Time
    archived_at: Time | None


class RoleBindingRequest(Wire):
    """A role for a subject (`user:<name>` or `group:<name>`)."""

    subject: Annotated[str, Field(max_length=206)]
    role: Role


class RoleBinding(Wire):
    """A role that a subject has in a Project, or on the whole platform where `project` is None."""

    id: UUID
    project: str | None
    subject: str
    role: Role
    created_at: Time
    revoked_at: Time | None


class TokenRequest(Wire):
    """A service token to make; it expires."""

    name: Name
    scope: Annotated[list[Permission], Field(min_length=1)]
    lifetime_s: Annotated[Whole, Field(ge=60, le=366 * 86400)] = 90 * 86400


class Token(Wire):
    """A service token without its secret."""

    id: UUID
    project: str
    name: str
    scope: list[Permission]
    created_by: str
    created_at: Time
    expires_at: Time
    revoked_at: Time | None


class NewToken(Wire):
    """A service token with its secret, which is shown this once and stored only as a hash."""

    token: Token
    secret: Annotated[str, Field(repr=False)]


class Reason(Wire):
    """Why something is done; it stands in the audit event."""

    reason: Text = ""
