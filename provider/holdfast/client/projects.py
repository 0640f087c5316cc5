"""Projects, role bindings and service tokens over HTTP."""

from dataclasses import dataclass
from uuid import UUID

from holdfast.client.transport import Transport
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.project import (
    NewToken,
    Project,
    ProjectRequest,
    Reason,
    RoleBinding,
    RoleBindingRequest,
    Token,
    TokenRequest,
)
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class ProjectClient:
    """Implements `ports.Projects`."""

    transport: Transport

    def create(self, request: ProjectRequest, *, key: str | None = None) -> Project:
        """Create a Project."""
        return self.transport.post("/projects", Project, request, key)

    def get(self, name: str) -> Project:
        """Return a Project."""
        return self.transport.get(f"/projects/{name}", Project)

    def list(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Project]:
        """Return the Projects that the caller may read."""
        return self.transport.get("/projects", Page[Project], {"limit": limit, "cursor": cursor})

    def archive(self, name: str, reason: Reason, *, key: str | None = None) -> Project:
        """Make a Project read-only."""
        return self.transport.post(f"/projects/{name}/archive", Project, reason, key)

    def bind_role(self, name: str | None, request: RoleBindingRequest, *, key: str | None = None) -> RoleBinding:
        """Give a subject a role."""
        return self.transport.post(f"{_place(name)}/bindings", RoleBinding, request, key)

    def unbind_role(self, name: str | None, binding: UUID, *, key: str | None = None) -> RoleBinding:
        """Take a role back."""
        return self.transport.post(f"{_place(name)}/bindings/{binding}/revoke", RoleBinding, None, key)

    def list_bindings(
        self, name: str | None, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RoleBinding]:
        """Return role bindings."""
        return self.transport.get(f"{_place(name)}/bindings", Page[RoleBinding], {"limit": limit, "cursor": cursor})

    def create_token(self, name: str, request: TokenRequest, *, key: str | None = None) -> NewToken:
        """Make a service token."""
        return self.transport.post(f"/projects/{name}/tokens", NewToken, request, key)

    def revoke_token(self, name: str, token: UUID, *, key: str | None = None) -> Token:
        """Make a service token useless."""
        return self.transport.post(f"/projects/{name}/tokens/{token}/revoke", Token, None, key)

    def list_tokens(self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Token]:
        """Return service tokens without secrets."""
        return self.transport.get(f"/projects/{name}/tokens", Page[Token], {"limit": limit, "cursor": cursor})


def _place(name: str | None) -> str:
    return "" if name is None else f"/projects/{name}"
