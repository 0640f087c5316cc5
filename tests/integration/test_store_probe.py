"""The honesty probe on real stores: a good one is green, and of each that breaks a rule exactly that rule is named."""

from __future__ import annotations

import json
import time

import pytest

from holdfast.core.probe import RULES, Finding, RuleOutcome, is_honest, own_bucket
from holdfast.objects.s3 import S3Store
from holdfast.objects.s3_probe import PREFIX, Probed
from tests.support.dishonest import LIES, does_nothing, lying
from tests.support.other_s3 import OtherS3, moto_s3, versity_s3
from tests.support.s3 import REGION, S3Server, throw_away_s3


def probed(s3: S3Server, bucket: str, url: str | None = None) -> Probed:
    return S3Store(bucket, s3.session(), endpoint_url=url or s3.url, region=REGION).probe(lambda _done, _of: None)


def with_outcome(found: Probed, outcome: RuleOutcome) -> list[str]:
    return [finding.rule for finding in found.findings if finding.outcome is outcome]


def finding(found: Probed, rule: str) -> Finding:
    return next(one for one in found.findings if one.rule == rule)


def test_an_honest_store_is_green_and_keeps_nothing_but_what_is_locked(s3: S3Server) -> None:
    bucket = s3.create_bucket()
    s3.client().put_object(Bucket=bucket, Key="a-project/model", Body=b"theirs")
    found = probed(s3, bucket)
    assert [one.rule for one in found.findings] == list(RULES)
    assert is_honest(found.findings), found.findings
    assert with_outcome(found, RuleOutcome.UNTRIED) == ["lifecycle"]
    assert "not applied the rule yet" in finding(found, "lifecycle").says
    assert "s3:BypassGovernanceRetention" in finding(found, "governance bypass").says
    assert len(s3.versions(bucket, PREFIX)) == len(found.leftovers) > 0
    assert len(s3.versions(bucket, "a-project/")) == 1
    assert s3.uploads(bucket) == []


@pytest.mark.parametrize("rule", list(RULES))
def test_a_store_that_breaks_one_rule_is_named_by_it_and_by_no_other(rule: str, s3: S3Server) -> None:
    bucket = s3.create_bucket()
    with lying(s3, LIES[rule]) as url:
        found = probed(s3, bucket, url)
    assert with_outcome(found, RuleOutcome.BROKEN) == [rule], found.findings
    assert not is_honest(found.findings)


def test_a_store_that_says_yes_and_does_nothing_is_seen_through(s3: S3Server) -> None:
    bucket = s3.create_bucket()
    with lying(s3, does_nothing) as url:
        found = probed(s3, bucket, url)
    assert with_outcome(found, RuleOutcome.BROKEN) == ["configuration", "write"], found.findings
    assert with_outcome(found, RuleOutcome.KEPT) == []
    assert s3.versions(bucket) == []


def test_the_real_bucket_keeps_its_settings_and_the_probes_own_stands_beside_it(s3: S3Server) -> None:
    bucket, client = s3.create_bucket(), s3.client()
    rule = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 9}}
    # The store wants a digest in a form that boto3 no longer sends by itself.
    from holdfast.objects.canary import with_digests

    with_digests(client).put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    before = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    probed(s3, bucket)
    assert client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == before
    assert client.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    own = own_bucket(bucket)
    assert client.get_bucket_versioning(Bucket=own)["Status"] == "Enabled"
    assert {key.removeprefix(PREFIX).split("/")[0] for key in keys(s3, own)} == {"lifecycle"}


def keys(s3: S3Server, bucket: str, *kinds: str) -> list[str]:
    found = s3.client().list_object_versions(Bucket=bucket)
    return [one["Key"] for kind in kinds or ("Versions", "DeleteMarkers") for one in found.get(kind, [])]


def test_a_lifecycle_rule_is_judged_by_the_next_probe_once_the_store_has_applied_it() -> None:
    with throw_away_s3(day_s=2) as server:
        bucket = server.create_bucket()
        assert finding(probed(server, bucket), "lifecycle").outcome is RuleOutcome.UNTRIED
        deadline = time.monotonic() + 120
        while f"{PREFIX}lifecycle/free" in (left := keys(server, own_bucket(bucket), "Versions")):
            assert time.monotonic() < deadline, left
            time.sleep(0.2)
        assert f"{PREFIX}lifecycle/held" in left
        found = finding(probed(server, bucket), "lifecycle")
    assert found.outcome is RuleOutcome.KEPT, found


