"""The evidence of a promotion: what is approved, by digest, and whether it is still that."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from holdfast.core.canonical import Json
from holdfast.core.digest import text_of
from holdfast.core.errors import HoldfastError, IntegrityViolation, NotFound
from holdfast.ports import ObjectStore
from holdfast.store.queries.models import seals_of
from holdfast.store.tables import ArtifactRow, ModelVersionArtifactRow, PipelineRunRow, ServiceTokenRow


def collect_evidence(connection: Connection, project: str, version: Any, alias: str, policy: Any) -> dict[str, Json]:
    """Return the document whose digest an approval signs; collected again later, it is the same unless something under it changed.

    Args:
        connection: where to read.
        project: the Project's name.
        version: a row of MODEL_VERSIONS.
        alias: what is to move.
        policy: a row of the promotion policy.
    """
    runs = seals_of(connection, [UUID(entry["run"]) for entry in version.artifacts])
    states = {row.id: row.state for row in artifacts_of(connection, version.id)}
    return {
        "format": "holdfast.promotion-evidence/1",
        "project": project,
        "model": version.model,
        "model_version": str(version.id),
        "number": version.number,
        "alias": alias,
        "artifacts": sorted(
            (
                {
                    "artifact": entry["artifact"],
                    "role": entry["role"],
                    "digest": entry["digest"],
                    "run": entry["run"],
                    "state": states[UUID(entry["artifact"])],
                }
                for entry in version.artifacts
            ),
            key=lambda entry: (str(entry["role"]), str(entry["artifact"])),
        ),
        "run_seals": {str(identity): text_of(row.seal) for identity, row in runs.items()},
        "metrics": dict(version.metrics),
        "policy": {"name": policy.name, "version": policy.version, "digest": text_of(policy.digest)},
    }


def creators_of(connection: Connection, version: Any, requester: str, on_behalf_of: str | None) -> list[str]:
    """Return everybody who had a part in what is to be promoted: none of them may decide on it.

    That is who registered the ModelVersion, who created the Runs behind it and triggered their PipelineRuns, who requests the
    promotion, the person on whose behalf a service token does, and who made a service token that did any of it: its secret was
    theirs. The database refuses a promotion that leaves one of them out.
    """
    runs = seals_of(connection, [UUID(entry["run"]) for entry in version.artifacts])
    pipelines = [row.pipeline_run_id for row in runs.values() if row.pipeline_run_id is not None]
    triggered = connection.scalars(select(PipelineRunRow.triggered_by).where(PipelineRunRow.id.in_(pipelines))).all()
    people = {version.created_by, requester, on_behalf_of, *(row.created_by for row in runs.values())}
    people |= {f"user:{name}" for name in triggered if name}
    tokens = [UUID(person.removeprefix("token:")) for person in people if person and person.startswith("token:")]
    people |= set(connection.scalars(select(ServiceTokenRow.created_by).where(ServiceTokenRow.id.in_(tokens))))
    return sorted(person for person in people if person)


def artifacts_of(connection: Connection, version: UUID) -> list[Any]:
    """Return the rows of a ModelVersion's Artifacts."""
    return list(
        connection.execute(
            select(*ArtifactRow.__table__.c)
            .join(ModelVersionArtifactRow, ModelVersionArtifactRow.artifact_id == ArtifactRow.id)
            .where(ModelVersionArtifactRow.model_version_id == version)
        )
    )


def find_changed_bytes(objects: ObjectStore, artifacts: Iterable[Any]) -> HoldfastError | None:
    """Return what is wrong with the stored bytes of Artifacts, None when they are what was recorded. Reads all of them.

    Args:
        objects: where the bytes are.
        artifacts: rows of `artifacts_of`.
    """
    for row in artifacts:
        try:
            for _ in objects.read(row.object_key, row.version_id, row.digest):
                continue
        except NotFound:
            return IntegrityViolation(
                f"the bytes of Artifact {row.id} are gone, so the approval is void",
                remedy="Restore them, or request a new promotion",
            )
        except IntegrityViolation as found:
            return IntegrityViolation(
                f"the bytes of Artifact {row.id} are not those that were approved, so the approval is void",
                remedy="Find out who changed the object store; request a new promotion",
                details=found.details,
            )
    return None
