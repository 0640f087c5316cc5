"""What a page of a list costs: a fixed number of statements, and no more rows read however many there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg import Cursor, RawCursor
from sqlalchemy import Connection, Engine, event, text

from holdfast.core.access import Caller
from holdfast.settings import Platform
from holdfast.store import prepared
from tests.support.rows import TABLES, multiply
from tests.support.story import Story

LIMIT = 50
List = Callable[[Story, str | None], Any]

LISTS: dict[str, List] = {
    "projects": lambda s, c: s.act_as("system:tests").projects.list(limit=LIMIT, cursor=c),
    "bindings": lambda s, c: s.mia.projects.list_bindings(s.project, limit=LIMIT, cursor=c),
    "tokens": lambda s, c: s.mia.projects.list_tokens(s.project, limit=LIMIT, cursor=c),
    "environments": lambda s, c: s.mia.runs.list_environments(s.project, limit=LIMIT, cursor=c),
    "dataset versions": lambda s, c: s.mia.datasets.list(s.project, limit=LIMIT, cursor=c),
    "versions of a dataset": lambda s, c: s.mia.datasets.list(s.project, "tumours", limit=LIMIT, cursor=c),
    "files": lambda s, c: s.mia.datasets.files(s.project, s.dataset, limit=LIMIT, cursor=c),
    "pipeline runs": lambda s, c: s.mia.runs.list_pipeline_runs(s.project, limit=LIMIT, cursor=c),
    "one pipeline run": lambda s, c: s.mia.runs.list_pipeline_runs(
        s.project, dag_id="dag7", run_id="run7", limit=LIMIT, cursor=c
    ),
    "runs": lambda s, c: s.mia.runs.list(s.project, limit=LIMIT, cursor=c),
    "runs by state": lambda s, c: s.mia.runs.list(s.project, state="failed", limit=LIMIT, cursor=c),
    "open runs": lambda s, c: s.mia.runs.list_open(s.project, data_plane="local", limit=LIMIT, cursor=c),
    "artifacts": lambda s, c: s.mia.artifacts.list(s.project, limit=LIMIT, cursor=c),
    "models": lambda s, c: s.mia.models.list(s.project, limit=LIMIT, cursor=c),
    "model versions": lambda s, c: s.mia.models.list_versions(s.project, "tumours", limit=LIMIT, cursor=c),
    "policies": lambda s, c: s.mia.promotions.list_policies(s.project, limit=LIMIT, cursor=c),
    "promotions": lambda s, c: s.mia.promotions.list(s.project, limit=LIMIT, cursor=c),
    "promotions by state": lambda s, c: s.mia.promotions.list(s.project, state="executed", limit=LIMIT, cursor=c),
    "alias history": lambda s, c: s.mia.models.history(s.project, "tumours", limit=LIMIT, cursor=c),
    "audit events": lambda s, c: s.mia.audit.list(s.project, limit=LIMIT, cursor=c),
    "audit events by action": lambda s, c: s.mia.audit.list(s.project, action="token.created", limit=LIMIT, cursor=c),
    "audit events by target": lambda s, c: s.mia.audit.list(s.project, target=str(s.dataset), limit=LIMIT, cursor=c),
    "all audit events": lambda s, c: s.act_as("system:tests").audit.list(None, limit=LIMIT, cursor=c),
}
# Who the caller is, and the page; the files of a DatasetVersion are looked for only where there is one.
STATEMENTS = {"files": 3}
# A row of a list brings at most a dozen others: its environment, its inputs, its decisions.
MOST_ROWS = 12 * (LIMIT + 1)


@contextmanager
def recorded(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements of a block: those that SQLAlchemy runs, and those that stand prepared."""
    found: list[tuple[str, Any]] = []
    run = prepared._Session.run

    def keep(_conn: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        found.append((statement, parameters))

    def keep_prepared(session: Any, statement: Any, given: Any) -> Any:
        found.append((statement.sql, given))
        return run(session, statement, given)

    event.listen(engine, "before_cursor_execute", keep)
    prepared._Session.run = keep_prepared  # type: ignore[method-assign]
    try:
        yield found
    finally:
        prepared._Session.run = run  # type: ignore[method-assign]
        event.remove(engine, "before_cursor_execute", keep)


def rows_read(engine: Engine, statement: str, parameters: Any) -> float:
    """Return how many rows a statement touches, by the executor's own count."""

    def touched(node: dict[str, Any]) -> float:
        here = 0.0
        if "Relation Name" in node:
            here = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        return here + sum(touched(child) for child in node.get("Plans", ()))

    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        kind = Cursor if isinstance(parameters, dict) else RawCursor
        (plan,) = kind(raw).execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).fetchone()
    return touched((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])


