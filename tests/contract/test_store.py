"""What the installation says of its object store: the same for both implementations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from holdfast.core.access import Caller, Role
from holdfast.core.errors import PolicyViolation
from holdfast.core.probe import RULES, HoldLevel, RuleOutcome
from holdfast.ports import Governance
from holdfast.service.store import StoreService
from holdfast.service.transaction import Transactions
from holdfast.settings import Platform
from holdfast.wire.project import RoleBindingRequest
from tests.support.probe import record_probe
from tests.support.story import Story


class Locking:
    """The platform's directory, said to be of a kind that has locks: a bucket is probed in tests/integration."""

    def __init__(self, place: str) -> None:
        self.place, self.has_lock = place, True


@pytest.fixture
def viewer(story: Story) -> Governance:
    """Somebody who may read on the platform."""
    binding = RoleBindingRequest(subject="user:vera", role=Role.VIEWER)
    story.act_as("system:install").projects.bind_role(None, binding)
    return story.act_as("user:vera")


def test_a_directory_keeps_no_lock_whatever_is_on_record(viewer: Governance, platform: Platform) -> None:
    before = viewer.store.show()
    assert (before.place, before.hold_level) == (platform.objects.place, HoldLevel.DATABASE_ONLY)
    assert "has no Object Lock" in before.why
    probe = record_probe(platform)
    after = viewer.store.show()
    assert (after.hold_level, after.probe) == (HoldLevel.DATABASE_ONLY, probe)


def test_a_probe_is_on_record_with_what_it_found_and_its_event(
    story: Story, viewer: Governance, platform: Platform
) -> None:
    probe = record_probe(platform, shorten=RuleOutcome.BROKEN, lifecycle=RuleOutcome.UNTRIED)
    shown = viewer.store.show().probe
    assert shown == probe
    assert [one.rule for one in probe.findings] == list(RULES)
    assert not probe.is_honest
    [event, *_] = story.act_as("system:install").audit.list(None, action="store.probed").items
    assert (event.target_type, event.target_id, event.initiator) == ("store", probe.place, "system:tests")
    assert (event.content["broken"], event.content["untried"]) == (["shorten"], ["lifecycle"])
    assert (event.content["probe"], event.content["is_honest"]) == (str(probe.id), False)


def test_who_may_not_read_on_the_platform_is_not_told(story: Story) -> None:
    with pytest.raises(PolicyViolation):
        story.mia.store.show()


def test_only_the_newest_probe_of_this_very_store_counts_and_only_while_it_is_young(platform: Platform) -> None:
    def level(place: str, limit: timedelta = timedelta(hours=48)) -> HoldLevel:
        here = StoreService(Transactions(platform.engine, Caller("system:tests")), Locking(place), limit)
        return here.show().hold_level

    place = platform.objects.place
    record_probe(platform, governance=RuleOutcome.UNTRIED)
    assert level(place) is HoldLevel.DATABASE_ONLY
    record_probe(platform)
    assert level(place) is HoldLevel.OBJECT_LOCK
    assert level(place, timedelta(0)) is HoldLevel.DATABASE_ONLY
    assert level(f"{place}/another") is HoldLevel.DATABASE_ONLY
    record_probe(platform, lifecycle=RuleOutcome.UNTRIED)
    assert level(place) is HoldLevel.OBJECT_LOCK
    record_probe(platform, lifecycle=RuleOutcome.BROKEN)
    assert level(place) is HoldLevel.DATABASE_ONLY
