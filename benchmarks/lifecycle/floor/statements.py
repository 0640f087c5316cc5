"""The floor's statements, built once as Holdfast's are: building one takes longer than running it."""

from typing import Any

from sqlalchemy import ARRAY, Uuid, bindparam, func, insert, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from benchmarks.lifecycle.floor import tables as t

Changing = ReturningUpdate[Any]

PLACE = (
    select(t.project.c.id.label("project_id"), t.environment.c.id.label("environment_id"))
    .join(t.environment, t.environment.c.project_id == t.project.c.id)
    .where(t.project.c.name == bindparam("project"), t.environment.c.name == bindparam("environment"))
)
INSERT_RUN = insert(t.run).returning(*t.run.c)
INSERT_INPUT = insert(t.run_input)
START_RUN = (
    update(t.run)
    .where(t.run.c.id == bindparam("run"), t.run.c.state == "created")
    .values(state="running", fence=bindparam("new_fence"), started_at=func.now())
    .returning(*t.run.c)
)
PROJECT_OF_RUN = select(t.run.c.project_id).where(t.run.c.id == bindparam("run"))
FINISH_RUN = (
    update(t.run)
    .where(t.run.c.id == bindparam("run"), t.run.c.state == "running", t.run.c.fence == bindparam("its_fence"))
    .values(
        state=bindparam("new_state"),
        exit_code=bindparam("new_exit_code"),
        metrics=bindparam("new_metrics", type_=t.run.c.metrics.type),
        ended_at=func.now(),
    )
    .returning(*t.run.c)
)
INSERT_ARTIFACT = insert(t.artifact)
ARTIFACTS_OF_RUN = select(*t.artifact.c).where(t.artifact.c.run_id == bindparam("run")).limit(50)

SOURCES = (
    select(t.artifact.c.id, t.artifact.c.project_id, t.artifact.c.run_id, t.run.c.metrics)
    .join(t.run, t.run.c.id == t.artifact.c.run_id)
    .where(t.artifact.c.id == func.any(bindparam("wanted", type_=ARRAY(Uuid))))
)
MODEL = select(t.model.c.id).where(t.model.c.project_id == bindparam("project"), t.model.c.name == bindparam("model"))
INSERT_MODEL = insert(t.model)
_newest = select(func.coalesce(func.max(t.model_version.c.number), 0)).where(
    t.model_version.c.model_id == bindparam("of_model")
)
INSERT_MODEL_VERSION = (
    insert(t.model_version).values(number=_newest.scalar_subquery() + 1).returning(*t.model_version.c)
)
INSERT_MODEL_VERSION_ARTIFACT = insert(t.model_version_artifact)
MODEL_VERSION = select(t.model_version.c.model_id, t.model_version.c.metrics).where(
    t.model_version.c.id == bindparam("version")
)
APPROVE_MODEL_VERSION = (
    update(t.model_version).where(t.model_version.c.id == bindparam("version")).values(state="approved")
)

INSERT_PROMOTION = insert(t.promotion).returning(*t.promotion.c)
INSERT_DECISION = insert(t.promotion_decision)
MOVE_PROMOTION = (
    update(t.promotion)
    .where(t.promotion.c.id == bindparam("promotion"), t.promotion.c.state == bindparam("old"))
    .values(state=bindparam("new"))
    .returning(*t.promotion.c)
)
INSERT_ASSIGNMENT = insert(t.alias_assignment).returning(*t.alias_assignment.c)