def fill(story: Story, connection: Connection, count: int) -> None:
    """Give the Project so many rows in every table that is listed."""
    project = f"(SELECT id FROM project WHERE name = '{story.project}')"
    for table in TABLES:
        where = {"project": f"name = '{story.project}'", "audit_event": f"project = '{story.project}'"}
        multiply(connection, table, count, where.get(table, f"project_id = {project}"))
    # A ModelVersion has at least its model's Artifact.
    connection.execute(text("ALTER TABLE model_version_artifact DISABLE TRIGGER USER"))
    connection.execute(
        text(
            "INSERT INTO model_version_artifact SELECT v.id, a.artifact_id, a.project_id, a.role, a.digest"
            " FROM model_version v, (SELECT * FROM model_version_artifact"
            f" WHERE project_id = {project} AND role = 'model' LIMIT 1) a"
            f" WHERE v.project_id = {project} AND v.number > 1000"
        )
    )
    connection.execute(text("ALTER TABLE model_version_artifact ENABLE TRIGGER USER"))
    connection.execute(text("ANALYZE model_version_artifact"))


def story_at_size(platform: Platform, connection: Connection, count: int) -> Story:
    from holdfast.wire.model import DecisionRequest
    from holdfast.wire.project import TokenRequest

    story = Story.begin(lambda principal: platform.governance(Caller(principal)), platform.objects)
    promotion = story.request_promotion()
    decision = DecisionRequest(decision="approve", evidence_digest=promotion.evidence_digest)
    story.olaf.promotions.decide(story.project, promotion.id, decision)
    story.mia.promotions.execute(story.project, promotion.id)
    story.mia.projects.create_token(story.project, TokenRequest(name="t", scope=["run.write"]))
    story.dataset = story.register_dataset()
    fill(story, connection, count)
    return story


def check_every_list(story: Story, engine: Engine) -> None:
    too_many_rows: dict[str, float] = {}
    too_many_statements: dict[str, list[str]] = {}
    for name, look in LISTS.items():
        first = look(story, None)
        with recorded(engine) as statements:
            look(story, first.next)
        pages = [one for one in statements if "page_key" in one[0]]
        assert len(pages) == 1, name
        # The event that a sensitive list leaves costs the same always, and is not to be written again.
        statements = [one for one in statements if not one[0].lstrip().startswith("INSERT INTO holdfast.audit_event")]
        if len(statements) > STATEMENTS.get(name, 2):
            too_many_statements[name] = [statement for statement, _ in statements]
        if (read := sum(rows_read(engine, *one) for one in statements)) > MOST_ROWS:
            too_many_rows[name] = read
    assert too_many_statements == {}
    assert too_many_rows == {}


def test_a_page_costs_the_same_however_long_the_list_is(platform: Platform, owner_sql: Connection) -> None:
    check_every_list(story_at_size(platform, owner_sql, 20_000), platform.engine)


@pytest.mark.soak
def test_a_page_costs_the_same_in_a_list_of_a_million(platform: Platform, owner_sql: Connection) -> None:
    owner_sql.execute(text("SET statement_timeout = 0"))
    check_every_list(story_at_size(platform, owner_sql, 1_000_000), platform.engine)
