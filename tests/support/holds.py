"""Legal holds in tests: placed by people who may, and cooled off without a day of waiting."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

from holdfast.core.access import Role
from holdfast.wire.hold import HeldObject, HoldQuery, HoldRequest, ReleaseDecision, ReleaseRequest
from holdfast.wire.project import RoleBindingRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sqlalchemy import Connection

    from holdfast.wire.hold import LegalHold
    from tests.support.story import Story

OFFICERS = ("user:sofia", "user:sam")
TABLES = ("legal_hold", "legal_hold_object", "legal_hold_release")


def bind_officers(story: Story) -> None:
    """Let two people be Security Officers of the platform."""
    install = story.act_as("system:install")
    for officer in OFFICERS:
        install.projects.bind_role(None, RoleBindingRequest(subject=officer, role=Role.SECURITY_OFFICER))


def hold_on(kind: str, *ids: Any, **more: Any) -> HoldRequest:
    """Return the request of a hold on objects of a type."""
    objects = [HeldObject(type=kind, id=one) for one in ids]
    return HoldRequest(**{"matter": "Doe v. Clinic", "reason": "a letter of counsel", "objects": objects, **more})


def hold_something(story: Story) -> LegalHold:
    """Place a hold by a query, whose release is asked for, so that every table of holds has a row."""
    bind_officers(story)
    version = story.register_model()
    query = HoldQuery(type="artifact", project=story.project, name="model", created_before="2100-01-01T00:00:00Z")
    hold = place(story, HoldRequest(matter="m", custodians=["a custodian"], reason="r", query=query))
    assert hold.objects["model_version"] >= 1, version
    return ask(story, hold)


def place(story: Story, request: HoldRequest) -> LegalHold:
    return story.act_as(OFFICERS[0]).holds.place(request)


def ask(story: Story, hold: LegalHold, principal: str = OFFICERS[0]) -> LegalHold:
    return story.act_as(principal).holds.request_release(hold.name, ReleaseRequest(reason="settled"))


def decide(story: Story, hold: LegalHold, decision: str = "approve", principal: str = OFFICERS[1]) -> LegalHold:
    """Decide on the newest release of a hold, as it is read again."""
    [release, *_] = story.act_as(principal).holds.get(hold.name).releases
    return story.act_as(principal).holds.decide_release(
        hold.name, ReleaseDecision(decision=decision, release=release.id)
    )


def release(story: Story, hold: LegalHold, owner: Connection) -> LegalHold:
    """Release a hold as two people do, a day later."""
    ask(story, hold)
    cool_off(owner, hold)
    return decide(story, hold)


def cool_off(owner: Connection, hold: LegalHold) -> None:
    """Make it so that a hold's release was asked for a day ago; only the owner of the database could, with the guards asleep."""
    with asleep(owner, "legal_hold_release"):
        owner.execute(
            text("UPDATE legal_hold_release SET requested_at = requested_at - interval '25 h' WHERE hold_id = :hold"),
            {"hold": hold.id},
        )


@contextmanager
def no_plan_needed(owner: Connection, *tables: str) -> Iterator[None]:
    """Let something go that is no item of a plan, where the guard of holds alone is looked at."""
    for table in tables:
        owner.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_plan_guard"))
    try:
        yield
    finally:
        for table in tables:
            owner.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER {table}_plan_guard"))


@contextmanager
def asleep(owner: Connection, *tables: str) -> Iterator[None]:
    """Let the triggers of tables sleep."""
    for table in tables:
        owner.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    try:
        yield
    finally:
        for table in tables:
            owner.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
