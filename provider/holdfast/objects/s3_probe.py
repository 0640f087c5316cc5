"""The honesty probe: what a dishonest store would let happen is tried on canaries in the real bucket, and each is read back.

A canary has a key of its own below one prefix, holds no data, and is locked for two minutes at most; the next probe removes what this
one may not remove yet. What would change the whole bucket is tried in a bucket of the probe's own alone, see `s3_probe_bucket`.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from holdfast.core.probe import (
    RULES,
    Expected,
    Finding,
    Lock,
    Mode,
    RuleOutcome,
    Try,
    judge,
    untried,
)
from holdfast.objects.canary import HELD, LOCK_S, Cage, Canary, Clock, Tried, at_once, headers
from holdfast.objects.s3_check import date_of
from holdfast.objects.s3_errors import translated
from holdfast.objects.s3_probe_bucket import OwnBucket
from holdfast.ports import ObjectStore, StoreCheck

PREFIX = "holdfast-probe/"
"""What the keys of canaries begin with; no Project has such an id."""

_BEFORE_ANY_TRY = frozenset({"bucket", "versions", "object lock"})
Step = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found.

    Attributes:
        findings: one for each rule, in their order.
        leftovers: canaries that are still locked; the next probe removes them.
    """

    findings: Sequence[Finding]
    leftovers: Sequence[str]


def probe_bucket(
    store: ObjectStore, client: Any, bucket: str, region: str, tell: Step = lambda _done, _of: None
) -> Probed:
    """Return what the store did with every rule; of canaries only those are left that are still locked.

    Args:
        store: the store, for what `check` looks at.
        client: of the store, with the credential whose reach is to be known.
        bucket: the real one.
        region: as the store calls it.
        tell: is told how many rules have been tried, of how many.

    Raises:
        Unavailable: the store does not answer; what is left in it, the next probe removes.
        InvalidRequest: the credential may not even look at what it has stored.
    """
    checks = store.check()
    configuration = _configuration(checks)
    if any(check.error is not None and check.name in _BEFORE_ANY_TRY for check in checks):
        why = "the bucket is not as it has to be"
        return Probed(
            [configuration, *(untried(rule, why) for rule in RULES.values() if rule.name != "configuration")], []
        )
    clock = _clock(client, bucket)
    whole = Cage(client, bucket, PREFIX, clock)
    whole.tidy()
    probe = _Probe(Cage(client, bucket, f"{PREFIX}{secrets.token_hex(8)}/", clock))
    findings = {"configuration": configuration}
    steps = probe.steps()
    tried: dict[str, list[Tried]] = {}
    for name, step in steps.items():
        tried[name] = step()
        tell(len(tried), len(RULES))
    own = OwnBucket(client, bucket, region, PREFIX, clock)
    findings |= own.findings()
    # After everything has been tried: what a store does behind its answer is seen then.
    evidence = iter(at_once(probe.cage.evidence, [one for canaries in tried.values() for one in canaries]))
    for name, canaries in tried.items():
        findings[name] = judge(RULES[name], list(islice(evidence, len(canaries))))
    tell(len(RULES), len(RULES))
    return Probed([findings[name] for name in RULES], whole.tidy())


def _configuration(checks: Sequence[StoreCheck]) -> Finding:
    """Return whether the bucket is as it has to be; a clock that is wrong is no fault of the store."""
    wrong = [check for check in checks if check.error is not None]
    says = "; ".join(f"{check.name}: {check.error.message}" for check in wrong if check.error is not None)
    if not wrong:
        return Finding("configuration", RuleOutcome.KEPT, "everything is as it has to be")
    if all(check.name == "clock" for check in wrong):
        return untried(RULES["configuration"], says)
    return Finding("configuration", RuleOutcome.BROKEN, says)


def _clock(client: Any, bucket: str) -> Clock:
    """Return the store's clock, our own where it says nothing of the time."""
    with translated(bucket):
        date = date_of(client.get_bucket_versioning(Bucket=bucket))
    try:
        began = parsedate_to_datetime(date or "")
    except ValueError:
        began = datetime.now(UTC)
    return Clock(began.replace(tzinfo=began.tzinfo or UTC))


