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
from sqlalchemy import Connection, Engine, RowMapping, Update, bindparam, create_engine, func, insert, select, update

from benchmarks.lifecycle.floor import tables as t
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
_PLACE = (
    select(t.project.c.id.label("project_id"), t.environment.c.id.label("environment_id"))
    .join(t.environment, t.environment.c.project_id == t.project.c.id)
    .where(t.project.c.name == bindparam("project"), t.environment.c.name == bindparam("environment"))
)


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
                connection.execute(_PLACE, {"project": project, "environment": request.environment}).one_or_none()
            )
            row = connection.execute(
                insert(t.run).returning(*t.run.c),
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
                insert(t.run_input),
                [{"run_id": run["id"], "name": name, "dataset_version_id": ref} for name, ref in inputs.items()],
            )
        return _reply({**run, "inputs": inputs}, 201)

    @floor.post(base + "/runs/{run}/start")
    def start_run(run: UUID, request: RunStart) -> Response:
        values = {"state": "running", "fence": request.fence, "started_at": func.now()}
        with engine.begin() as connection:
            return _reply(
                _changed(
                    connection,
                    update(t.run).where(t.run.c.id == run, t.run.c.state == "created").values(values),
                )
            )

    @floor.post(base + "/runs/{run}/uploads")
    def grant_uploads(run: UUID, request: UploadRequest) -> Response:
        with reading.connect() as connection:
            project = _found(connection.scalar(select(t.run.c.project_id).where(t.run.c.id == run)))
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
        here = (t.run.c.id == run) & (t.run.c.state == "running") & (t.run.c.fence == request.fence)
        values = {
            "state": request.state,
            "exit_code": request.exit_code,
            "metrics": request.metrics,
            "ended_at": func.now(),
        }
        with engine.begin() as connection:
            ended = _changed(connection, update(t.run).where(here).values(values))
            connection.execute(
                insert(t.artifact),
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
            rows = connection.execute(select(*t.artifact.c).where(t.artifact.c.run_id == run).limit(50)).mappings()
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
            rows = connection.execute(
                select(t.artifact.c.id, t.artifact.c.project_id, t.artifact.c.run_id, t.run.c.metrics)
                .join(t.run, t.run.c.id == t.artifact.c.run_id)
                .where(t.artifact.c.id.in_(wanted))
            )
            source = _found({row.id: row for row in rows}.get(request.artifact))
            of_model = _ensure_model(connection, source.project_id, model)
            newest = select(func.coalesce(func.max(t.model_version.c.number), 0)).where(
                t.model_version.c.model_id == of_model
            )
            inserted = connection.execute(
                insert(t.model_version)
                .values(
                    id=uuid4(),
                    model_id=of_model,
                    number=newest.scalar_subquery() + 1,
                    source_run_id=source.run_id,
                    metrics=source.metrics,
                    state="draft",
                )
                .returning(*t.model_version.c)
            )
            version = inserted.mappings().one()
            connection.execute(
                insert(t.model_version_artifact),
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
    here = (t.model.c.project_id == project_id) & (t.model.c.name == name)
    found: UUID | None = connection.scalar(select(t.model.c.id).where(here))
    if found is None:
        found = uuid4()
        connection.execute(insert(t.model), {"id": found, "project_id": project_id, "name": name})
    return found


def _add_promotions(floor: FastAPI, engine: Engine) -> None:
    base = PREFIX + "/projects/{project}/promotions"

    @floor.post(base)
    def request_promotion(request: PromotionRequest) -> Response:
        of_version = t.model_version.c.id == request.model_version
        with engine.begin() as connection:
            version = _found(
                connection.execute(
                    select(t.model_version.c.model_id, t.model_version.c.metrics).where(of_version)
                ).one_or_none()
            )
            evidence = {"model_version": str(request.model_version), "metrics": version.metrics}
            inserted = connection.execute(
                insert(t.promotion).returning(*t.promotion.c),
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
                insert(t.promotion_decision),
                {
                    "id": uuid4(),
                    "promotion_id": promotion,
                    "principal": "olaf",
                    "decision": request.decision,
                    "evidence_digest": request.evidence_digest,
                    "reason": request.reason,
                },
            )
            decided = _changed(connection, _promotion_becomes(promotion, "pending", "approved"))
        return _reply(decided)

    @floor.post(base + "/{promotion}/execute")
    def execute_promotion(promotion: UUID) -> Response:
        with engine.begin() as connection:
            executed = _changed(connection, _promotion_becomes(promotion, "approved", "executed"))
            version = executed["model_version_id"]
            connection.execute(update(t.model_version).where(t.model_version.c.id == version).values(state="approved"))
            inserted = connection.execute(
                insert(t.alias_assignment).returning(*t.alias_assignment.c),
                {
                    "id": uuid4(),
                    "model_id": executed["model_id"],
                    "alias": executed["alias"],
                    "model_version_id": version,
                    "promotion_id": promotion,
                },
            )
            return _reply(inserted.mappings().one())


def _promotion_becomes(promotion: UUID, before: str, after: str) -> Update:
    return update(t.promotion).where(t.promotion.c.id == promotion, t.promotion.c.state == before).values(state=after)


def _changed(connection: Connection, statement: Update) -> RowMapping:
    """Run an UPDATE and return the row as it is now; 404 where there is none to change."""
    return _found(connection.execute(statement.returning(*statement.table.c)).mappings().one_or_none())


def _found(value: Found | None) -> Found:
    if value is None:
        raise HTTPException(404)
    return value


def _reply(document: Mapping[Any, Any], status: int = 200) -> Response:
    # Not a reply model: FastAPI would check the reply in one more thread, and serialise it more slowly.
    return Response(orjson.dumps(_plain(document)), status, media_type="application/json")


def _plain(document: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in document.items()}  # a column's name is a kind of str that orjson refuses
