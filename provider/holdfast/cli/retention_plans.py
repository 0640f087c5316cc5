"""`holdfast retention plan` and `apply`: what exactly may go, who lets it go, and what became of it."""

import base64
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import typer

from holdfast.cli.session import Cursor, Limit, Reason, direct_caller, engine_at, given, group, session_of
from holdfast.cli.show import columns, short
from holdfast.core.errors import IntegrityViolation, InvalidRequest, StateConflict, Unavailable
from holdfast.core.retention.plan import PlanState
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.retention_plan import (
    RetentionLine,
    RetentionPlanDecisionRequest,
    RetentionPlanRequest,
    RetentionPlanWithdrawal,
)

plans = group("Retention plans: exactly what may go, made by one person, approved by another, carried out once.")

Plan = Annotated[str, typer.Argument(help="The plan: RP-12, or its id.")]
Root = Annotated[
    str, typer.Option(help="The root of the plan that `show` prints: what you decide on.", metavar="DIGEST")
]
_LIST = columns(
    "id", "name", "state", "item_count", "size_bytes", "planned_by", "planned_at", root=lambda plan: short(plan.root)
)
_ITEMS = columns(
    "index", "object_type", "object", "state", "size_bytes", "disposition", "policy", "object_key", "version_id", "says"
)
_DONE = columns("plan", "purged", "kept", "residual", certificate=lambda done: short(done.certificate.digest))


@plans.command()
def make(
    context: typer.Context,
    if_needed: Annotated[
        bool,
        typer.Option(
            "--if-needed", help="Do nothing where nothing may go, or where a plan waits already: for every day."
        ),
    ] = False,
    reason: Reason = "",
) -> None:
    """Make a plan of everything in the Project that may go now; nothing goes by it before another person has approved it."""
    session = session_of(context)
    request, project = RetentionPlanRequest(reason=given(reason, "plan")), session.named_project
    with session.governance() as governance:
        plans = governance.retention_plans
        if if_needed:
            waiting = [one for one in plans.list(project).items if one.state in (PlanState.MADE, PlanState.APPROVED)]
            if waiting:
                session.present.fact(
                    f"plan {waiting[0].name} is {waiting[0].state}, and waits; no other is made", plan=waiting[0].name
                )
                return
        try:
            plan = plans.make(project, request)
        except StateConflict as conflict:
            if not (if_needed and conflict.details.get("due") == 0):
                raise
            session.present.fact(conflict.message, plan=None)
            return
        session.present.record(plan)