class _Probe:
    """What is tried in the real bucket; each rule has canaries of its own, so that one that is broken hides no other."""

    def __init__(self, cage: Cage) -> None:
        self.cage = cage
        self._no_delete = ""
        self._no_retention = ""

    def steps(self) -> dict[str, Callable[[], list[Tried]]]:
        """Return what is done for each rule, in an order in which what a rule needs to know is known."""
        return {
            "write": self._write,
            "delete": self._delete,
            "lock when stored": self._lock_when_stored,
            "lock later": self._lock_later,
            "multipart upload": self._multipart,
            "copy": self._copy,
            "legal hold": partial(self._guarded, "legal hold", HELD),
            "compliance": partial(self._guarded, "COMPLIANCE", self._retained(Mode.COMPLIANCE)),
            "governance": self._governance,
            "governance bypass": self._bypass,
            "shorten": self._shorten,
            "overwrite": self._overwrite,
            "batch delete": self._batch,
        }

    def _retained(self, mode: Mode, *, is_held: bool = False) -> Lock:
        return Lock(is_held, mode, self.cage.clock.soon())

    def _write(self) -> list[Tried]:
        canary = self.cage.put("write", "the stored version")
        return [Tried(canary, Expected.IS_STORED, (Try("storing it", canary.refused),))]

    def _delete(self) -> list[Tried]:
        canary = self.cage.put("delete", "the version without a lock")
        answer = self.cage.delete(canary)
        if answer.refused:
            self._no_delete = f"the credential may not even delete what has no lock ({answer.refused})"
        elif canary.refused or self.cage.see(canary).is_there:
            self._no_delete = "the store does not even delete what has no lock"
        return [Tried(canary, Expected.GOES, (answer,))]

    def _lock_when_stored(self) -> list[Tried]:
        locks = {
            "held": HELD,
            "compliance": self._retained(Mode.COMPLIANCE),
            "governance": self._retained(Mode.GOVERNANCE),
        }
        canaries = [
            self.cage.put(f"stored-{name}", f"the version stored with {lock}", lock) for name, lock in locks.items()
        ]
        return [Tried(one, Expected.IS_LOCKED, (Try("storing it", one.refused),)) for one in canaries]

    def _lock_later(self) -> list[Tried]:
        held = self.cage.put("later-held", "the version held later", HELD, is_locked_now=False)
        lock = self._retained(Mode.COMPLIANCE)
        retained = self.cage.put("later-retained", "the version retained later", lock, is_locked_now=False)
        hold = self.cage.hold(held)
        retention = self.cage.retain(retained, Mode.COMPLIANCE, lock.until or self.cage.clock.now())
        if retention.refused:
            self._no_retention = f"the credential may not set a retention at all ({retention.refused})"
        return [Tried(held, Expected.IS_LOCKED, (hold,)), Tried(retained, Expected.IS_LOCKED, (retention,))]

    def _multipart(self) -> list[Tried]:
        lock, key = self._retained(Mode.COMPLIANCE, is_held=True), f"{self.cage.prefix}multipart"
        canary = self.cage.stored(
            "the version stored in parts", key, lock, lambda body: self._in_parts(key, body, lock)
        )
        return [self._kept(canary)]

    def _kept(self, canary: Canary) -> Tried:
        """Return what becomes of a version that was stored with a lock in another way than whole: it is to have it, and to keep it.

        Some stores drop such a lock and say nothing. The service sets every lock by a call of its own, and so does the probe then.
        """
        tries = [Try("storing it", canary.refused)]
        lock = canary.lock
        if canary.before and lock.mode and lock.until and not canary.before.lock.covers(lock):
            canary = replace(canary, what=f"{canary.what}, which was stored without it and given it then,")
            tries += [self.cage.hold(canary), self.cage.retain(canary, lock.mode, lock.until)]
        tries.append(self.cage.delete(canary))
        return Tried(canary, Expected.IS_LOCKED, tuple(tries))

    def _in_parts(self, key: str, body: bytes, lock: Lock) -> Any:
        where = {"Bucket": self.cage.bucket, "Key": key}
        upload = _with_or_without(lock, partial(self.cage.client.create_multipart_upload, **where)).get(
            "UploadId", "none"
        )
        part = self.cage.client.upload_part(**where, UploadId=upload, PartNumber=1, Body=body)
        parts = [{"PartNumber": 1, "ETag": part.get("ETag", "")}]
        return self.cage.client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})

    def _copy(self) -> list[Tried]:
        source = self.cage.put("copy-source", "the copied version", HELD)
        lock, key = self._retained(Mode.COMPLIANCE, is_held=True), f"{self.cage.prefix}copy"
        copy = self.cage.stored("the copy", key, lock, lambda _: self._copied(source, key, lock), source.body)
        return [
            self._kept(copy),
            Tried(source, Expected.STAYS, (Try("the copy", copy.refused),)),
        ]

    def _copied(self, source: Canary, key: str, lock: Lock) -> Any:
        origin = {"Bucket": self.cage.bucket, "Key": source.key, "VersionId": source.version_id}
        where = {"Bucket": self.cage.bucket, "Key": key}
        reply = _with_or_without(lock, partial(self.cage.client.copy_object, **where, CopySource=origin))
        # Not every store says which version it has made.
        return reply if reply.get("VersionId") else self.cage.client.head_object(**where)

    def _guarded(self, name: str, lock: Lock) -> list[Tried]:
        canary = self.cage.put(name.lower().replace(" ", "-"), f"the version under {name}", lock)
        answers = (self.cage.delete(canary), self.cage.delete(canary, has_bypass=True))
        return [Tried(canary, Expected.STAYS, answers, self._no_delete)]

    def _governance(self) -> list[Tried]:
        canary = self.cage.put("governance", "the version under GOVERNANCE", self._retained(Mode.GOVERNANCE))
        return [Tried(canary, Expected.STAYS, (self.cage.delete(canary),), self._no_delete)]

    def _bypass(self) -> list[Tried]:
        canary = self.cage.put("bypass", "the version under GOVERNANCE", self._retained(Mode.GOVERNANCE))
        answer = self.cage.delete(canary, has_bypass=True)
        return [Tried(canary, Expected.STAYS_UNLESS_BYPASSED, (answer,), self._no_delete)]

    def _shorten(self) -> list[Tried]:
        lock = self._retained(Mode.COMPLIANCE)
        canary = self.cage.put("shorten", "the version under COMPLIANCE", lock)
        until = lock.until or self.cage.clock.now()
        sooner = until - timedelta(seconds=LOCK_S // 2)
        answers = (
            self.cage.retain(canary, Mode.COMPLIANCE, sooner, has_bypass=True),
            self.cage.retain(canary, Mode.GOVERNANCE, until, has_bypass=True),
        )
        return [Tried(canary, Expected.STAYS, answers, self._no_retention)]

    def _overwrite(self) -> list[Tried]:
        canary = self.cage.put("overwrite", "the old version", HELD)
        new = self.cage.put("overwrite", "the new version")
        answers = (
            Try("a new version", new.refused),
            self.cage.delete(canary),
            self.cage.delete(canary, has_bypass=True),
        )
        return [Tried(canary, Expected.STAYS, answers, self._no_delete)]

    def _batch(self) -> list[Tried]:
        canaries = {
            Expected.STAYS: [
                self.cage.put("batch-held", "the version under legal hold", HELD),
                self.cage.put("batch-compliance", "the version under COMPLIANCE", self._retained(Mode.COMPLIANCE)),
            ],
            Expected.GOES: [self.cage.put("batch-free", "the version without a lock")],
        }
        named = [{"Key": one.key, "VersionId": one.version_id} for each in canaries.values() for one in each]
        refused: dict[str, str] = {}

        def delete() -> None:
            reply = self.cage.client.delete_objects(Bucket=self.cage.bucket, Delete={"Objects": named})
            refused.update({error["Key"]: error.get("Code", "refused") for error in reply.get("Errors", ())})

        whole = self.cage.attempt("the deletion", delete)
        return [
            Tried(
                one,
                expected,
                (Try("its deletion", whole.refused or refused.get(one.key, "")),),
                whole.refused and _NO_BATCH,
            )
            for expected, each in canaries.items()
            for one in each
        ]


def _with_or_without(lock: Lock, call: Callable[..., Any]) -> Any:
    """Return the reply to a call with a lock, and where the store refuses that, without it."""
    try:
        return call(**headers(lock))
    except ClientError:
        return call()


_NO_BATCH = "the store does not take a deletion of several versions"
