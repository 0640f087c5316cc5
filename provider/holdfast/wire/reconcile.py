"""A plan of the reconciler: a value that can be printed, kept, compared, and applied later; and what became of each of its items."""

from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from holdfast.core.reconcile import Action, Graces, Rule
from holdfast.wire.types import Wire

Seconds = Annotated[int, Field(strict=True, ge=0, le=366 * 86400)]


class GracePeriods(Wire):
    """How long things are left alone; see `core.reconcile.Graces`."""

    start_s: Seconds = 600
    settle_s: Seconds = 300
    quarantine_s: Seconds = 900

    def as_graces(self) -> Graces:
        """Return them as the rules take them."""
        return Graces(*(timedelta(seconds=each) for each in (self.start_s, self.settle_s, self.quarantine_s)))


class PlannedProject(Wire):
    """A Project that was looked at, and what tells its installation and its cluster from all others."""

    name: str
    id: UUID
    namespace: str
    namespace_uid: str


class PlanItem(Wire):
    """One thing to do. What it names is what it was about when the plan was made, and is looked at again before anything is done."""

    action: Action
    rule: Rule
    why: str
    project: str
    namespace: str
    pod: str | None = None
    uid: str | None = None
    node: str | None = None
    run: UUID | None = None


class Unread(Wire):
    """A Project that could not be looked at; nothing is done in it."""

    project: str
    why: str


class ReconcilePlan(Wire):
    """Everything that a reconciler would do.

    Attributes:
        format: of this document.
        made_at: when.
        graces: by which it was decided.
        agent_images: with which a pod may have been made.
        projects: where was looked.
        pods: how many were looked at.
        runs: how many open ones were looked at.
        items: what is to be done, in this order.
        is_whole: False where there is more to do than a plan may hold; the next one has it.
        unread: where could not be looked.
    """

    format: Literal["holdfast.reconcile-plan/1"] = "holdfast.reconcile-plan/1"
    made_at: AwareDatetime
    graces: GracePeriods
    agent_images: list[str]
    projects: list[PlannedProject]
    pods: int
    runs: int
    items: list[PlanItem]
    is_whole: bool
    unread: list[Unread]


class ItemOutcome(Wire):
    """What became of one item: it was done, it was not true any more, or it could not be done."""

    item: PlanItem
    became: Literal["done", "moot", "failed"]
    says: str


class ReconcileOutcome(Wire):
    """What became of a plan."""

    items: list[ItemOutcome]
    unread: list[Unread]

    @property
    def failed(self) -> int:
        """How many items could not be done."""
        return sum(outcome.became == "failed" for outcome in self.items)
