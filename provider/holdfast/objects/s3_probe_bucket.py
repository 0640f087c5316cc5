"""What the honesty probe tries on a whole bucket: in a bucket of its own, where nothing can be lost should a store let it happen.

The bucket stands from one probe to the next. A lifecycle rule works by night, so what one probe has put there the next one looks at.
Nothing here touches the real bucket, its versioning or its rules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from holdfast.core.probe import (
    RULES,
    Evidence,
    Expected,
    Finding,
    Seen,
    Try,
    judge,
    own_bucket,
    untried,
)
from holdfast.objects.canary import HELD, NO_LOCK, Cage, Canary, Clock, Tried, answered, body_of, word_of
from holdfast.objects.s3_errors import translated

NAMES = ("lifecycle", "suspend versioning", "delete bucket")
"""The rules that are tried here, in this order: should the bucket go, nothing is left to try."""

_RULE_ID = "holdfast-probe"
_DEFAULT = "us-east-1"  # which no bucket may be asked to be made in
_DENIED = frozenset({"AccessDenied", "403"})
_EXPIRED = {"held": HELD, "free": NO_LOCK}


class _Unfit(Exception):
    """The bucket cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class OwnBucket:
    """The bucket beside a real one.

    Attributes:
        client: of the store.
        real: the real bucket's name.
        region: as the store calls it.
        prefix: of the keys of canaries.
        clock: the store's.
    """

    client: Any
    real: str
    region: str
    prefix: str
    clock: Clock

    def findings(self) -> dict[str, Finding]:
        """Return what the store did with each rule; raises Unavailable where it does not answer."""
        name = own_bucket(self.real)
        if name is None:
            return _untried(f"the name of {self.real!r} is too long for a bucket of the probe's own beside it")
        try:
            self._make(name)
        except _Unfit as unfit:
            return _untried(str(unfit))
        cage = Cage(self.client, name, self.prefix, self.clock)
        cage.tidy(kept=self._by_night)
        try:
            found = {"lifecycle": self._lifecycle(cage), "suspend versioning": self._suspend(cage)}
        finally:
            self._keep_versions(name)
        return {**found, "delete bucket": self._delete(cage)}

    @property
    def _by_night(self) -> str:
        """The prefix of what a lifecycle rule is to expire."""
        return f"{self.prefix}lifecycle/"

    def _make(self, name: str) -> None:
        """Return when the bucket is there, is ours alone, and has versions and Object Lock."""
        found = self._asked(self.client.head_bucket, Bucket=name)
        if found == "404":
            region = {} if self.region == _DEFAULT else {"LocationConstraint": self.region}
            more = {"CreateBucketConfiguration": region} if region else {}
            found = self._asked(self.client.create_bucket, Bucket=name, ObjectLockEnabledForBucket=True, **more)
            if found or (found := self._asked(self.client.head_bucket, Bucket=name)):
                raise _Unfit(f"the probe's own bucket {name!r} is not there and cannot be made ({found})")
        elif found:
            raise _Unfit(f"the bucket {name!r}, which is to be the probe's own, cannot be used ({found})")
        if found := self._asked(self.client.get_object_lock_configuration, Bucket=name):
            raise _Unfit(f"the probe's own bucket {name!r} has no Object Lock ({found})")
        with translated(name):
            listed = self.client.list_object_versions(Bucket=name)
        keys = [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in listed.get(kind, ())]
        if any(not key.startswith(self.prefix) for key in keys):
            raise _Unfit(f"the bucket {name!r}, which is to be the probe's own, holds what is not the probe's")
        # Only now: what is somebody else's stays as it is.
        self._keep_versions(name)

    def _keep_versions(self, name: str) -> None:
        """Have the bucket keep versions, should it not: a probe may have been killed where it had to be told."""
        if not self._keeps_versions(name):
            self._asked(self.client.put_bucket_versioning, Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def _keeps_versions(self, name: str) -> bool:
        with translated(name):
            return bool(self.client.get_bucket_versioning(Bucket=name).get("Status") == "Enabled")

    def _suspend(self, cage: Cage) -> Finding:
        before = Seen(self._keeps_versions(cage.bucket))
        suspended = {"Bucket": cage.bucket, "VersioningConfiguration": {"Status": "Suspended"}}
        answer = cage.attempt("the suspension", lambda: self.client.put_bucket_versioning(**suspended))
        after = Seen(self._keeps_versions(cage.bucket))
        return self._judged("suspend versioning", "the bucket's versioning", before, answer, after)

    def _delete(self, cage: Cage) -> Finding:
        canary = cage.put("delete-bucket", "the held version in it", HELD)
        cage.attempt("", partial(self.client.delete_object, Bucket=cage.bucket, Key=canary.key))
        answer = cage.attempt("the deletion", partial(self.client.delete_bucket, Bucket=cage.bucket))
        evidence = cage.evidence(Tried(canary, Expected.STAYS, (answer,), _why_denied(answer)))
        if not self._asked(self.client.head_bucket, Bucket=cage.bucket):
            cage.tidy(kept=self._by_night)
        return judge(RULES["delete bucket"], [evidence])

    def _lifecycle(self, cage: Cage) -> Finding:
        """Look at what the rule has done that the probe before has set, and set it again.

        The canaries are stored before the rule is, so that a version that is not there beside a rule has been expired.
        """
        rules = self._rules(cage.bucket)
        if any(rule.get("ID") != _RULE_ID for rule in rules):
            return untried(RULES["lifecycle"], f"{cage.bucket!r} has lifecycle rules that are not the probe's")
        was_set, answer = bool(rules), Try("the rule")
        if not was_set:
            self._store(cage)
        held = self._version(cage, "held")
        if held is None and not was_set:
            return untried(RULES["lifecycle"], "no held version could be stored")
        if not was_set:
            answer = cage.attempt("the rule", partial(self._set, cage.bucket))
        why = f"the store refuses lifecycle rules ({answer.refused})" if answer.refused else ""
        if not why and self._version(cage, "free") is not None:
            why = "the store has not applied the rule yet, by which also a version without a lock goes"
        after = cage.see(held) if held is not None else Seen(is_there=False)
        found = self._judged("lifecycle", "the held version", Seen(is_there=True, lock=HELD), answer, after, why)
        if was_set:
            self._store(cage)
        return found

    def _store(self, cage: Cage) -> None:
        """Store what is to be expired and is not there, under delete markers: what lies under one goes first."""
        for name, lock in _EXPIRED.items():
            if self._version(cage, name) is None:
                canary = cage.put(f"lifecycle/{name}", name, lock)
                cage.attempt("", partial(self.client.delete_object, Bucket=cage.bucket, Key=canary.key))

    def _version(self, cage: Cage, name: str) -> Canary | None:
        key = f"{self._by_night}{name}"
        with translated(key):
            versions = self.client.list_object_versions(Bucket=cage.bucket, Prefix=key).get("Versions", ())
        found = [one["VersionId"] for one in versions if one["Key"] == key]
        return Canary(name, key, found[0], body_of(key), _EXPIRED[name]) if found else None

    def _rules(self, name: str) -> list[dict[str, Any]]:
        try:
            with answered():
                return list(self.client.get_bucket_lifecycle_configuration(Bucket=name).get("Rules", ()))
        except ClientError:
            return []  # there is none, or rules are not known here

    def _set(self, name: str) -> None:
        rule = {
            "ID": _RULE_ID,
            "Status": "Enabled",
            "Filter": {"Prefix": self._by_night},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        }
        self.client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})

    def _judged(self, rule: str, what: str, before: Seen, answer: Try, after: Seen, why_untried: str = "") -> Finding:
        lock = before.lock
        why = why_untried or _why_denied(answer)
        evidence = Evidence(what, Expected.STAYS, lock, before, (answer,), after, self.clock.now(), why)
        return judge(RULES[rule], [evidence])

    @staticmethod
    def _asked(call: Callable[..., Any], **arguments: Any) -> str:
        """Return the store's word for its refusal; empty where there is none."""
        try:
            with answered():
                call(**arguments)
        except ClientError as error:
            return word_of(error)
        return ""


def _untried(why: str) -> dict[str, Finding]:
    return {name: untried(RULES[name], why) for name in NAMES}


def _why_denied(answer: Try) -> str:
    """Return why a refusal says nothing of the store: the credential may not ask."""
    return f"the credential may not ask for it ({answer.refused})" if answer.refused in _DENIED else ""
