"""The floor's calls: same paths, same bodies, same order as Holdfast's."""

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

import orjson
from fastapi import Body, FastAPI, HTTPException, Response
from sqlalchemy import Connection, Engine, RowMapping, create_engine

from benchmarks.lifecycle.floor import statements as q
from benchmarks.lifecycle.floor.requests import (
    DecisionRequest,
    ModelVersionRequest,
    PromotionRequest,
    RunFinish,
    RunRequest,
    RunStart,
    UploadRequest,
)

DATABASE_URL, OBJECTS_ROOT, API_URL = "FLOOR_DATABASE_URL", "FLOOR_OBJECTS_ROOT", "FLOOR_API_URL"
PREFIX = "/v1"
POOL_SIZE = 10

Found = TypeVar("Found")


def app() -> FastAPI:
    """Return the application by the environment of this process."""
    engine = create_engine(os.environ[DATABASE_URL], pool_size=POOL_SIZE, max_overflow=0, pool_use_lifo=True)
    floor = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    floor.get(f"{PREFIX}/health")(lambda: {"status": "ok"})
    _add_runs(floor, engine, os.environ[API_URL])
    _add_objects(floor, Path(os.environ[OBJECTS_ROOT]))
    _add_models(floor, engine)
    _add_promotions(floor, engine)
    return floor


def _add_runs(floor: FastAPI, engine: Engine, url: str) -> None:
    base = PREFIX + "/projects/{project}"
    reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    @floor.post(base + "/runs")
    def create_run(project: str, request: RunRequest) -> Response:
        with engine.begin() as connection:
            place = _found(
                connection.execute(q.PLACE, {"project": project, "environment": request.environment}).one_or_none()
            )
            row = connection.execute(
                q.INSERT_RUN,
                {
                    "id": uuid4(),
                    "project_id": place.project_id,
                    "pipeline_run_id": request.pipeline_run,
                    "task_id": request.task_id,
                    "code_repository": request.code.repository,
                    "code_commit": request.code.commit,
                    "code_path": request.code.path,
                    "environment_id": place.environment_id,
                    "command": request.command,
                    "parameters": request.parameters,
                    "outputs": request.outputs,
                    "state": "created",
                },
            )
            run = row.mappings().one()
            inputs = {name: ref.dataset_version for name, ref in request.inputs.items()}
            connection.execute(
                q.INSERT_INPUT,
                [{"run_id": run["id"], "name": name, "dataset_version_id": ref} for name, ref in inputs.items()],
            )
        return _reply({**run, "inputs": inputs}, 201)

    @floor.post(base + "/runs/{run}/start")
    def start_run(run: UUID, request: RunStart) -> Response:
        with engine.begin() as connection:
            started = _changed(connection, q.START_RUN, {"run": run, "new_fence": request.fence})
        return _reply(started)

    @floor.post(base + "/runs/{run}/uploads")
    def grant_uploads(run: UUID, request: UploadRequest) -> Response:
        with reading.connect() as connection:
            project = _found(connection.scalar(q.PROJECT_OF_RUN, {"run": run}))
        keys = [(file, f"{project}/{run}/{file.name}") for file in request.files]
        grants = [
            {
                "name": file.name,
                "method": "PUT",
                "url": f"{url}/objects/{key}",
                "object_key": key,
                "digest": file.digest,
                "size_bytes": file.size_bytes,
            }
            for file, key in keys
        ]
        return _reply({"grants": grants})

    @floor.post(base + "/runs/{run}/finish")
    def finish_run(run: UUID, request: RunFinish) -> Response:
        values = {
            "run": run,
            "its_fence": request.fence,
            "new_state": request.state,
            "new_exit_code": request.exit_code,
            "new_metrics": request.metrics,
        }
        with engine.begin() as connection:
            ended = _changed(connection, q.FINISH_RUN, values)
            connection.execute(
                q.INSERT_ARTIFACT,
                [
                    {
                        "id": uuid4(),
                        "project_id": ended["project_id"],
                        "run_id": run,
                        "name": file.name,
                        "object_key": file.object_key,
                        "version_id": file.version_id,
                        "digest": bytes.fromhex(file.digest[7:]),
                        "size_bytes": file.size_bytes,
                    }
                    for file in request.artifacts
                ],
            )
        return _reply(ended)

    @floor.get(base + "/artifacts")
    def list_artifacts(run: UUID) -> Response:
        with reading.connect() as connection:
            rows = connection.execute(q.ARTIFACTS_OF_RUN, {"run": run}).mappings()
            return _reply({"items": [_plain({**row, "digest": f"sha256:{row['digest'].hex()}"}) for row in rows]})


