"""The floor's tables: one for each of Holdfast's that a life cycle touches, audit events and kept replies apart."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    insert,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _id() -> Column[UUID]:
    return Column("id", Uuid, primary_key=True)


def _ref(name: str, table: str) -> Column[UUID]:
    return Column(name, Uuid, ForeignKey(f"{table}.id"), nullable=False, index=True)


def _text(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


def _now() -> Column[object]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


project = Table("project", metadata, _id(), Column("name", Text, nullable=False, unique=True), _now())
environment = Table("environment", metadata, _id(), _ref("project_id", "project"), *_text("name"), _now())
dataset_version = Table("dataset_version", metadata, _id(), _ref("project_id", "project"), *_text("source"), _now())
pipeline_run = Table("pipeline_run", metadata, _id(), _ref("project_id", "project"), *_text("run_id"), _now())
run = Table(
    "run",
    metadata,
    _id(),
    _ref("project_id", "project"),
    _ref("pipeline_run_id", "pipeline_run"),
    _ref("environment_id", "environment"),
    *_text("task_id", "code_repository", "code_commit", "code_path", "state"),
    *(Column(name, JSONB, nullable=False) for name in ("command", "parameters", "outputs")),
    Column("fence", Text),
    Column("exit_code", Integer),
    Column("metrics", JSONB),
    _now(),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
)
run_input = Table(
    "run_input",
    metadata,
    Column("run_id", Uuid, ForeignKey("run.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    _ref("dataset_version_id", "dataset_version"),
)
artifact = Table(
    "artifact",
    metadata,
    _id(),
    _ref("project_id", "project"),
    _ref("run_id", "run"),
    *_text("name", "object_key", "version_id"),
    Column("digest", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    _now(),
    UniqueConstraint("run_id", "name"),
)
model = Table(
    "model",
    metadata,
    _id(),
    _ref("project_id", "project"),
    *_text("name"),
    _now(),
    UniqueConstraint("project_id", "name"),
)
model_version = Table(
    "model_version",
    metadata,
    _id(),
    _ref("model_id", "model"),
    Column("number", Integer, nullable=False),
    _ref("source_run_id", "run"),
    Column("metrics", JSONB, nullable=False),
    *_text("state"),
    _now(),
    UniqueConstraint("model_id", "number"),
)
model_version_artifact = Table(
    "model_version_artifact",
    metadata,
    Column("model_version_id", Uuid, ForeignKey("model_version.id"), primary_key=True),
    Column("artifact_id", Uuid, ForeignKey("artifact.id"), primary_key=True),
    *_text("role"),
)
promotion = Table(
    "promotion",
    metadata,
    _id(),
    _ref("model_id", "model"),
    _ref("model_version_id", "model_version"),
    *_text("alias", "state"),
    Column("evidence", JSONB, nullable=False),
    _now(),
)
promotion_decision = Table(
    "promotion_decision",
    metadata,
    _id(),
    _ref("promotion_id", "promotion"),
    *_text("principal", "decision", "evidence_digest", "reason"),
    _now(),
)
alias_assignment = Table(
    "alias_assignment",
    metadata,
    _id(),
    _ref("model_id", "model"),
    *_text("alias"),
    _ref("model_version_id", "model_version"),
    _ref("promotion_id", "promotion"),
    _now(),
)


@dataclass(frozen=True, slots=True)
class Furniture:
    """What a life cycle finds there."""

    dataset_version: str
    pipeline_runs: tuple[str, ...]


def furnish(engine: Engine, project_name: str, environment_name: str, clients: int) -> Furniture:
    """Create the tables, a Project with an environment and a DatasetVersion, and a PipelineRun for each client."""
    metadata.create_all(engine)
    place, version, pipelines = uuid4(), uuid4(), [uuid4() for _ in range(clients)]
    with engine.begin() as connection:
        connection.execute(insert(project), {"id": place, "name": project_name})
        connection.execute(insert(environment), {"id": uuid4(), "project_id": place, "name": environment_name})
        connection.execute(insert(dataset_version), {"id": version, "project_id": place, "source": "file:///landing"})
        rows = [{"id": identity, "project_id": place, "run_id": f"manual__{identity}"} for identity in pipelines]
        connection.execute(insert(pipeline_run), rows)
    return Furniture(str(version), tuple(str(identity) for identity in pipelines))
