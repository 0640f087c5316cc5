"""`python -m demo up [--kube] [--once] | reset [--kube]`: see README.md."""

import argparse
import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from demo.failure import DemoFailure
from demo.narrate import Narrator, console
from demo.state import State, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.plane import Plane
    from demo.postgres import PostgresServer
    from demo.supervise import Supervisor

STATES = Path(__file__).parents[1] / ".holdfast"
EXAMPLES = Path(__file__).parents[1] / "dags" / "examples"


def main() -> int:
    """Run the demo; every failure that can be foreseen is one message, and nothing is left running."""
    parser = argparse.ArgumentParser(
        prog="python -m demo", description="From nothing to a promoted model on this machine."
    )
    parser.add_argument(
        "command", choices=["up", "reset"], help="up: start and tell the story; reset: remove everything that was kept"
    )
    parser.add_argument("--once", action="store_true", help="stop after the summary instead of staying up until Ctrl-C")
    parser.add_argument("--kube", action="store_true", help="execute Runs as pods of a throw-away cluster")
    parser.add_argument("--kubeconfig", type=Path, help="with --kube: a cluster that is there already")
    parser.add_argument("--registry", default="", help="with --kubeconfig: HOST:PORT that its nodes pull from")
    parser.add_argument("--host", default="", help="with --kubeconfig: at which address its pods reach this machine")
    parser.add_argument("--state", type=Path, help="directory to keep everything in")
    arguments = parser.parse_args()
    name = "demo-kube" if arguments.kube else "demo"
    state = State(arguments.state or STATES / name)
    # Ctrl-C as well: a shell that starts this in the background has it ignored.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _interrupt)
    try:
        if arguments.command == "reset":
            with state.locked():
                state.remove()
            console.print("the demo's state is removed")
        else:
            with state.locked():
                if state.pair():
                    console.print("a part of what an earlier demo had kept was gone: it starts over")
                _up(state, arguments)
    except DemoFailure as failure:
        console.print(f"[bold red]the demo stopped:[/] {_named(failure, name)}")
        return 1
    except KeyboardInterrupt:
        console.print(f"stopped; `make {name}` goes on from here, `make {name}-reset` removes everything")
        return 0 if not arguments.once else 130
    except Exception as error:  # noqa: BLE001 - a newcomer gets one message; the trace-back is in the log
        import traceback

        log = state.root / "logs" / "demo.log"
        log.write_text(traceback.format_exc())
        console.print(f"[bold red]the demo stopped:[/] {error}; details are in {log}, `make {name}-reset` starts over")
        return 1
    return 0


def _named(failure: DemoFailure, name: str) -> str:
    """Return what a failure says, with the commands of the demo that it was: where it was raised, nobody knows which one."""
    own = failure.is_about_another_demo
    return str(failure) if own else str(failure).replace("`make demo", f"`make {name}")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _up(state: State, arguments: argparse.Namespace) -> None:
    # Late, because these import Airflow's neighbours and scikit-learn, and the first line should appear at once.
    from demo.postgres import PostgresServer
    from demo.supervise import Supervisor

    with ExitStack() as stack:
        with Narrator() as say:
            plane = stack.enter_context(_plane(state, arguments, say))
            postgres = stack.enter_context(PostgresServer.start(state.database))
            group = stack.enter_context(Supervisor(state.root / "logs"))
            group.watch("PostgreSQL", postgres.poll, state.database / "log")
            try:
                summary, url = _tell(state, postgres, group, plane, say)
            except DemoFailure:
                group.check()  # what failed may only have noticed that another process is gone
                raise
            state.remember("summary", summary)
        _show(summary, url, state)
        if arguments.once:
            return
        console.print(
            "it stays up until Ctrl-C; look at the record with the command line meanwhile:\n"
            f"  export HOLDFAST_API_URL={url}/holdfast/api/v1 HOLDFAST_PROJECT=oncology PATH={Path(sys.executable).parent}:$PATH\n"
            "  export HOLDFAST_TOKEN=$(holdfast login --user viewer)\n"
            "  holdfast model history tumours" + "".join(f"\n  {command}" for command in plane.looking),
            markup=False,
        )
        while True:
            group.check()
            time.sleep(1)


@contextmanager
def _plane(state: State, arguments: argparse.Namespace, say: Narrator) -> "Iterator[Plane]":
    if not arguments.kube:
        from demo.plane import local_plane

        yield local_plane(state)
        return
    from demo.kube import Given, cluster_plane

    given = Given(arguments.kubeconfig, arguments.host, arguments.registry) if arguments.kubeconfig else None
    with cluster_plane(given, say) as plane:
        yield plane


