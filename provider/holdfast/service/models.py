"""Models, ModelVersions and what the aliases pointed at, when."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, ScalarSelect, func, insert, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.digest import text_of
from holdfast.core.errors import InvalidRequest, NotFound
from holdfast.core.names import check_name
from holdfast.core.promotion import ModelVersionState
from holdfast.core.run import RunState
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.transaction import Change, Transactions, new_id
from holdfast.store import mapping
from holdfast.store.insert import insert_whole
from holdfast.store.queries.models import (
    ALIASES,
    MODEL_VERSIONS,
    assignment_at,
    model_named,
    model_version_by_id,
    sources_of,
)
from holdfast.store.queries.page import page_of
from holdfast.store.tables import AliasAssignmentRow, ModelRow, ModelVersionArtifactRow, ModelVersionRow
from holdfast.wire.model import AliasAssignment, Model, ModelVersion, ModelVersionRequest
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class ModelService:
    """Implements `ports.Models`."""

    transactions: Transactions

    def register(self, name: str, model: str, request: ModelVersionRequest, *, key: str | None = None) -> ModelVersion:
        """Register a ModelVersion; the same Artifacts under the same Model are the ModelVersion there is already.

        Raises:
            InvalidRequest: an Artifact is not in this Project, is no longer there, or its Run has not succeeded.
        """
        check_name("Model", model)
        wanted = [request.artifact, *request.evidence]
        if len(set(wanted)) != len(wanted):
            raise InvalidRequest(
                f"Model {model!r}: an Artifact is named twice",
                remedy="Name the model's Artifact once and not as evidence",
            )

        def apply(change: Change) -> ModelVersion:
            artifacts = _available(change, name, wanted)
            found = model_named(change.connection, change.project, model, request.artifact, wanted)
            if found is not None and found.same_version is not None:
                change.nothing_changed()
                return mapping.model_version_of(
                    model_version_by_id(change.connection, change.project, name, found.same_version), name
                )
            metrics: dict[str, float] = {}
            for identity in (*request.evidence, request.artifact):
                metrics = {**artifacts[identity].metrics, **metrics}
            model_id = found.id if found is not None else _insert_model(change, model)
            number = 1 + ((found.newest_number or 0) if found is not None else 0)
            return self._insert(change, name, model, model_id, number, request, artifacts, metrics)

        return self.transactions.change(
            f"models.register/{model}",
            Permission.MODEL_WRITE,
            name,
            request,
            key,
            ModelVersion,
            apply,
            turn=f"model/{model}",
        )

    @staticmethod
    def _insert(
        change: Change,
        name: str,
        model: str,
        model_id: UUID,
        number: int,
        request: ModelVersionRequest,
        artifacts: dict[UUID, Row[Any]],
        metrics: dict[str, float],
    ) -> ModelVersion:
        identity = new_id()
        source_run = artifacts[request.artifact].run_id
        roles = {request.artifact: "model", **dict.fromkeys(request.evidence, "evidence")}
        row = insert_whole(
            change.connection,
            ModelVersionRow,
            {
                "id": identity,
                "project_id": change.project,
                "model_id": model_id,
                "number": number,
                "source_run_id": source_run,
                "metrics": metrics,
                "description": request.description,
                "state": ModelVersionState.DRAFT,
                "created_by": change.caller.principal,
            },
            ModelVersionArtifactRow,
            [
                {
                    "model_version_id": identity,
                    "artifact_id": artifact,
                    "project_id": change.project,
                    "role": role,
                    "digest": artifacts[artifact].digest,
                }
                for artifact, role in roles.items()
            ],
        )
        content = {
            "model": model,
            "number": number,
            "source_run": str(source_run),
            "artifacts": {
                str(artifact): f"{role} {text_of(artifacts[artifact].digest)}" for artifact, role in roles.items()
            },
        }
        change.record(AuditAction.MODEL_VERSION_REGISTERED, "model_version", identity, content)
        bound = [
            {
                "artifact": artifact,
                "run": artifacts[artifact].run_id,
                "role": role,
                "digest": text_of(artifacts[artifact].digest),
            }
            for artifact, role in roles.items()
        ]
        return mapping.model_version_of(mapping.joined(row, model=model, artifacts=bound), name)

    def get_version(self, name: str, version: UUID) -> ModelVersion:
        """Return a ModelVersion; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            return mapping.model_version_of(model_version_by_id(connection, found.project_id, name, version), name)

    def list(self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Model]:
        """Return Models with their aliases, newest first."""
        newest = (
            select(AliasAssignmentRow.alias, ModelVersionRow.number)
            .join(ModelVersionRow, ModelVersionRow.id == AliasAssignmentRow.model_version_id)
            .where(AliasAssignmentRow.model_id == ModelRow.id)
            .ext(distinct_on(AliasAssignmentRow.alias))
            .order_by(
                AliasAssignmentRow.alias, AliasAssignmentRow.valid_from.desc(), AliasAssignmentRow.recorded_at.desc()
            )
            .correlate(ModelRow)
            .subquery()
        )
        aliases = select(func.jsonb_object_agg(newest.c.alias, newest.c.number)).select_from(newest).scalar_subquery()
        latest = (
            select(func.max(ModelVersionRow.number)).where(ModelVersionRow.model_id == ModelRow.id).correlate(ModelRow)
        )
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            statement = select(
                *ModelRow.__table__.c, latest.scalar_subquery().label("latest_number"), aliases.label("aliases")
            ).where(ModelRow.project_id == found.project_id)
            return page_of(
                connection,
                statement,
                ModelRow.id,
                lambda row: Model(
                    id=row.id,
                    project=name,
                    name=row.name,
                    latest_number=row.latest_number or 0,
                    aliases=row.aliases or {},
                    created_at=row.created_at,
                ),
                limit=limit,
                cursor=cursor,
            )

    def list_versions(
        self, name: str, model: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[ModelVersion]:
        """Return the ModelVersions of a Model, newest first."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            statement = MODEL_VERSIONS.where(
                ModelVersionRow.project_id == found.project_id,
                ModelVersionRow.model_id == _named(found.project_id, model),
            )
            page = page_of(
                connection,
                statement,
                ModelVersionRow.id,
                lambda row: mapping.model_version_of(row, name),
                limit=limit,
                cursor=cursor,
            )
            _check_known(connection, found.project_id, name, model, page)
            return page

    def history(
        self, name: str, model: str, *, alias: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[AliasAssignment]:
        """Return where the aliases of a Model pointed, newest first."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            statement = ALIASES.where(
                AliasAssignmentRow.project_id == found.project_id,
                AliasAssignmentRow.model_id == _named(found.project_id, model),
            )
            if alias is not None:
                statement = statement.where(AliasAssignmentRow.alias == alias)
            page = page_of(connection, statement, AliasAssignmentRow.id, mapping.alias_of, limit=limit, cursor=cursor)
            _check_known(connection, found.project_id, name, model, page)
            return page

    def at(
        self, name: str, model: str, alias: str, time: datetime | None = None, known_at: datetime | None = None
    ) -> AliasAssignment:
        """Return what an alias pointed at, at a time, as known at a time (None: now); raises NotFound, InvalidRequest."""
        for moment in (time, known_at):
            if moment is not None and moment.tzinfo is None:
                raise InvalidRequest(
                    f"time {moment.isoformat()} has no time zone", remedy="Write it as 2026-11-02T09:00:00Z"
                )
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            row = assignment_at(connection, found.project_id, model, alias, time, known_at)
        if row is None:
            when = f" at {time.isoformat()}" if time else ""
            raise NotFound(
                f"alias {alias!r} of Model {model!r} pointed at nothing{when}", remedy="See `holdfast model history`"
            )
        return mapping.alias_of(row)


