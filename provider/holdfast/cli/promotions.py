"""`holdfast promote`: promotions, requested, decided and executed."""

from typing import Annotated, Literal
from uuid import UUID

import typer

from holdfast.cli.session import Cursor, Limit, Reason, group, session_of
from holdfast.cli.show import columns
from holdfast.core.promotion import PromotionState
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.model import DecisionRequest, PromotionRequest

commands = group("Promotions: request one, decide on its evidence, and let the alias move.")

Promotion = Annotated[UUID, typer.Argument(help="The promotion's id.")]
Evidence = Annotated[
    str, typer.Option(help="The evidence_digest that `show` prints: what you decide on.", metavar="DIGEST")
]
_LIST = columns("id", "model", "number", "alias", "state", "requested_by", "requested_at", "expires_at")


@commands.command()
def request(
    context: typer.Context,
    model_version: Annotated[UUID, typer.Option(help="The ModelVersion's id.")],
    alias: Annotated[str, typer.Option(help="What is to move: champion, say.")],
    policy: Annotated[str, typer.Option(help="The promotion policy.")],
) -> None:
    """Request that an alias move to a ModelVersion; the evidence is fixed now."""
    session = session_of(context)
    wanted = PromotionRequest(model_version=model_version, alias=alias, policy=policy)
    with session.governance() as governance:
        session.present.record(governance.promotions.request(session.named_project, wanted))


@commands.command("list")
def list_promotions(
    context: typer.Context,
    state: Annotated[PromotionState | None, typer.Option(help="Only promotions in this state.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> None:
    """List promotions, newest first."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.promotions.list(session.named_project, state=state, limit=limit, cursor=cursor)
        session.present.page(found, _LIST)


@commands.command()
def show(context: typer.Context, promotion: Promotion) -> None:
    """Show a promotion: its evidence, its gates as they stand, and who decided what."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.promotions.get(session.named_project, promotion))


@commands.command()
def approve(context: typer.Context, promotion: Promotion, evidence: Evidence, reason: Reason = "") -> None:
    """Approve a promotion, over exactly this evidence."""
    _decide(context, promotion, "approve", evidence, reason)


@commands.command()
def reject(context: typer.Context, promotion: Promotion, evidence: Evidence, reason: Reason = "") -> None:
    """Reject a promotion; that is its end."""
    _decide(context, promotion, "reject", evidence, reason)


@commands.command()
def execute(context: typer.Context, promotion: Promotion) -> None:
    """Move the alias of an approved promotion; again, it stays where it is."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.promotions.execute(session.named_project, promotion))


def _decide(
    context: typer.Context, promotion: UUID, decision: Literal["approve", "reject"], evidence: str, reason: str
) -> None:
    session = session_of(context)
    wanted = DecisionRequest(decision=decision, evidence_digest=evidence, reason=reason)
    with session.governance() as governance:
        session.present.record(governance.promotions.decide(session.named_project, promotion, wanted))
