"""Whether a store keeps the locks that it takes: the rules of the honesty probe, and what was seen of a store as findings.

A store may take a lock, say that it has, and let the version go all the same. So no answer is believed: each rule is judged by what was
read back after the try, and a refusal counts only where the same credential may do the same to what is not locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class RuleOutcome(StrEnum):
    """What a store did with a rule."""

    KEPT = "kept"
    BROKEN = "broken"
    UNTRIED = "could not be tried"


class HoldLevel(StrEnum):
    """What keeps held bytes: the store's own lock as well, or the database alone."""

    OBJECT_LOCK = "object lock"
    DATABASE_ONLY = "database only"


class Mode(StrEnum):
    """The two modes of a retention under S3 Object Lock, the weaker one first."""

    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


_LONGEST_BUCKET = 63
_MAY_BYPASS = "the credential may bypass GOVERNANCE, which so keeps nothing from whoever has it: deny it s3:BypassGovernanceRetention"
_STRENGTH = {None: 0, Mode.GOVERNANCE: 1, Mode.COMPLIANCE: 2}


@dataclass(frozen=True, slots=True)
class Lock:
    """What keeps a version.

    Attributes:
        is_held: whether it is under legal hold.
        mode: of its retention; None without one.
        until: when that ends.
    """

    is_held: bool = False
    mode: Mode | None = None
    until: datetime | None = None

    def covers(self, other: "Lock") -> bool:
        """Whether this lock keeps at least what the other one does, and as long."""
        if other.is_held and not self.is_held:
            return False
        if other.mode is None or other.until is None:
            return True
        return self.until is not None and _STRENGTH[self.mode] >= _STRENGTH[other.mode] and self.until >= other.until

    def has_run_out(self, now: datetime) -> bool:
        """Whether it had an end, and that is over."""
        return self.until is not None and self.until <= now

    def __str__(self) -> str:
        parts = ["legal hold"] if self.is_held else []
        if self.mode and self.until:
            parts.append(f"{self.mode} until {self.until:%Y-%m-%dT%H:%M:%SZ}")
        return " and ".join(parts) or "no lock"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read back of a canary: whether it is there with its own bytes, and under which lock."""

    is_there: bool
    lock: Lock = Lock()


class Expected(StrEnum):
    """What an honest store has done to a canary when all tries are over."""

    STAYS = "stays"
    STAYS_UNLESS_BYPASSED = "stays unless bypassed"
    GOES = "goes"
    IS_STORED = "is stored"
    IS_LOCKED = "is locked"


@dataclass(frozen=True, slots=True)
class Try:
    """One call and its answer.

    Attributes:
        what: was asked for, as in "a deletion with the bypass header was".
        refused: the store's word for its refusal; empty where it said yes.
    """

    what: str
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was done to one canary and what was read back of it.

    Attributes:
        canary: what it is, as in "the version under legal hold".
        expected: what an honest store does.
        lock: what it was locked with; of what has to become locked, what with.
        before: what was read back before the tries; None where it could not be made.
        tries: in their order.
        after: what was read back after all of them.
        why_untried: why the tries say nothing, whatever was answered; empty where they do.
        at: the store's time when it was read back.
    """

    canary: str
    expected: Expected
    lock: Lock
    before: Seen | None
    tries: tuple[Try, ...]
    after: Seen
    at: datetime
    why_untried: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that an honest store does.

    Attributes:
        name: what the rule is called in findings.
        tried: what the probe does.
        honest: what an honest store does then.
        is_needed: whether a store counts as honest only where this was tried, too.
    """

    name: str
    tried: str
    honest: str
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """What a store did with a rule; `says` is one sentence about this store."""

    rule: str
    outcome: RuleOutcome
    says: str


_GONE = "the version goes"
_STAYS = "refuses, and the version stays as it was"
RULES = {
    rule.name: rule
    for rule in (
        Rule("configuration", "the bucket is looked at as `holdfast store check` does", "it is as it has to be"),
        Rule("write", "a version is stored", "it is there with its bytes"),
        Rule("delete", "a version without a lock is deleted", _GONE),
        Rule("lock when stored", "versions are stored with each kind of lock", "each has its lock"),
        Rule("lock later", "a version that is there is put under legal hold and under retention", "it has both"),
        Rule(
            "multipart upload", "a version is stored in parts with a lock, and deleted", "it has its lock, and keeps it"
        ),
        Rule(
            "copy",
            "a locked version is copied with a lock, and the copy deleted",
            "both have their locks, and keep them",
        ),
        Rule("legal hold", "a version under legal hold is deleted, with and without the bypass header", _STAYS),
        Rule("compliance", "a version under COMPLIANCE is deleted, with and without the bypass header", _STAYS),
        Rule("governance", "a version under GOVERNANCE is deleted without the bypass header", _STAYS),
        Rule(
            "governance bypass",
            "a version under GOVERNANCE is deleted with the bypass header",
            "refuses, or lets it go where the credential has s3:BypassGovernanceRetention, and says which",
            is_needed=False,
        ),
        Rule(
            "shorten",
            "a retention under COMPLIANCE is shortened, and made GOVERNANCE, with the bypass header",
            "refuses, and the retention stays",
        ),
        Rule(
            "overwrite",
            "a new version is stored over a held one, and then the old version is deleted",
            "the old version stays, with its lock",
        ),
        Rule(
            "batch delete", "locked versions and one without a lock are deleted in one call", "only the last one goes"
        ),
        Rule(
            "suspend versioning",
            "the probe's own bucket is told to keep no versions any more",
            "refuses, because of Object Lock",
            is_needed=False,
        ),
        Rule(
            "delete bucket",
            "the probe's own bucket is deleted, in which a held version lies under a delete marker",
            "refuses, and the version stays",
            is_needed=False,
        ),
        Rule(
            "lifecycle",
            "a lifecycle rule in the probe's own bucket expires a held version and one without a lock",
            "only the second one goes",
            is_needed=False,
        ),
    )
}
"""Every rule by its name, in the order in which it is shown."""


def judge(rule: Rule, evidence: Sequence[Evidence]) -> Finding:
    """Return what a store did with a rule: broken where one canary shows it, kept where every one of them does."""
    if not evidence:
        raise ValueError(f"the rule {rule.name!r} has no evidence")
    found = [_judged(one) for one in evidence]
    for outcome in (RuleOutcome.BROKEN, RuleOutcome.UNTRIED):
        if says := [text for became, text in found if became is outcome]:
            return Finding(rule.name, outcome, "; ".join(says))
    return Finding(rule.name, RuleOutcome.KEPT, "; ".join(text for _, text in found))


def untried(rule: Rule, why: str) -> Finding:
    """Return that a rule could not be tried."""
    return Finding(rule.name, RuleOutcome.UNTRIED, why)


def is_honest(findings: Sequence[Finding]) -> bool:
    """Whether a store keeps its locks: no rule is broken, and each that is needed was tried."""
    kept = {finding.rule for finding in findings if finding.outcome is RuleOutcome.KEPT}
    needed = {rule.name for rule in RULES.values() if rule.is_needed}
    return needed <= kept and all(finding.outcome is not RuleOutcome.BROKEN for finding in findings)


def hold_level(
    *, has_lock: bool, is_honest: bool | None, age: timedelta, limit: timedelta, by_this_version: bool
) -> tuple[HoldLevel, str]:
    """Return what keeps held bytes, and why it is that.

    Args:
        has_lock: whether the store is of a kind that has locks of its own.
        is_honest: what its newest probe found; None where it has never been probed.
        age: of that probe.
        limit: how old it may be.
        by_this_version: whether the version of the product made it that asks: after an upgrade the store is to be probed anew.
    """
    if not has_lock:
        return HoldLevel.DATABASE_ONLY, "the object store is a directory, which has no Object Lock"
    if is_honest is None:
        return HoldLevel.DATABASE_ONLY, "the store has never been probed: run `holdfast store probe`"
    if not is_honest:
        return (
            HoldLevel.DATABASE_ONLY,
            "the newest probe found that the store does not keep its locks, or could not tell",
        )
    if not by_this_version:
        return HoldLevel.DATABASE_ONLY, "the newest probe is of another version of Holdfast: run `holdfast store probe`"
    if age > limit:
        return HoldLevel.DATABASE_ONLY, f"the newest probe is older than {_hours(limit)}: run `holdfast store probe`"
    return HoldLevel.OBJECT_LOCK, "the newest probe found that the store keeps its locks"


def own_bucket(bucket: str) -> str | None:
    """Return the name of the bucket that is the probe's own, beside the real one; None where that has no room for it."""
    name = f"{bucket}-probe"
    return name if len(name) <= _LONGEST_BUCKET else None