def test_moto_is_named_by_the_rules_that_it_breaks() -> None:
    with moto_s3() as moto:
        found = of(moto)
    assert with_outcome(found, RuleOutcome.BROKEN) == ["configuration", "shorten", "suspend versioning"], found.findings
    assert "takes other bytes" in finding(found, "configuration").says
    assert "has GOVERNANCE until" in finding(found, "shorten").says
    assert with_outcome(found, RuleOutcome.UNTRIED) == ["lifecycle"]


@pytest.mark.timeout(3600)  # the first time it is built
def test_versitygw_is_named_by_the_grant_that_it_refuses_and_keeps_its_locks() -> None:
    with versity_s3() as versity:
        found = of(versity)
    assert with_outcome(found, RuleOutcome.BROKEN) == ["configuration"], found.findings
    assert "refuses what a grant is for" in finding(found, "configuration").says
    assert with_outcome(found, RuleOutcome.UNTRIED) == ["lifecycle"]
    assert "NotImplemented" in finding(found, "lifecycle").says


def of(other: OtherS3) -> Probed:
    store = S3Store(other.bucket, other.session(), endpoint_url=other.url, region=REGION)
    return store.probe(lambda _done, _of: None)


def test_a_credential_that_may_not_delete_says_nothing_of_the_store(s3: S3Server) -> None:
    bucket = s3.create_bucket()
    deny(s3, bucket, "s3:DeleteObject", "s3:DeleteObjectVersion")
    found = probed(s3, bucket)
    untried = ["delete", "legal hold", "compliance", "governance", "governance bypass", "overwrite", "batch delete"]
    assert with_outcome(found, RuleOutcome.UNTRIED) == [*untried, "lifecycle"], found.findings
    assert with_outcome(found, RuleOutcome.BROKEN) == []
    assert "may not even delete what has no lock" in finding(found, "legal hold").says
    assert not is_honest(found.findings)


def test_a_credential_that_may_not_bypass_is_said_to_be_one(s3: S3Server) -> None:
    bucket = s3.create_bucket()
    deny(s3, bucket, "s3:BypassGovernanceRetention")
    found = probed(s3, bucket)
    assert is_honest(found.findings), found.findings
    assert "was refused (AccessDenied), and the version" in finding(found, "governance bypass").says


def test_a_bucket_that_is_somebody_elses_is_not_the_probes_own(s3: S3Server) -> None:
    bucket = s3.create_bucket()
    own, client = own_bucket(bucket), s3.client()
    client.create_bucket(Bucket=own, ObjectLockEnabledForBucket=True)
    client.put_object(Bucket=own, Key="theirs", Body=b"x")
    found = probed(s3, bucket)
    assert with_outcome(found, RuleOutcome.UNTRIED) == ["suspend versioning", "delete bucket", "lifecycle"]
    assert "holds what is not the probe's" in finding(found, "delete bucket").says
    assert keys(s3, own) == ["theirs"]
    plain = own_bucket(second := s3.create_bucket())
    client.create_bucket(Bucket=plain)
    assert "has no Object Lock" in finding(probed(s3, second), "suspend versioning").says
    assert "Status" not in client.get_bucket_versioning(Bucket=plain)
    assert is_honest(found.findings)


def test_a_bucket_without_a_lock_is_named_and_nothing_is_tried_in_it(s3: S3Server) -> None:
    bucket = s3.create_bucket(is_locked=False)
    found = probed(s3, bucket)
    assert with_outcome(found, RuleOutcome.BROKEN) == ["configuration"]
    assert with_outcome(found, RuleOutcome.KEPT) == []
    assert s3.versions(bucket) == []


def test_what_was_locked_is_removed_by_a_later_probe(s3: S3Server, bucket: str) -> None:
    first = probed(s3, bucket)
    deadline = time.monotonic() + 240
    while (left := set(probed(s3, bucket).leftovers)) & set(first.leftovers):
        assert time.monotonic() < deadline, left


def deny(s3: S3Server, bucket: str, *actions: str) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": list(actions),
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3.client().put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
