"""Retention policies in tests: proposed by one person, approved by another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.wire.retention import RetentionDecisionRequest, RetentionPolicy, RetentionPolicyRequest

if TYPE_CHECKING:
    from tests.support.story import Story


def propose_retention(story: Story, name: str = "models", **changes: object) -> RetentionPolicy:
    content = {
        "name": name,
        "object_type": "artifact",
        "starts": "created",
        "period_days": 30,
        "disposition": "delete",
        "reason": "tests",
    }
    return story.mia.retention.propose(story.project, RetentionPolicyRequest(**{**content, **changes}))


def approve_retention(story: Story, proposed: RetentionPolicy | None = None) -> RetentionPolicy:
    proposed = proposed or propose_retention(story)
    decision = RetentionDecisionRequest(decision="approve", digest=proposed.digest)
    return story.olaf.retention.decide(story.project, proposed.id, decision)
