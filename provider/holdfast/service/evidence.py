"""The evidence of a promotion: what is approved, by digest, and whether it is still that."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Row, Uuid, bindparam, func, select

from holdfast.core.access import Caller
from holdfast.core.canonical import Json
from holdfast.core.digest import text_of
from holdfast.core.errors import HoldfastError, IntegrityViolation, NotFound
from holdfast.ports import ObjectStore
from holdfast.store.prepared import Prepared
from holdfast.store.tables import ServiceTokenRow

_TOKEN_MAKERS = Prepared(
    select(ServiceTokenRow.created_by).where(ServiceTokenRow.id == func.any(bindparam("tokens", type_=ARRAY(Uuid))))
)


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


def creators_of(
    connection: Connection, found: Sequence[Row[Any]], requester: Caller, on_behalf_of: str | None
) -> list[str]:
    """Return everybody who had a part in what is to be promoted: none of them may decide on it.

    That is who registered the ModelVersion, who created the Runs behind it and triggered their PipelineRuns, who requests the
    promotion, the person on whose behalf a service token does, and who made a service token that did any of it: its secret was
    theirs. The database refuses a promotion that leaves one of them out.
    """
    people = {found[0].registered_by, requester.principal, on_behalf_of, *(row.run_created_by for row in found)}
    people |= {f"user:{row.triggered_by}" for row in found if row.triggered_by}
    known = {requester.principal} if requester.token_maker is not None else set()
    tokens = [UUID(who.removeprefix("token:")) for who in people - known if who and who.startswith("token:")]
    if tokens:
        people |= {row.created_by for row in _TOKEN_MAKERS.all(connection, {"tokens": tokens})}
    return sorted(person for person in people | {requester.token_maker} if person)


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
