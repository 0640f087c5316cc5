"""`holdfast environment`: what Runs run on, fixed."""

from typing import Annotated

import typer

from holdfast.cli.session import Cursor, Limit, group, session_of
from holdfast.cli.show import columns, short
from holdfast.core.errors import InvalidRequest
from holdfast.core.policy import EnvironmentKind
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.run import EnvironmentRequest

commands = group("EnvironmentLocks: an image by digest, or an interpreter with what is installed in it.")

_LIST = columns(
    "name",
    "number",
    "kind",
    "reference",
    digest=lambda lock: short(lock.digest),
    created_at=lambda lock: lock.created_at,
)


@commands.command()
def lock(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What RunOperators call it.")],
    image: Annotated[str | None, typer.Option(help="name@sha256:<digest>; a tag is refused.")] = None,
    interpreter: Annotated[
        str | None,
        typer.Option(help="Path of a Python, for the local data plane; what is installed in it is recorded."),
    ] = None,
    sbom_digest: Annotated[str | None, typer.Option(help="Digest of the image's SBOM.")] = None,
) -> None:
    """Lock an environment; Runs created from now on use it under this name, earlier Runs keep theirs."""
    session = session_of(context)
    if (image is None) == (interpreter is None):
        raise InvalidRequest("an environment is an image or an interpreter", remedy="Give --image or --interpreter")
    if interpreter is not None:
        from holdfast.dataplane.interpreter import installed_distributions

        request = EnvironmentRequest(
            name=name,
            kind=EnvironmentKind.INTERPRETER,
            reference=interpreter,
            distributions=installed_distributions(interpreter),
            sbom_digest=sbom_digest,
        )
    else:
        request = EnvironmentRequest(
            name=name, kind=EnvironmentKind.IMAGE, reference=image or "", sbom_digest=sbom_digest
        )
    with session.governance() as governance:
        session.present.record(governance.runs.lock_environment(session.named_project, request))


@commands.command("list")
def list_environments(context: typer.Context, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> None:
    """List EnvironmentLocks, newest first."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.runs.list_environments(session.named_project, limit=limit, cursor=cursor)
        session.present.page(found, _LIST)