def _judged(one: Evidence) -> tuple[RuleOutcome, str]:
    if one.expected is Expected.IS_STORED:
        return _stored(one)
    if one.before is None or not one.before.is_there:
        return RuleOutcome.UNTRIED, one.why_untried or f"{one.canary} could not be stored"
    match one.expected:
        case Expected.GOES:
            return _gone(one)
        case Expected.IS_LOCKED:
            return _locked(one)
        case _:
            return _stayed(one)


def _stored(one: Evidence) -> tuple[RuleOutcome, str]:
    if one.after.is_there:
        return RuleOutcome.KEPT, f"{one.canary} is there"
    if all(each.refused for each in one.tries):
        return RuleOutcome.UNTRIED, _answers(one)
    return RuleOutcome.BROKEN, f"{_answers(one)}, and {one.canary} is not there"


def _gone(one: Evidence) -> tuple[RuleOutcome, str]:
    if not one.after.is_there:
        return RuleOutcome.KEPT, f"{one.canary} is gone"
    if any(not each.refused for each in one.tries):
        return RuleOutcome.BROKEN, f"{_answers(one)}, and {one.canary} is there"
    return RuleOutcome.UNTRIED, one.why_untried or _answers(one)


def _locked(one: Evidence) -> tuple[RuleOutcome, str]:
    if one.after.is_there and one.after.lock.covers(one.lock):
        return RuleOutcome.KEPT, f"{one.canary} has {one.lock}"
    if all(each.refused for each in one.tries) and one.tries:
        return RuleOutcome.UNTRIED, _answers(one)
    if one.lock.has_run_out(one.at):
        return RuleOutcome.UNTRIED, f"the lock of {one.canary} ran out during the probe"
    return RuleOutcome.BROKEN, f"{_answers(one)}, and {one.canary} {_what_is_left(one.after)}"


