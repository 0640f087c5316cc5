"""`holdfast project`: Projects and who may do what in them."""

from typing import Annotated
from uuid import UUID

import typer

from holdfast.cli.session import Cursor, Limit, Reason, Session, Yes, confirm, group, session_of
from holdfast.cli.show import columns
from holdfast.core.access import Role
from holdfast.core.policy import DataPlaneKind, ProjectClass
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire import project as wire

commands = group("Projects: create, look, archive, and bind roles.")

Name = Annotated[str | None, typer.Argument(help="The Project; --project by default.")]
Platform = Annotated[bool, typer.Option("--platform", help="On the whole platform instead of one Project.")]
_LIST = columns("name", "project_class", "data_plane", "owner", "created_at", "archived_at")
_BINDINGS = columns("id", "project", "subject", "role", "created_at", "revoked_at")


def _named(session: Session, name: str | None) -> str:
    return name or session.named_project


def _place(session: Session, *, platform: bool) -> str | None:
    return None if platform else session.named_project


@commands.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="1 to 63 characters of a-z, 0-9, '.', '_', '-'.")],
    owner: Annotated[str, typer.Option(help="Who answers for it: a team, a role.")],
    project_class: Annotated[
        ProjectClass, typer.Option("--class", help="production refuses every Run that lacks a binding.")
    ] = ProjectClass.DEVELOPMENT,
    data_plane: Annotated[
        DataPlaneKind, typer.Option(help="Where user code runs; local has no isolation.")
    ] = DataPlaneKind.LOCAL,
    namespace: Annotated[str | None, typer.Option(help="Kubernetes namespace.")] = None,
) -> None:
    """Create a Project."""
    session = session_of(context)
    request = wire.ProjectRequest(
        name=name, owner=owner, project_class=project_class, data_plane=data_plane, namespace=namespace
    )
    with session.governance() as governance:
        session.present.record(governance.projects.create(request))


@commands.command("list")
def list_projects(context: typer.Context, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> None:
    """List the Projects that you may read, newest first."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.page(governance.projects.list(limit=limit, cursor=cursor), _LIST)


@commands.command()
def show(context: typer.Context, name: Name = None) -> None:
    """Show a Project."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.projects.get(_named(session, name)))


@commands.command()
def archive(context: typer.Context, reason: Reason, name: Name = None, yes: Yes = False) -> None:
    """Make a Project read-only, for good; its history stays."""
    session = session_of(context)
    place = _named(session, name)
    confirm(f"Archiving Project {place!r} is not undone.", is_confirmed=yes)
    with session.governance() as governance:
        session.present.record(governance.projects.archive(place, wire.Reason(reason=reason)))


@commands.command()
def bind(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(help="user:<name> or group:<name>, as Airflow names them.")],
    role: Annotated[Role, typer.Argument(help="The role.")],
    platform: Platform = False,
) -> None:
    """Give somebody a role."""
    session = session_of(context)
    request = wire.RoleBindingRequest(subject=subject, role=role)
    with session.governance() as governance:
        session.present.record(governance.projects.bind_role(_place(session, platform=platform), request))


@commands.command()
def unbind(
    context: typer.Context,
    binding: Annotated[UUID, typer.Argument(help="The role binding's id, as `bindings` lists it.")],
    platform: Platform = False,
) -> None:
    """Take a role back, at once."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.projects.unbind_role(_place(session, platform=platform), binding))


@commands.command()
def bindings(
    context: typer.Context, platform: Platform = False, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> None:
    """List the role bindings, newest first; those that were taken back, too."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.projects.list_bindings(_place(session, platform=platform), limit=limit, cursor=cursor)
        session.present.page(found, _BINDINGS)
