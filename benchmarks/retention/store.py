"""Carrying a plan out, and locking what a hold covers, on Ceph's RADOS Gateway; against the bare calls."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import text
from tests.support.disposal import approve_plan, disposal, make_plan
from tests.support.holds import place as place_hold
from tests.support.ledger import unguarded
from tests.support.rows import multiply
from tests.support.s3 import REGION, S3Server

from benchmarks.retention.place import OLD_DAYS, Place
from holdfast.core.access import Caller
from holdfast.objects.s3_eraser import S3Eraser
from holdfast.ops.hold_locks import PARALLEL, Locks
from holdfast.wire.hold import HoldQuery, HoldRequest

_BODY = b"x" * 1024


def fill(place: Place, s3: S3Server, bucket: str, count: int) -> None:
    """Put so many Artifacts with bytes of their own into the Project, old enough to go."""
    run = place.story.succeed()
    multiply(place.owner, "artifact", count, f"run_id = '{run.id}' AND name = 'model'")
    rows = place.owner.execute(
        text("SELECT id, project_id FROM artifact WHERE run_id = :run AND name LIKE 'model_%' ORDER BY id"),
        {"run": run.id},
    ).all()
    keys = [f"{row.project_id}/{run.id}/{row.id}" for row in rows]
    versions = stored(s3, bucket, keys)
    with unguarded(place.owner, "artifact"):
        place.owner.execute(
            text(
                f"UPDATE artifact a SET object_key = one.key, version_id = one.version, created_at = now() - interval '{OLD_DAYS} days'"
                " FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:versions AS text[])) AS one (id, key, version)"
                " WHERE a.id = one.id"
            ),
            {"ids": [row.id for row in rows], "keys": keys, "versions": versions},
        )
    place.owner.execute(text("VACUUM ANALYZE artifact"))


def stored(s3: S3Server, bucket: str, keys: Iterable[str]) -> list[str]:
    """Store an object under each key, and return their versions."""
    client = s3.client()
    with ThreadPoolExecutor(PARALLEL) as threads:
        return list(threads.map(lambda key: client.put_object(Bucket=bucket, Key=key, Body=_BODY)["VersionId"], keys))


def lock(place: Place, s3: S3Server, bucket: str, count: int) -> dict[str, Any]:
    """Return how many versions a second a hold locks, and how many bare calls in parallel do."""
    query = HoldQuery(type="artifact", project=place.story.project, created_before="2100-01-01T00:00:00Z")
    begin = time.perf_counter()
    place_hold(place.story, HoldRequest(matter="a matter", reason="a measurement", query=query))
    placed_s = time.perf_counter() - begin
    locks = Locks(place.platform.engine, place.platform.objects, Caller("system:bench"))
    ours_s = _took(locks.reconcile)
    client = s3.client()
    keys = [f"bare/{number}" for number in range(count)]
    versions = stored(s3, bucket, keys)

    def bare(one: tuple[str, str]) -> None:
        where = {"Bucket": bucket, "Key": one[0], "VersionId": one[1]}
        client.put_object_legal_hold(**where, LegalHold={"Status": "ON"})
        client.get_object_legal_hold(**where)

    def all_bare() -> None:
        with ThreadPoolExecutor(PARALLEL) as threads:
            list(threads.map(bare, zip(keys, versions, strict=True)))

    bare_s = _took(all_bare)
    return {
        "what": "a hold's locks, each read back",
        "versions": count,
        "placed_s": round(placed_s, 2),
        "ours_per_s": round(count / ours_s),
        "bare_per_s": round(count / bare_s),
        "ratio": round(bare_s / ours_s, 2),
    }


def delete(place: Place, s3: S3Server, bucket: str, count: int) -> dict[str, Any]:
    """Return how many items a second go by a plan, how many versions by the store alone, and how many one by one."""
    plan = make_plan(place.story)
    approve_plan(place.story, plan, place.platform.engine)
    inside: list[float] = []

    class Timed(S3Eraser):
        def erase(self, keys: Any) -> Any:
            begin = time.perf_counter()
            try:
                return super().erase(keys)
            finally:
                inside.append(time.perf_counter() - begin)

    eraser = Timed(bucket, s3.session(), endpoint_url=s3.url, region=REGION)
    ours_s = _took(lambda: disposal(place.disposer, eraser).carry_out(plan.name))
    client = s3.client()
    keys = [f"one/{number}" for number in range(count)]
    versions = stored(s3, bucket, keys)

    def one_by_one() -> None:
        for key, version in zip(keys, versions, strict=True):
            client.delete_object(Bucket=bucket, Key=key, VersionId=version)

    single_s = _took(one_by_one)
    return {
        "what": "a plan carried out, each version read back",
        "versions": plan.item_count,
        "ours_per_s": round(plan.item_count / ours_s),
        "store_alone_per_s": round(plan.item_count / sum(inside)),
        "one_by_one_per_s": round(count / single_s),
        "ratio": round((plan.item_count / ours_s) / (count / single_s), 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _took(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