def _stayed(one: Evidence) -> tuple[RuleOutcome, str]:
    before = one.before or Seen(is_there=False)
    if not before.lock.covers(one.lock):
        return RuleOutcome.UNTRIED, one.why_untried or f"{one.canary} has {before.lock}"
    if one.after.is_there and one.after.lock.covers(one.lock):
        if one.why_untried:
            return RuleOutcome.UNTRIED, one.why_untried
        return RuleOutcome.KEPT, f"{_answers(one)}, and {one.canary} is there"
    was_let = any(not each.refused for each in one.tries)
    if one.expected is Expected.STAYS_UNLESS_BYPASSED and was_let:
        return RuleOutcome.KEPT, _MAY_BYPASS
    if one.lock.has_run_out(one.at):
        return RuleOutcome.UNTRIED, f"the lock of {one.canary} ran out during the probe"
    return RuleOutcome.BROKEN, f"{_answers(one)}, and {one.canary} {_what_is_left(one.after)}"


def _answers(one: Evidence) -> str:
    said = [
        f"{each.what} was {f'refused ({each.refused})' if each.refused else 'answered with yes'}" for each in one.tries
    ]
    return ", ".join(said) or "nothing was asked for"


def _what_is_left(after: Seen) -> str:
    return f"has {after.lock}" if after.is_there else "is gone"


def _hours(limit: timedelta) -> str:
    return f"{limit.total_seconds() / 3600:g} hours"
