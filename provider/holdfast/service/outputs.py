"""What a Run made: declared, complete, stored, and exactly what is stored."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from holdfast.core.audit import AuditAction
from holdfast.core.digest import parse, text_of
from holdfast.core.errors import HoldfastError, IntegrityViolation, InvalidRequest, NotFound
from holdfast.core.parts import PART_BYTES
from holdfast.core.run import RunState
from holdfast.ports import ObjectStore
from holdfast.service.transaction import Change, new_id
from holdfast.wire.run import RunFinish, StoredFile

logger = logging.getLogger("holdfast.service")


def object_key(project_id: UUID | None, run: UUID, name: str) -> str:
    """Return the key under which a Run's output is stored."""
    return f"{project_id}/{run}/{name}"


def check_declared(run: UUID, declared: Mapping[str, str], names: Iterable[str]) -> set[str]:
    """Return the declared outputs that the names belong to.

    Raises:
        InvalidRequest: a name was not declared: a file is named like its output, a file of a directory `output/path`.
    """
    used = set()
    for name in names:
        output, _, rest = name.partition("/")
        path = declared.get(output)
        if path is None or path.endswith("/") != bool(rest):
            raise InvalidRequest(
                f"Run {run} did not declare the output {name!r}",
                remedy=f"Declared are: {', '.join(sorted(declared)) or 'none'}; add it to the Run's outputs",
            )
        used.add(output)
    return used


def check_outputs(run: UUID, declared: Mapping[str, str], request: RunFinish) -> None:
    """Return when every output was declared, once, and a Run that succeeded brings all of them.

    Raises:
        InvalidRequest: names the output.
    """
    names = [file.name for file in request.artifacts]
    if len(set(names)) != len(names):
        raise InvalidRequest(f"Run {run} brings an output twice", remedy="Register each file once")
    used = check_declared(run, declared, names)
    if request.state is RunState.SUCCEEDED and (missing := sorted(set(declared) - used)):
        raise InvalidRequest(
            f"Run {run} declared {', '.join(missing)} and did not write it",
            remedy="Write it below $HOLDFAST_OUTPUTS, or take it out of the Run's outputs",
            details={"missing": missing},
        )


def find_unstored(
    objects: ObjectStore, project_id: UUID | None, run: UUID, files: Iterable[StoredFile]
) -> HoldfastError | None:
    """Return what is wrong with the first file that is not in the object store, in its place, with its digest and size; None where all are.

    It is returned, because it is asked outside the transaction, whose own checks come first: the object store must not hold a lock in
    the database. InvalidRequest: the key is not the Run's. IntegrityViolation: the store holds other bytes. NotFound: it holds no such
    version.
    """
    for file in files:
        if file.object_key != object_key(project_id, run, file.name):
            return InvalidRequest(
                f"output {file.name!r} is not stored under its Run's key", remedy="Store it by the grant given for it"
            )
        try:
            facts = objects.stat(file.object_key, file.version_id)
        except (NotFound, InvalidRequest, IntegrityViolation) as refusal:
            return refusal
        if facts.digest != parse(file.digest) or facts.size_bytes != file.size_bytes:
            return IntegrityViolation(
                f"output {file.name!r} of Run {run} is stored with other bytes than reported",
                remedy="Store it again by a new grant",
                details={"stored_digest": text_of(facts.digest), "reported_digest": file.digest},
            )
    return None


def give_up_uploads(objects: ObjectStore, project_id: UUID | None, run: UUID, request: RunFinish) -> None:
    """Return when nothing is left of the uploads that a Run began and did not complete, or when that could not be done now.

    A Run that succeeded with small files only has begun none, and the store is not asked. A Run's end does not depend on it: a rule of the bucket removes what is left (docs/how-to/bring-your-s3.md names it).
    """
    if request.state is RunState.SUCCEEDED and all(file.size_bytes <= PART_BYTES for file in request.artifacts):
        return
    try:
        objects.abort_uploads(object_key(project_id, run, ""))
    except HoldfastError as error:
        logger.warning("the uploads of Run %s could not be given up: %s", run, error)


def artifact_rows(
    change: Change, run: UUID, files: Iterable[StoredFile], provenance: str = "output", kind: str = "file"
) -> list[dict[str, Any]]:
    """Return the rows of the Artifacts to insert, each with its event recorded."""
    rows = []
    for file in files:
        identity = new_id()
        rows.append(
            {
                "id": identity,
                "project_id": change.project,
                "run_id": run,
                "name": file.name,
                "kind": kind,
                "object_key": file.object_key,
                "version_id": file.version_id,
                "digest": parse(file.digest),
                "size_bytes": file.size_bytes,
                "retention_class": "standard",
                "provenance": provenance,
                "state": "available",
                "created_by": change.caller.principal,
            }
        )
        content = {
            "run": str(run),
            "name": file.name,
            "digest": file.digest,
            "size_bytes": file.size_bytes,
            "provenance": provenance,
        }
        change.record(AuditAction.ARTIFACT_REGISTERED, "artifact", identity, content)
    return rows
