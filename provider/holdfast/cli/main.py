"""The root command, the options that every command has, and the one table from the six errors to exit codes."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup
from typer.exceptions import TyperException

from holdfast import __version__
from holdfast.cli import (
    artifacts,
    audit,
    cluster,
    database,
    datasets,
    environments,
    export,
    holds,
    ledger,
    login,
    models,
    policies,
    projects,
    promotions,
    reconcile,
    retention,
    runs,
    serve,
    store,
    tokens,
)
from holdfast.cli.session import Session
from holdfast.cli.show import Output, Presenter
from holdfast.core import errors

EXIT_CODES: dict[type[errors.HoldfastError], int] = {
    errors.InvalidRequest: 2,
    errors.NotFound: 3,
    errors.StateConflict: 4,
    errors.PolicyViolation: 5,
    errors.IntegrityViolation: 6,
    errors.Unavailable: 7,
}

_HELP = """Records what ran, on what, what it made and who let it through, and proves it.

Most commands talk to the API: name it with --api-url, and give a service token (or what `holdfast login` prints) in HOLDFAST_TOKEN.
The options below may stand anywhere on the line.
"""
_EPILOG = """Exit codes: 0 done, 2 invalid request, 3 not found, 4 state conflict, 5 policy violation, 6 integrity violation, 7 unavailable.
"""


class _OptionsAnywhere(TyperGroup):
    """Takes the root's options wherever they stand, so that `holdfast run list --output json` means what people expect."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Bring the root's options to the front; what stands behind `--` stays where it is."""
        takes_value = {
            name: not getattr(parameter, "is_flag", False)
            for parameter in self.params
            for name in parameter.opts
            if name.startswith("-") and name not in ("--help", "--version", "--install-completion", "--show-completion")
        }
        front: list[str] = []
        rest: list[str] = []
        pending = list(args)
        while pending:
            word = pending.pop(0)
            name, has_value, _ = word.partition("=")
            if word == "--":
                rest += [word, *pending]
                break
            if name not in takes_value:
                rest.append(word)
            elif takes_value[name] and not has_value and pending:
                front += [word, pending.pop(0)]
            else:
                front.append(word)
        return super().parse_args(ctx, front + rest)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; each of the six errors is shown with its remedy and ends the process with its own exit code."""
        try:
            return super().invoke(ctx)
        except errors.HoldfastError as error:
            refusal = error
        except ValidationError as error:
            refusal = _refusal_of(error)
        except TyperException as error:
            session, said = ctx.find_object(Session), getattr(error, "format_message", error.__str__)()
            if session is None or session.present.output is not Output.JSON or not said:
                raise
            refusal = errors.InvalidRequest(said, remedy="See --help")
        ctx.find_object(Session).present.error(refusal)
        raise typer.Exit(EXIT_CODES[type(refusal)])


def _refusal_of(error: ValidationError) -> errors.InvalidRequest:
    """Return what a request that does not have its documented form is refused with; the value is not repeated."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return errors.InvalidRequest(f"{place}: {first['msg']}" if place else first["msg"], remedy="See --help")


app = typer.Typer(
    name="holdfast",
    cls=_OptionsAnywhere,
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
for name, commands in (
    ("db", database.commands),
    ("store", store.commands),
    ("project", projects.commands),
    ("cluster", cluster.commands),
    ("token", tokens.commands),
    ("environment", environments.commands),
    ("dataset", datasets.commands),
    ("run", runs.commands),
    ("artifact", artifacts.commands),
    ("model", models.commands),
    ("policy", policies.commands),
    ("promote", promotions.commands),
    ("reconcile", reconcile.commands),
    ("retention", retention.commands),
    ("hold", holds.commands),
    ("audit", audit.commands),
    ("ledger", ledger.commands),
    ("export", export.commands),
):
    app.add_typer(commands, name=name)
app.command("serve")(serve.serve)
app.command("login")(login.login)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"holdfast {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    output: Annotated[
        Output, typer.Option("--output", "-o", envvar="HOLDFAST_OUTPUT", help="How results are shown.")
    ] = Output.TABLE,
    project: Annotated[
        str | None, typer.Option("--project", "-p", envvar="HOLDFAST_PROJECT", help="The Project.", metavar="NAME")
    ] = None,
    api_url: Annotated[
        str | None,
        typer.Option(envvar="HOLDFAST_API_URL", help="The API, up to and including /holdfast/api/v1.", metavar="URL"),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            envvar="HOLDFAST_CA_FILE",
            help="PEM file of the authorities that sign the API's certificate.",
            metavar="FILE",
        ),
    ] = None,
    direct: Annotated[
        bool,
        typer.Option(
            "--direct",
            help="Open the governance database with the service's settings instead of the API: for installing. "
            "Events name system:<login> as initiator.",
        ),
    ] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Make the session of the command that follows."""
    context.obj = Session(Presenter(output), project, api_url, str(ca_file) if ca_file else None, direct)


def run() -> None:
    """Run the command line and end the process with its exit code."""
    app()