def _tell(
    state: State, postgres: "PostgresServer", group: "Supervisor", plane: "Plane", say: Narrator
) -> tuple[dict[str, Any], str]:
    """Tell the whole story and return its summary and where Airflow answers."""
    from demo import airflow as configuration
    from demo import journey, ledger
    from demo.platform import PROJECT, furnish, open_platform, passwords
    from demo.repository import publish
    from demo.users import described

    say("PostgreSQL runs", then="migrating the governance database")
    commit = publish(EXAMPLES, state.root / "dags.git")
    say(f"Dags       committed as {commit[:12]}")
    port = state.port()
    url = f"http://127.0.0.1:{port}"
    api_url = f"{url}/holdfast/api/v1"
    postgres.create_database("airflow")
    bundle = configuration.git_bundle("examples", state.root / "dags.git")
    shared = {**configuration.environment(state, postgres, port, [bundle]), **plane.shared}
    platform, service = open_platform(state, postgres, api_url, plane)
    token = furnish(state, platform, plane)
    platform.close()
    say("Holdfast   database migrated, Project made", then="migrating Airflow's database")
    secrets = passwords(state)
    configuration.prepare(state, {**shared, **service}, described(secrets))
    say("Airflow    database migrated, users made", then="starting Airflow's four processes")
    here = configuration.connection(api_url, token, state.root / "landing", project=PROJECT)
    worker = {**here, **plane.worker}
    configuration.start(group, shared, {**service, **ledger.environment(state)}, worker)
    state.remember("pids", {"postgres": postgres.pid, **group.pids})
    group.wait_until("the api-server's answer", lambda: _answers(f"{api_url}/health"), 120)
    say(f"Airflow    answers at {url}", then="waiting until Airflow has read the Dag")
    maintainer = journey.Airflow(url, "maintainer", secrets["maintainer"])
    officer = journey.Airflow(url, "officer", secrets["officer"])
    run_id = journey.trigger(maintainer, group, plane.bring())
    say(f"triggered  {run_id} over Airflow's REST API", then="following its tasks")
    promotion = journey.follow(maintainer, officer, api_url, run_id, group, say)
    summary = journey.summarise(maintainer, api_url, run_id, promotion)
    return {**summary, "proof": ledger.prove(state, maintainer, api_url, promotion)}, url


def _answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _show(summary: dict[str, Any], url: str, state: State) -> None:
    table = Table("", "", title="What was recorded", show_header=False, title_style="bold")
    table.columns[1].overflow = "fold"
    table.add_row("commit", summary["commit"])
    for task, seal in summary["seals"].items():
        table.add_row(f"seal of {task}", seal)
    for task, where in summary["observed"].items():
        table.add_row(f"{task} ran on", where["node"])
        table.add_row(f"image of {task}", where["image"])
    for name, digest in summary["artifacts"].items():
        table.add_row(name, digest)
    table.add_row("ModelVersion", f"{summary['model_version']}, {summary['alias']}")
    table.add_row("approved by", ", ".join(summary["approved_by"]))
    table.add_row("audit events", str(summary["audit_events"]))
    console.print(table)
    _show_proof(summary["proof"])
    _show_users(url, state)


def _show_proof(proof: dict[str, Any]) -> None:
    how = {
        "namespace": "in a network namespace without an interface",
        "process": "in a process that may open no socket",
    }
    console.print(
        f"[bold]proved[/]     {proof['events']} events about the promoted model stand in a log of {proof['size']} events that its key"
        f" has signed,\n           checked by verify_proof.py alone, {how[proof['without_network']]}. Check it yourself, anywhere:"
    )
    console.print(f"  python3 {proof['verifier']} --key '{proof['key']}' {proof['file']}", markup=False, soft_wrap=True)


def _show_users(url: str, state: State) -> None:
    from demo.platform import passwords

    credentials, secrets = state.root / "credentials", passwords(state)
    if credentials.exists():
        console.print(f"log in at {url}; the passwords are in {credentials}")
        return
    write_private(credentials, "".join(f"{user} {password}\n" for user, password in secrets.items()))
    console.print(
        f"log in at {url} as one of these; the passwords are printed this once and kept in {credentials} (mode 0600)"
    )
    for user, password in secrets.items():
        console.print(f"  {user:<11} {password}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