@plans.command("list")
def list_plans(context: typer.Context, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> None:
    """List the plans of the Project, newest first."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.page(governance.retention_plans.list(session.named_project, limit=limit, cursor=cursor), _LIST)


@plans.command()
def show(context: typer.Context, plan: Plan) -> None:
    """Show a plan: its root, what is left out of it and why, who decided what on it, and what has become of it."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.retention_plans.get(session.named_project, plan))


@plans.command()
def items(context: typer.Context, plan: Plan, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> None:
    """List exactly what a plan lets go, and what has become of each item."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.retention_plans.items(session.named_project, plan, limit=limit, cursor=cursor)
        session.present.page(found, _ITEMS)


@plans.command()
def approve(context: typer.Context, plan: Plan, root: Root, reason: Reason = "") -> None:
    """Approve a plan, over exactly this root: for seven days it may be carried out, and nothing else may."""
    _decide(context, plan, "approve", root, reason)


@plans.command()
def reject(context: typer.Context, plan: Plan, root: Root, reason: Reason = "") -> None:
    """Reject a plan: nothing of it goes, ever."""
    _decide(context, plan, "reject", root, reason)


@plans.command()
def withdraw(context: typer.Context, plan: Plan, reason: Reason = "") -> None:
    """Take a plan back that nobody has decided on."""
    session = session_of(context)
    request = RetentionPlanWithdrawal(reason=given(reason, "plan"))
    with session.governance() as governance:
        session.present.record(governance.retention_plans.withdraw(session.named_project, plan, request))


@plans.command()
def certificate(context: typer.Context, plan: Plan) -> None:
    """Show the certificate of a plan that was carried out; `holdfast audit prove` of its event shows that it is in the log."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.retention_plans.certificate(session.named_project, plan))


@plans.command()
def prove(
    context: typer.Context,
    plan: Plan,
    governed: Annotated[UUID, typer.Argument(metavar="OBJECT", help="The id of an object in the plan.")],
    to: Annotated[Path | None, typer.Option(help="A new file; without it, what is shown.", dir_okay=False)] = None,
) -> None:
    """Say what became of one object of a plan, with the proof that the certificate says so, and without any other object."""
    session = session_of(context)
    with session.governance() as governance:
        line = governance.retention_plans.line(session.named_project, plan, governed)
    if to is None:
        session.present.record(line)
        return
    try:
        with to.open("x") as file:
            file.write(line.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise InvalidRequest(f"{to} cannot be written: {error.strerror}", remedy="Name a new file") from None
    session.present.fact(f"wrote {to}; `holdfast retention plan verify` checks it, offline", file=str(to))


@plans.command()
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `holdfast retention plan prove --to` wrote.")],
) -> None:
    """Check the proof of one object, offline: that its line is of the certificate, and the certificate of the digest that the log has.

    What is left to check is the event that it names: `holdfast audit prove` writes its proof, and `verify_proof.py` checks that.
    """
    from pydantic import ValidationError

    from holdfast.core.digest import parse, text_of
    from holdfast.core.retention.plan import check_certified, check_line
    from holdfast.wire.canonical import document_bytes, document_digest

    try:
        line = RetentionLine.model_validate_json(file.read_bytes())
        path = [base64.b64decode(one, validate=True) for one in line.path]
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}", remedy="Name the file of the proof") from None
    except (ValidationError, ValueError):
        raise InvalidRequest(
            f"{file} holds no proof of a line", remedy="Write it anew: `holdfast retention plan prove --to`"
        ) from None
    content = line.certificate.content
    if text_of(document_digest(content)) != line.certificate.digest:
        raise IntegrityViolation("the certificate is not what its digest says", remedy="Do not believe it")
    root = content.get("root")
    if not isinstance(root, str):
        raise IntegrityViolation("the certificate has no root", remedy="Do not believe it")
    check_line(document_bytes(line.line), line.index, line.size, path, parse(root))
    check_certified(line.line, line.index, line.size, line.certificate.plan, content)
    present = session_of(context).present
    present.fact(
        f"the certificate of plan {line.certificate.plan} says of {line.line.get('object_type')} {line.line.get('object')}: "
        f"{line.line.get('outcome')}. Its digest {line.certificate.digest} is in event {line.certificate.event}",
        plan=str(line.certificate.plan),
        object=line.line.get("object"),
        outcome=line.line.get("outcome"),
        certificate=line.certificate.digest,
        event=str(line.certificate.event),
    )


def apply(
    context: typer.Context,
    plan: Annotated[
        list[str] | None, typer.Argument(help="Plans: RP-12, or their ids; without, every one that is approved.")
    ] = None,
) -> None:
    """Carry out approved retention plans: each item is looked at once more, and what became of all of them is certified.

    The settings come from the environment (HOLDFAST_DISPOSER_URL, and the object store's, with credentials that may delete versions).
    Running it again goes on where it was, and of a plan that is carried out shows the certificate. Ends with exit code 7 when bytes
    stay that had to go.
    """
    from datetime import timedelta

    from holdfast.ops.disposal import Disposal, check_login
    from holdfast.settings import DisposalSettings, open_eraser

    present, settings, done = session_of(context).present, DisposalSettings.load(), []
    refused: StateConflict | IntegrityViolation | None = None
    with engine_at(settings.disposer_url, pool_size=4) as engine:
        check_login(engine)
        disposal = Disposal(
            engine,
            open_eraser(settings),
            direct_caller(),
            timedelta(seconds=settings.store_probe_limit_s),
            progress=present.progress("items"),
        )
        names = plan or disposal.approved()
        for name in names:
            try:
                done.append(disposal.carry_out(name))
            except (StateConflict, IntegrityViolation) as refusal:
                if len(names) == 1:
                    raise
                # It is no reason not to carry out the others.
                present.note(f"{name}: {refusal}")
                refused = refused or refusal
                continue
            present.note(
                f"{name}: {done[-1].purged} gone, {done[-1].kept} kept, {done[-1].residual} with something left"
            )
    present.rows(done, _DONE, {"plans": [one.model_dump(mode="json") for one in done]})
    if not names:
        present.note("no plan is approved that could be carried out here and now")
    if refused is not None:
        raise refused
    if left := [one.plan for one in done if one.residual]:
        raise Unavailable(
            f"bytes stay that had to go, by {', '.join(left)}",
            remedy="`holdfast retention plan items` says what and why; once that is mended, the next plan has them again",
        )


def _decide(context: typer.Context, plan: str, decision: Literal["approve", "reject"], root: str, reason: str) -> None:
    session = session_of(context)
    request = RetentionPlanDecisionRequest(decision=decision, root=root, reason=reason)
    with session.governance() as governance:
        session.present.record(governance.retention_plans.decide(session.named_project, plan, request))