def _check_known(connection: Connection, project_id: UUID | None, project: str, model: str, page: Page[Any]) -> None:
    """Return when a page has items, or is empty although the Model is there; raises NotFound."""
    if not page.items and connection.scalar(select(_named(project_id, model))) is None:
        raise NotFound(
            f"there is no Model {model!r} in Project {project!r}", remedy="List them with `holdfast model list`"
        )


def _named(project_id: UUID | None, model: str) -> ScalarSelect[UUID]:
    """Return a Model's id as a subquery: only for one Model are the index's rows in the order of the pages."""
    aliased_model = aliased(ModelRow)
    return (
        select(aliased_model.id)
        .where(aliased_model.project_id == project_id, aliased_model.name == model)
        .scalar_subquery()
    )


def _available(change: Change, project: str, wanted: list[UUID]) -> dict[UUID, Row[Any]]:
    found = sources_of(change.connection, change.project, wanted)
    for identity in wanted:
        if identity not in found:
            raise InvalidRequest(
                f"Project {project!r} has no Artifact {identity}", remedy="References never cross Projects"
            )
        if found[identity].state != "available":
            raise InvalidRequest(
                f"Artifact {identity} is {found[identity].state}", remedy="Register one that is available"
            )
    for row in found.values():
        if row.run_state != RunState.SUCCEEDED:
            raise InvalidRequest(
                f"Artifact {row.id} is of Run {row.run_id}, which is {row.run_state}",
                remedy="Register Artifacts of Runs that succeeded",
            )
    return found


def _insert_model(change: Change, model: str) -> UUID:
    identity = new_id()
    change.connection.execute(insert(ModelRow).values(id=identity, project_id=change.project, name=model))
    return identity
