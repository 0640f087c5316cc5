"""`holdfast retention`: how long objects are kept, who says so, and why one is still there."""

from typing import Annotated, Literal
from uuid import UUID

import typer

from holdfast.cli.retention_plans import apply, plans
from holdfast.cli.session import Cursor, Limit, Reason, Session, given, group, session_of
from holdfast.cli.show import Output, columns, short
from holdfast.core.errors import InvalidRequest
from holdfast.core.retention.policy import MAX_PERIOD_DAYS, ClockStart, Disposition, ObjectType
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.retention import (
    RetentionDecisionRequest,
    RetentionExplanation,
    RetentionPolicyReason,
    RetentionPolicyRequest,
    RetentionRule,
)

commands = group("Retention: how long objects are kept, who says so, and why one is still there.")
policies = group("Retention policies: proposed by a Project Maintainer, approved by a Security Officer, never changed.")
commands.add_typer(policies, name="policy")
commands.add_typer(plans, name="plan")
commands.command()(apply)

Policy = Annotated[UUID, typer.Argument(help="The id of the policy's version.")]
Platform = Annotated[bool, typer.Option("--platform", help="A policy of all Projects.")]
Digest = Annotated[
    str, typer.Option(help="The digest of the version that `show` prints: what you decide on.", metavar="DIGEST")
]
_LIST = columns(
    "id",
    "name",
    "version",
    "state",
    "object_type",
    "kind",
    "label",
    "starts",
    "period_days",
    "disposition",
    project=lambda policy: policy.project or "all",
    ends=lambda policy: policy.is_end,
    proposed_by=lambda policy: policy.proposed_by,
    decided_by=lambda policy: policy.decision.principal if policy.decision else None,
)
_RULES = columns(
    "rule", "name", "effect", "until", "why", changed_by=lambda rule: [role.value for role in rule.changed_by]
)
_OTHERWISE = columns("change", "outcome", "until", "disposition", "decided_by")


@policies.command()
def propose(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The policy's name; another content is its next version.")],
    of: Annotated[ObjectType, typer.Option(help="What it applies to.")],
    starts: Annotated[ClockStart, typer.Option(help="What starts the clock.")],
    days: Annotated[int, typer.Option(help=f"How long it keeps from there: 1 to {MAX_PERIOD_DAYS}.")],
    then: Annotated[Disposition, typer.Option(help="What becomes of an object afterwards.")],
    kind: Annotated[str | None, typer.Option(help="Only objects of this kind.")] = None,
    label: Annotated[str | None, typer.Option(help="Only objects with this label.")] = None,
    platform: Platform = False,
    reason: Reason = "",
) -> None:
    """Propose a policy, or its next version; nothing applies before a Security Officer has approved it."""
    session = session_of(context)
    request = RetentionPolicyRequest(
        name=name,
        object_type=of,
        kind=kind,
        label=label,
        starts=starts,
        period_days=days,
        disposition=then,
        reason=given(reason, "policy"),
    )
    with session.governance() as governance:
        session.present.record(governance.retention.propose(_place(session, platform=platform), request))


@policies.command()
def end(context: typer.Context, policy: Policy, platform: Platform = False, reason: Reason = "") -> None:
    """Propose that a policy end, by its version in force; it does once a Security Officer has approved that."""
    session = session_of(context)
    request = RetentionPolicyReason(reason=given(reason, "policy"))
    with session.governance() as governance:
        session.present.record(governance.retention.propose_end(_place(session, platform=platform), policy, request))


@policies.command()
def approve(
    context: typer.Context, policy: Policy, digest: Digest, platform: Platform = False, reason: Reason = ""
) -> None:
    """Approve a proposed version, over exactly this digest: it is in force at once, and nothing goes by this alone."""
    _decide(context, policy, "approve", digest, reason, platform=platform)


@policies.command()
def reject(
    context: typer.Context, policy: Policy, digest: Digest, platform: Platform = False, reason: Reason = ""
) -> None:
    """Reject a proposed version; what is in force stays so."""
    _decide(context, policy, "reject", digest, reason, platform=platform)


@policies.command()
def withdraw(context: typer.Context, policy: Policy, platform: Platform = False, reason: Reason = "") -> None:
    """Take a proposal back before it is decided on; a policy in force ends by `holdfast retention policy end`."""
    session = session_of(context)
    request = RetentionPolicyReason(reason=given(reason, "policy"))
    with session.governance() as governance:
        session.present.record(governance.retention.withdraw(_place(session, platform=platform), policy, request))


@policies.command("list")
def list_policies(
    context: typer.Context, platform: Platform = False, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> None:
    """List every version of every policy that may apply in the Project, newest first."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.retention.list(_place(session, platform=platform), limit=limit, cursor=cursor)
        session.present.page(found, _LIST)


@policies.command()
def show(context: typer.Context, policy: Policy, platform: Platform = False) -> None:
    """Show a version of a policy: its digest, and who decided what on it."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.retention.get(_place(session, platform=platform), policy))


@commands.command()
def explain(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[TYPE] OBJECT",
            help="The id of an Artifact, a DatasetVersion, an audit event, or of a Run for its log; its type may stand before it.",
        ),
    ],
) -> None:
    """Say why an object is kept or may go: every rule, until when, who may change it, and what would be otherwise."""
    session = session_of(context)
    named, identity = _object(words)
    with session.governance() as governance:
        found = governance.retention.explain(session.named_project, identity)
    if named is not None and named is not found.object_type:
        raise InvalidRequest(f"{identity} is a {found.object_type}, not a {named}", remedy="Leave the type out")
    if session.present.output is Output.JSON:
        session.present.record(found)
        return
    session.present.fact(_sentence(found))
    session.present.rows(found.rules, _RULES, None)
    if found.otherwise:
        session.present.fact("What would be otherwise:")
        session.present.rows(found.otherwise, _OTHERWISE, None)


def _sentence(found: RetentionExplanation) -> str:
    what = f"{found.object_type} {found.object} is"
    by = f"by {found.decided_by.rule} {_version(found.decided_by)}: {found.decided_by.why}"
    if found.disposition is not None:
        return f"{what} due ({found.disposition}) {by}"
    until = f" until {found.until:%Y-%m-%dT%H:%M:%SZ} at least" if found.until else ", with no end that is known"
    return f"{what} kept{until}, {by}"


def _version(rule: RetentionRule) -> str:
    return f"{rule.name} ({short(rule.digest)})" if rule.digest else rule.name


def _object(words: list[str]) -> tuple[ObjectType | None, UUID]:
    *before, last = words
    names = {"run": ObjectType.RUN_LOG, "event": ObjectType.AUDIT_EVENT} | {one.value: one for one in ObjectType}
    try:
        named = [names[word.replace("-", "_")] for word in before]
        identity = UUID(last)
    except (KeyError, ValueError):
        named, identity = [], None
    if identity is None or len(before) > 1:
        raise InvalidRequest(
            f"{' '.join(words)[:80]!r} names no object",
            remedy=f"Give an id, and before it, if you like, its type: {', '.join(names)}",
        )
    return (named[0] if named else None), identity


def _decide(
    context: typer.Context,
    policy: UUID,
    decision: Literal["approve", "reject"],
    digest: str,
    reason: str,
    *,
    platform: bool,
) -> None:
    session = session_of(context)
    wanted = RetentionDecisionRequest(decision=decision, digest=digest, reason=reason)
    with session.governance() as governance:
        session.present.record(governance.retention.decide(_place(session, platform=platform), policy, wanted))


def _place(session: Session, *, platform: bool) -> str | None:
    return None if platform else session.named_project