def _add_objects(floor: FastAPI, root: Path) -> None:
    @floor.put(PREFIX + "/objects/{key:path}")
    def write_object(key: str, content: Annotated[bytes, Body(media_type="application/octet-stream")]) -> Response:
        path = root / key
        if ".." in path.parts:
            raise HTTPException(400)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{secrets.token_hex(8)}"
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        return _reply({"version_id": hashlib.sha256(content).hexdigest()}, 201)


def _add_models(floor: FastAPI, engine: Engine) -> None:
    @floor.post(PREFIX + "/projects/{project}/models/{model}/versions")
    def register_model_version(model: str, request: ModelVersionRequest) -> Response:
        wanted = [request.artifact, *request.evidence]
        with engine.begin() as connection:
            rows = connection.execute(q.SOURCES, {"wanted": wanted})
            source = _found({row.id: row for row in rows}.get(request.artifact))
            model_id = _ensure_model(connection, source.project_id, model)
            inserted = connection.execute(
                q.INSERT_MODEL_VERSION,
                {
                    "id": uuid4(),
                    "model_id": model_id,
                    "of_model": model_id,
                    "source_run_id": source.run_id,
                    "metrics": source.metrics,
                    "state": "draft",
                },
            )
            version = inserted.mappings().one()
            connection.execute(
                q.INSERT_MODEL_VERSION_ARTIFACT,
                [
                    {
                        "model_version_id": version["id"],
                        "artifact_id": artifact,
                        "role": "model" if artifact == request.artifact else "evidence",
                    }
                    for artifact in wanted
                ],
            )
        return _reply({**version, "model": model, "artifacts": wanted}, 201)


def _ensure_model(connection: Connection, project_id: UUID, name: str) -> UUID:
    found: UUID | None = connection.scalar(q.MODEL, {"project": project_id, "model": name})
    if found is None:
        found = uuid4()
        connection.execute(q.INSERT_MODEL, {"id": found, "project_id": project_id, "name": name})
    return found


def _add_promotions(floor: FastAPI, engine: Engine) -> None:
    base = PREFIX + "/projects/{project}/promotions"

    @floor.post(base)
    def request_promotion(request: PromotionRequest) -> Response:
        with engine.begin() as connection:
            version = _found(connection.execute(q.MODEL_VERSION, {"version": request.model_version}).one_or_none())
            evidence = {"model_version": str(request.model_version), "metrics": version.metrics}
            inserted = connection.execute(
                q.INSERT_PROMOTION,
                {
                    "id": uuid4(),
                    "model_id": version.model_id,
                    "model_version_id": request.model_version,
                    "alias": request.alias,
                    "evidence": evidence,
                    "state": "pending",
                },
            )
            promotion = inserted.mappings().one()
        digest = hashlib.sha256(orjson.dumps(evidence)).hexdigest()
        return _reply({**promotion, "evidence_digest": f"sha256:{digest}"}, 201)

    @floor.post(base + "/{promotion}/decisions")
    def decide_promotion(promotion: UUID, request: DecisionRequest) -> Response:
        with engine.begin() as connection:
            connection.execute(
                q.INSERT_DECISION,
                {
                    "id": uuid4(),
                    "promotion_id": promotion,
                    "principal": "olaf",
                    "decision": request.decision,
                    "evidence_digest": request.evidence_digest,
                    "reason": request.reason,
                },
            )
            decided = _changed(
                connection, q.MOVE_PROMOTION, {"promotion": promotion, "old": "pending", "new": "approved"}
            )
        return _reply(decided)

    @floor.post(base + "/{promotion}/execute")
    def execute_promotion(promotion: UUID) -> Response:
        with engine.begin() as connection:
            executed = _changed(
                connection, q.MOVE_PROMOTION, {"promotion": promotion, "old": "approved", "new": "executed"}
            )
            version = executed["model_version_id"]
            connection.execute(q.APPROVE_MODEL_VERSION, {"version": version})
            inserted = connection.execute(
                q.INSERT_ASSIGNMENT,
                {
                    "id": uuid4(),
                    "model_id": executed["model_id"],
                    "alias": executed["alias"],
                    "model_version_id": version,
                    "promotion_id": promotion,
                },
            )
            return _reply(inserted.mappings().one())


def _changed(connection: Connection, statement: q.Changing, values: dict[str, Any]) -> RowMapping:
    """Run an UPDATE and return the row as it is now; 404 where there is none to change."""
    return _found(connection.execute(statement, values).mappings().one_or_none())


def _found(value: Found | None) -> Found:
    if value is None:
        raise HTTPException(404)
    return value


def _reply(document: Mapping[Any, Any], status: int = 200) -> Response:
    # Not a reply model: FastAPI would check the reply in one more thread, and serialise it more slowly.
    return Response(orjson.dumps(_plain(document)), status, media_type="application/json")


def _plain(document: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in document.items()}  # a column's name is a kind of str that orjson refuses
