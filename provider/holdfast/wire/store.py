"""What is known of the object store: what its honesty probes found, and what that is worth to a hold."""

from uuid import UUID

from holdfast.core.probe import HoldLevel, RuleOutcome
from holdfast.wire.types import Time, Wire


class StoreFinding(Wire):
    """What the store did with one rule.

    Attributes:
        rule: its name.
        tried: what the probe does.
        honest: what an honest store does then.
        outcome: what this one did.
        says: the same in a sentence.
    """

    rule: str
    tried: str
    honest: str
    outcome: RuleOutcome
    says: str


class StoreProbe(Wire):
    """One honesty probe.

    Attributes:
        place: of the store; holds no secret.
        is_honest: whether the store keeps its locks: no rule is broken, and each that is needed was tried.
        findings: one for each rule.
        leftovers: canaries that were still locked; the next probe removes them.
        version: of the product that has probed.
        probed_by: who has probed.
        probed_at: when that was recorded.
    """

    id: UUID
    place: str
    is_honest: bool
    findings: list[StoreFinding]
    leftovers: list[str]
    version: str
    probed_by: str
    probed_at: Time

    def named(self, outcome: RuleOutcome) -> list[str]:
        """Return the rules with which the store did so."""
        return [finding.rule for finding in self.findings if finding.outcome is outcome]


class StoreStanding(Wire):
    """What a hold on an object is worth in this store.

    Attributes:
        place: of the store; holds no secret.
        hold_level: what keeps held bytes: the store's own lock as well, or the database alone.
        why: it is that.
        probe: the newest one; None where there is none.
    """

    place: str
    hold_level: HoldLevel
    why: str
    probe: StoreProbe | None
