"""`holdfast policy`: promotion policies."""

import re
from typing import Annotated

import typer

from holdfast.cli.durations import seconds_of
from holdfast.cli.session import Cursor, Limit, group, session_of
from holdfast.cli.show import columns, short
from holdfast.core.access import Role
from holdfast.core.errors import InvalidRequest
from holdfast.core.promotion import Comparison
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.model import ApprovalGateSpec, MetricGateSpec, PolicyRequest

commands = group("Promotion policies: what must hold, and who must agree, before an alias moves.")

_METRIC = re.compile(r"(.{1,200}?)(>=|<=|>|<)(.+)")
_LIST = columns(
    "name", "version", "gates", digest=lambda policy: short(policy.digest), created_at=lambda policy: policy.created_at
)


@commands.command()
def define(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The policy's name; a new content is a new version.")],
    metric: Annotated[list[str], typer.Option(help="A bound: 'accuracy>=0.9'; repeat for more.")] = [],  # noqa: B006 - typer's
    approvals: Annotated[
        list[str], typer.Option(help="How many of which roles: '2:security_officer,project_maintainer'.")
    ] = [],  # noqa: B006 - typer's
    expires: Annotated[str, typer.Option(help="How long a requested promotion may wait.")] = "7d",
) -> None:
    """Define a promotion policy, or its next version; every gate must pass."""
    session = session_of(context)
    gates = [*map(metric_gate, metric), *map(approval_gate, approvals)]
    request = PolicyRequest(name=name, gates=gates, expires_after_s=seconds_of(expires))
    with session.governance() as governance:
        session.present.record(governance.promotions.define_policy(session.named_project, request))


@commands.command("list")
def list_policies(context: typer.Context, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> None:
    """List promotion policies, newest first."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.page(
            governance.promotions.list_policies(session.named_project, limit=limit, cursor=cursor), _LIST
        )


def metric_gate(text: str) -> MetricGateSpec:
    """Return the gate that a bound on a metric stands for; raises InvalidRequest."""
    match = _METRIC.fullmatch(text.replace(" ", ""))
    if match is None:
        raise _not_a_bound(text)
    try:
        return MetricGateSpec(metric=match[1], comparison=Comparison(match[2]), bound=float(match[3]))
    except ValueError:
        raise _not_a_bound(text) from None


def _not_a_bound(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"{text[:80]!r} is not a bound on a metric", remedy="Write it as 'accuracy>=0.9', with >=, <=, > or <"
    )


def approval_gate(text: str) -> ApprovalGateSpec:
    """Return the gate that `COUNT:ROLE,ROLE` stands for; raises InvalidRequest."""
    count, _, roles = text.partition(":")
    try:
        return ApprovalGateSpec(count=int(count), roles=[Role(role.strip()) for role in roles.split(",")])
    except ValueError:
        raise InvalidRequest(
            f"{text[:80]!r} does not say who must approve",
            remedy=f"Write COUNT:ROLE,ROLE with 1 to 20 and roles of: {', '.join(Role)}",
        ) from None
