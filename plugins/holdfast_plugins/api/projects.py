"""Projects, role bindings, service tokens."""

from uuid import UUID

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
from holdfast_plugins.api.routing import DEFAULT_LIMIT, Cursor, Governed, Key, Limit, router

routes = router("projects")


@routes.post("/projects", status_code=201)
def create_project(request: ProjectRequest, governed: Governed, key: Key) -> Project:
    """Create a Project."""
    return governed.projects.create(request, key=key)


@routes.get("/projects")
def list_projects(governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[Project]:
    """List the Projects that the caller may read."""
    return governed.projects.list(limit=limit, cursor=cursor)


@routes.get("/projects/{project}")
def get_project(project: str, governed: Governed) -> Project:
    """Show a Project."""
    return governed.projects.get(project)


@routes.post("/projects/{project}/archive")
def archive_project(project: str, request: Reason, governed: Governed, key: Key) -> Project:
    """Make a Project read-only, for good."""
    return governed.projects.archive(project, request, key=key)


@routes.post("/bindings", status_code=201)
def bind_platform_role(request: RoleBindingRequest, governed: Governed, key: Key) -> RoleBinding:
    """Give a subject a role on the whole platform."""
    return governed.projects.bind_role(None, request, key=key)


@routes.get("/bindings")
def list_platform_bindings(
    governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[RoleBinding]:
    """List the role bindings of the platform."""
    return governed.projects.list_bindings(None, limit=limit, cursor=cursor)


@routes.post("/bindings/{binding}/revoke")
def unbind_platform_role(binding: UUID, governed: Governed, key: Key) -> RoleBinding:
    """Take a platform role back."""
    return governed.projects.unbind_role(None, binding, key=key)


@routes.post("/projects/{project}/bindings", status_code=201)
def bind_role(project: str, request: RoleBindingRequest, governed: Governed, key: Key) -> RoleBinding:
    """Give a subject a role in a Project."""
    return governed.projects.bind_role(project, request, key=key)


@routes.get("/projects/{project}/bindings")
def list_bindings(
    project: str, governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[RoleBinding]:
    """List the role bindings of a Project."""
    return governed.projects.list_bindings(project, limit=limit, cursor=cursor)


@routes.post("/projects/{project}/bindings/{binding}/revoke")
def unbind_role(project: str, binding: UUID, governed: Governed, key: Key) -> RoleBinding:
    """Take a role in a Project back."""
    return governed.projects.unbind_role(project, binding, key=key)


@routes.post("/projects/{project}/tokens", status_code=201)
def create_token(project: str, request: TokenRequest, governed: Governed, key: Key) -> NewToken:
    """Make a service token; its secret is in this reply and nowhere else."""
    return governed.projects.create_token(project, request, key=key)


@routes.get("/projects/{project}/tokens")
def list_tokens(project: str, governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[Token]:
    """List the service tokens of a Project, without secrets."""
    return governed.projects.list_tokens(project, limit=limit, cursor=cursor)


@routes.post("/projects/{project}/tokens/{token}/revoke")
def revoke_token(project: str, token: UUID, governed: Governed, key: Key) -> Token:
    """Make a service token useless at once."""
    return governed.projects.revoke_token(project, token, key=key)
