"""`holdfast hold`: legal holds, placed, reviewed and released; and the locks of what they cover in the object store."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from holdfast.cli.session import Cursor, Limit, Reason, Yes, direct_caller, engine_at, group, session_of
from holdfast.cli.show import columns
from holdfast.core.errors import InvalidRequest, StateConflict, Unavailable
from holdfast.core.hold import QueriedType, parse_object
from holdfast.ports import DEFAULT_LIMIT

if TYPE_CHECKING:
    from holdfast.wire.hold import HoldQuery

commands = group("Legal holds: what is under one stays, whatever any policy says, until two people release it.")

Hold = Annotated[str, typer.Argument(help="The hold: LH-12, or its id.", metavar="HOLD")]
_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
_LIST = columns("name", "state", "matter", "custodians", "placed_by", "placed_at", "released_at", "id")
_OBJECTS = columns(
    "type", "id", "reached_by", "from_type", "from_id", "covered_at", "lock", "read_back_at", "object_key"
)


@commands.command()
def place(
    context: typer.Context,
    matter: Annotated[str, typer.Option(help="What it is about, as counsel names it.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit event.")],
    custodian: Annotated[list[str] | None, typer.Option(help="Who holds what it is about; may be given again.")] = None,
    object_: Annotated[
        list[str] | None,
        typer.Option(
            "--object",
            help="What is to be held: artifact/ID, dataset_version/ID, model_version/ID or run/ID; may be given again.",
            metavar="TYPE/ID",
        ),
    ] = None,
    query: Annotated[
        QueriedType | None,
        typer.Option(help="Instead of --object: what of the Project is to be held, now and later."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only of this kind; of a DatasetVersion, with a source of this type.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Only Artifacts of this retention class, or DatasetVersions of this Dataset.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Only of this name; `*` stands for anything, `?` for one character.")
    ] = None,
    created_after: Annotated[
        datetime | None, typer.Option(formats=_TIMES, help="Only from this time on, in UTC.")
    ] = None,
    created_before: Annotated[
        datetime | None, typer.Option(formats=_TIMES, help="Only before this time, in UTC.")
    ] = None,
    expand: Annotated[
        bool, typer.Option(help="Hold as well what came of it, and all that went into any of that.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what it would cover.")] = False,
    yes: Yes = False,
) -> None:
    """Place a legal hold on objects, or on what a query finds; from then on nothing of it can go.

    More than 10 000 objects have to be meant: by --yes. Their locks in the object store follow: `holdfast hold reconcile`.
    """
    from holdfast.wire.hold import MOST_OBJECTS, HeldObject, HoldRequest, HoldScope

    session = session_of(context)
    given = (kind, label, name, created_after, created_before)
    if query is None and any(one is not None for one in given):
        raise InvalidRequest("there is no query for --kind, --label, --name or a time", remedy="Give --query TYPE")
    wanted = HoldScope(
        objects=[HeldObject(type=its_type, id=identity) for its_type, identity in map(parse_object, object_ or [])],
        query=_query(session.named_project, query, *given) if query is not None else None,
        is_expanded=expand,
    )
    with session.governance() as governance:
        if dry_run:
            session.present.record(governance.holds.coverage(wanted))
            return
        request = HoldRequest(
            **dict(wanted),
            matter=matter,
            custodians=custodian or [],
            reason=reason,
            at_most=None if yes else MOST_OBJECTS,
        )
        session.present.record(governance.holds.place(request))


@commands.command("list")
def list_holds(
    context: typer.Context,
    released: Annotated[
        bool | None, typer.Option("--released/--active", help="Only those that are released, or are not.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> None:
    """List legal holds, the newest first."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.page(governance.holds.list(is_released=released, limit=limit, cursor=cursor), _LIST)


@commands.command()
def show(context: typer.Context, hold: Hold) -> None:
    """Show a legal hold: its matter, what it covers, counted, how many locks are still wanted, and who asked for its release."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.holds.get(hold)
    session.present.record(found)
    if found.locks.wanted:
        session.present.note(
            f"{found.locks.wanted} Artifacts are not locked in the object store yet: held by the database alone"
        )


@commands.command()
def objects(context: typer.Context, hold: Hold, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> None:
    """List what a legal hold covers: how each object was reached, from which one, and the lock of its bytes."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.page(governance.holds.objects(hold, limit=limit, cursor=cursor), _OBJECTS)


@commands.command("request-release")
def request_release(
    context: typer.Context, hold: Hold, reason: Annotated[str, typer.Option(help="Why; it stands in the audit event.")]
) -> None:
    """Ask for the release of a legal hold; another person may approve it once it has cooled off."""
    from holdfast.wire.hold import ReleaseRequest

    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.holds.request_release(hold, ReleaseRequest(reason=reason)))


@commands.command("approve-release")
def approve_release(context: typer.Context, hold: Hold, reason: Reason = "") -> None:
    """Approve the release that is asked for: the hold is released for good. Nothing that it covered goes by that."""
    _decide(context, hold, "approve", reason)


@commands.command("reject-release")
def reject_release(context: typer.Context, hold: Hold, reason: Reason = "") -> None:
    """Reject the release that is asked for; the hold stays."""
    _decide(context, hold, "reject", reason)


def _decide(context: typer.Context, hold: str, decision: Literal["approve", "reject"], reason: str) -> None:
    from holdfast.wire.hold import ReleaseDecision

    session = session_of(context)
    with session.governance() as governance:
        found = governance.holds.get(hold)
        waiting = [one for one in found.releases if one.decision is None]
        if not waiting:
            raise StateConflict(
                f"no release of legal hold {found.name} waits for a decision",
                remedy="Ask for one with `holdfast hold request-release`",
            )
        request = ReleaseDecision(decision=decision, release=waiting[0].id, reason=reason)
        session.present.record(governance.holds.decide_release(hold, request))


def _query(
    project: str,
    query: QueriedType,
    kind: str | None,
    label: str | None,
    name: str | None,
    after: datetime | None,
    before: datetime | None,
) -> "HoldQuery":
    from holdfast.wire.hold import HoldQuery

    return HoldQuery(
        type=query,
        project=project,
        kind=kind,
        label=label,
        name=name,
        created_after=_utc(after),
        created_before=_utc(before),
    )


def _utc(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


@commands.command()
def reconcile(
    context: typer.Context,
    read_back: Annotated[
        bool,
        typer.Option("--read-back", help="Ask the store of each Artifact, and lock again what has lost its lock."),
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Calls of the store at a time.")] = 16,
) -> None:
    """Lock in the object store what legal holds cover, and unlock what none covers any more; once more, it changes nothing.

    The settings come from the environment (HOLDFAST_DATABASE_URL, and the bucket's). Exit code 7: for some the store did not do it.
    """
    from holdfast.ops.hold_locks import Locks
    from holdfast.settings import BucketSettings, open_bucket

    present = session_of(context).present
    settings = BucketSettings.load()
    with engine_at(settings.database_url, pool_size=2) as engine:
        locks = Locks(
            engine,
            open_bucket(settings),
            direct_caller(),
            parallel=parallel,
            progress=present.progress("Artifacts"),
        )
        done = locks.reconcile(is_read_back=read_back)
    present.record(done)
    if done.strays:
        present.note(
            f"{len(done.strays)} versions are held in the store, and no legal hold covers them: see who did that"
        )
    if done.failed:
        raise Unavailable(
            f"for {done.failed} Artifacts the object store did not do it: {done.failures[0].says}",
            remedy="They stay held by the database; run it again",
        )
