"""The evidence of a promotion: what is approved, by digest, and whether it is still that."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from holdfast.core.canonical import Json
from holdfast.core.digest import text_of
from holdfast.core.errors import HoldfastError, IntegrityViolation, NotFound
from holdfast.ports import ObjectStore


def collect_evidence(
    project: str, found: Sequence[Row[Any]], alias: str, policy: tuple[str, int, bytes]
) -> dict[str, Json]:
    """Return the document whose digest an approval signs; collected again later, it is the same unless something under it changed.

    Args:
        project: the Project's name.
        found: what `foundations_of` found for the ModelVersion.
        alias: what is to move.
        policy: name, version and digest of the promotion policy.
    """
    version, (policy_name, policy_version, policy_digest) = found[0], policy
    return {
        "format": "holdfast.promotion-evidence/1",
        "project": project,
        "model": version.model,
        "model_version": str(version.model_version_id),
        "number": version.number,
        "alias": alias,
        "artifacts": sorted(
            (
                {
                    "artifact": str(row.artifact_id),
                    "role": row.role,
                    "digest": text_of(row.bound_digest),
                    "run": str(row.run_id),
                    "state": row.artifact_state,
                }
                for row in found
            ),
            key=lambda entry: (entry["role"], entry["artifact"]),
        ),
        "run_seals": {str(row.run_id): text_of(row.run_seal) for row in found},
        "metrics": dict(version.metrics),
        "policy": {"name": policy_name, "version": policy_version, "digest": text_of(policy_digest)},
    }


def find_changed_bytes(objects: ObjectStore, found: Sequence[Row[Any]]) -> HoldfastError | None:
    """Return what is wrong with the stored bytes of a ModelVersion's Artifacts, None when they are what was recorded. Reads all of them.

    Args:
        objects: where the bytes are.
        found: what `foundations_of` found for the ModelVersion.
    """
    for row in found:
        try:
            for _ in objects.read(row.object_key, row.version_id, row.digest):
                continue
        except NotFound:
            return IntegrityViolation(
                f"the bytes of Artifact {row.artifact_id} are gone, so the approval is void",
                remedy="Restore them, or request a new promotion",
            )
        except IntegrityViolation as violation:
            return IntegrityViolation(
                f"the bytes of Artifact {row.artifact_id} are not those that were approved, so the approval is void",
                remedy="Find out who changed the object store; request a new promotion",
                details=violation.details,
            )
    return None
