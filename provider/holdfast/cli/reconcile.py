"""`holdfast reconcile`: every pod maps to a Run, and every open Run to a pod."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from holdfast.cli.cluster import Kubeconfig, open_cluster
from holdfast.cli.durations import seconds_of
from holdfast.cli.session import Session, group, session_of
from holdfast.cli.show import columns
from holdfast.core.errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    from holdfast.dataplane.kubernetes.cluster import Cluster
    from holdfast.ports import Governance
    from holdfast.wire.project import Project
    from holdfast.wire.reconcile import ReconcilePlan, Unread

commands = group(
    "Pods without a Run, Runs without a pod, and those that nobody has ended: in the Project, or in all that one may read."
)

AgentImage = Annotated[
    list[str] | None,
    typer.Option(
        envvar="HOLDFAST_AGENT_IMAGE",
        help="Image of the agent with which pods are made, by digest, as Airflow's [holdfast] agent_image has it; during an upgrade "
        "give the one before as well.",
    ),
]
StartGrace = Annotated[str, typer.Option(help="How long a Run may be without a pod before it counts as never started.")]
SettleGrace = Annotated[
    str,
    typer.Option(help="How long the end of a pod is left to the Run's own task, and a pod to itself after its Run."),
]
QuarantineGrace = Annotated[str, typer.Option(help="How long a pod stays in quarantine before it is removed.")]
Most = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Most items that are planned at once.")]

_NOTE_EVERY_S = 5.0
_ITEMS = columns("action", "rule", "project", "pod", "run", "why")
_OUTCOMES = columns(
    became=lambda outcome: outcome.became,
    action=lambda outcome: outcome.item.action,
    rule=lambda outcome: outcome.item.rule,
    project=lambda outcome: outcome.item.project,
    pod=lambda outcome: outcome.item.pod,
    run=lambda outcome: outcome.item.run,
    says=lambda outcome: outcome.says,
)


@commands.command()
def plan(
    context: typer.Context,
    agent_image: AgentImage = None,
    kubeconfig: Kubeconfig = None,
    start_grace: StartGrace = "10m",
    settle_grace: SettleGrace = "5m",
    quarantine_grace: QuarantineGrace = "15m",
    limit: Most = 1000,
) -> None:
    """Show what is to be done, and why; nothing is changed. As JSON it is what `holdfast reconcile apply` takes."""
    session = session_of(context)
    cluster = open_cluster(kubeconfig)
    with session.governance() as governance:
        made = _plan(session, governance, cluster, agent_image, (start_grace, settle_grace, quarantine_grace), limit)
    session.present.rows(made.items, _ITEMS, made.model_dump(mode="json"))
    _check_read(made.unread)


@commands.command()
def apply(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="PLAN", help="A plan as JSON; without one, a plan is made and applied.")
    ] = None,
    agent_image: AgentImage = None,
    kubeconfig: Kubeconfig = None,
    start_grace: StartGrace = "10m",
    settle_grace: SettleGrace = "5m",
    quarantine_grace: QuarantineGrace = "15m",
    limit: Most = 1000,
    max_age: Annotated[str, typer.Option(help="How old a plan may be.")] = "30m",
) -> None:
    """Do what a plan says, item by item, each only while the rules still say the same of what is there.

    An item that fails does not keep the others from being done; the exit code then is 7.
    """
    from holdfast.ops.reconcile.apply import apply as apply_plan
    from holdfast.wire.reconcile import ReconcileOutcome

    session = session_of(context)
    oldest = timedelta(seconds=seconds_of(max_age))
    given = _read(file) if file else None
    cluster = open_cluster(kubeconfig)
    with session.governance() as governance:
        graces = (start_grace, settle_grace, quarantine_grace)
        found = given or _plan(session, governance, cluster, agent_image, graces, limit)
        outcomes = []
        due = time.monotonic() + _NOTE_EVERY_S
        for outcome in apply_plan(governance, cluster, found, datetime.now(UTC), max_age=oldest):
            outcomes.append(outcome)
            if time.monotonic() > due:
                session.present.note(f"{len(outcomes)} of {len(found.items)} done")
                due = time.monotonic() + _NOTE_EVERY_S
    result = ReconcileOutcome(items=outcomes, unread=found.unread)
    session.present.rows(result.items, _OUTCOMES, result.model_dump(mode="json"))
    if result.failed:
        raise Unavailable(
            f"{result.failed} of {len(outcomes)} items could not be done",
            remedy="The table says why; the next pass tries them again",
        )
    _check_read(found.unread)


def _plan(
    session: Session,
    governance: "Governance",
    cluster: "Cluster",
    agent_images: list[str] | None,
    graces: tuple[str, str, str],
    limit: int,
) -> "ReconcilePlan":
    from holdfast.ops.reconcile.plan import plan as make_plan
    from holdfast.wire.reconcile import GracePeriods

    start, settle, quarantine = map(seconds_of, graces)
    due = time.monotonic() + _NOTE_EVERY_S

    def progress(project: str, pods: int, runs: int) -> None:
        nonlocal due
        if time.monotonic() > due:
            session.present.note(f"{project}: {pods} pods, {runs} open Runs")
            due = time.monotonic() + _NOTE_EVERY_S

    made = make_plan(
        governance,
        cluster,
        _projects(session, governance),
        datetime.now(UTC),
        agent_images=agent_images or [],
        graces=GracePeriods(start_s=start, settle_s=settle, quarantine_s=quarantine),
        limit=limit,
        progress=progress,
    )
    session.present.note(
        f"{made.pods} pods and {made.runs} open Runs in {len(made.projects)} Projects: {len(made.items)} items"
        + ("" if made.is_whole else ", and more for the next pass")
    )
    for unread in made.unread:
        session.present.note(f"{unread.project}: {unread.why}")
    return made


def _projects(session: Session, governance: "Governance") -> "Iterator[Project]":
    if session.project:
        yield governance.projects.get(session.project)
        return
    cursor = None
    while True:
        page = governance.projects.list(limit=500, cursor=cursor)
        yield from page.items
        if (cursor := page.next) is None:
            return


def _read(file: Path) -> "ReconcilePlan":
    from holdfast.wire.reconcile import ReconcilePlan

    try:
        return ReconcilePlan.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InvalidRequest(f"{str(file)!r} cannot be read: {error.strerror}", remedy="Name a plan's file") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(
            f"{str(file)!r} is no plan: {place}: {first['msg']}",
            remedy="Make one with `holdfast reconcile plan -o json`",
        ) from None


def _check_read(unread: "list[Unread]") -> None:
    if unread:
        raise Unavailable(
            f"{len(unread)} Projects could not be looked at, {unread[0].project!r} for one: {unread[0].why}",
            remedy="Nothing was done in them",
        )
