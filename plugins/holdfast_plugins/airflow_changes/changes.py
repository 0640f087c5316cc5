"""Watches rows of Airflow's database through SQLAlchemy: whatever code changes them, the event with before and after comes first.

An announcement is committed before Airflow's own transaction commits, and its end after that. Two databases have no common transaction, so
a crash between them leaves an announcement without an end: it may have happened. Never is there a change without its announcement.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import Table, and_, event, inspect, or_, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from holdfast.core.audit import AuditAction, Outcome
from holdfast.core.errors import HoldfastError
from holdfast_plugins.airflow_changes.recorder import AIRFLOW, CAUSE, Cause, Recorder
from holdfast_plugins.airflow_changes.tables import TABLES, Watched, name_of, plain, values_of

logger = logging.getLogger("holdfast.airflow")

_PENDING = "holdfast_pending"
_MOST_ROWS = 1000


@dataclass(slots=True)
class _Pending:
    """What a session's transaction has changed so far."""

    identity: str = field(default_factory=lambda: str(uuid4()))
    changes: list[tuple[tuple[str, str], dict[str, object]]] = field(default_factory=list)
    announced: int = 0
    marks: dict[int, int] = field(default_factory=dict)
    is_committed: bool = False


class Watch:
    """Listens to every session of this process; there is one of it."""

    def __init__(self) -> None:
        self._find: Callable[[], Recorder | None] | None = None

    def begin(self, find: Callable[[], Recorder | None]) -> None:
        """Listen from now on, or go on listening with another recorder.

        Args:
            find: returns the recorder, None where this process records nothing; may raise where it has to and cannot.
        """
        is_new, self._find = self._find is None, find
        if not is_new:
            return
        for name, listener in (
            ("before_flush", self._before_flush),
            ("before_commit", self._before_commit),
            ("after_commit", self._after_commit),
            ("after_transaction_create", self._begun),
            ("after_transaction_end", self._over),
            ("after_soft_rollback", self._rolled_back),
        ):
            event.listen(Session, name, listener)
        event.listen(Session, "do_orm_execute", self._execute, retval=True)

    def _before_flush(self, session: Session, *_: object) -> None:
        for instance in (*session.new, *session.dirty, *session.deleted):
            table = getattr(type(instance), "__table__", None)
            if table is None or (watched := TABLES.get(table.name)) is None or _is_idle(watched):
                continue
            if (recorder := self._recorder()) is None:
                return
            _note(session, watched, *_difference(session, instance, table, watched, recorder))

    def _execute(self, state: ORMExecuteState) -> Any:
        if not (state.is_update or state.is_delete or state.is_insert):
            return None
        table = getattr(state.statement, "table", None)
        if not isinstance(table, Table) or (watched := TABLES.get(table.name)) is None or _is_idle(watched):
            return None
        if (recorder := self._recorder()) is None:
            return None
        session = state.session
        if state.is_insert:
            for row in _inserted(state):
                named = and_(*(table.c[column] == row.get(column) for column in watched.name))
                old = [values_of(watched, r, recorder.digests) for r in _rows(session, table, named, watched).values()]
                after = values_of(watched, row, recorder.digests)
                _note(session, watched, name_of(watched, row), old[0] if old else None, after)
            return None
        with suppress(InvalidRequestError):  # a flush is under way: then nothing waits for one
            session.flush()
        rows = _rows(session, table, getattr(state.statement, "whereclause", None), watched)
        result = state.invoke_statement()
        if len(rows) > _MOST_ROWS:
            _note(session, watched, "*", {"rows": "more than an event names"}, None if state.is_delete else {})
            return result
        again = {} if state.is_delete or not rows else _again(session, table, rows, watched)
        for key, row in rows.items():
            found = values_of(watched, row, recorder.digests)
            then = values_of(watched, again[key], recorder.digests) if key in again else None
            changed = {column for column in found if then is None or found[column] != then[column]}
            _note(
                session,
                watched,
                name_of(watched, row),
                {column: found[column] for column in found if column in changed},
                {column: then[column] for column in then if column in changed} if then is not None else None,
            )
        return result

    def _before_commit(self, session: Session) -> None:
        if session.in_nested_transaction():
            return
        session.flush()
        pending = _pending_of(session)
        if pending is None or len(pending.changes) == pending.announced or (recorder := self._recorder()) is None:
            return
        cause = CAUSE.get() or Cause(AIRFLOW, "")
        events = [
            recorder.event(
                cause.caller,
                AuditAction.AIRFLOW_CHANGE_ANNOUNCED,
                target,
                {**content, "cause": cause.what, "transaction": pending.identity},
            )
            for target, content in pending.changes[pending.announced :]
        ]
        try:
            recorder.record(*events)
        except HoldfastError as error:
            cause.failure = error
            raise
        pending.announced = len(pending.changes)

    def _after_commit(self, session: Session) -> None:
        if (pending := _pending_of(session)) is not None and not session.in_nested_transaction():
            pending.is_committed = True

    def _begun(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.nested and (pending := _pending_of(session)) is not None:
            pending.marks[id(transaction)] = len(pending.changes)

    def _rolled_back(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.nested and (pending := _pending_of(session)) is not None:
            del pending.changes[max(pending.marks.get(id(transaction), 0), pending.announced) :]

    def _over(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is not None or (pending := session.info.pop(_PENDING, None)) is None:
            return
        if not pending.announced or (recorder := self._recorder()) is None:
            return
        cause = CAUSE.get() or Cause(AIRFLOW, "")
        ended = recorder.event(
            cause.caller,
            AuditAction.AIRFLOW_CHANGE_ENDED,
            ("airflow_transaction", pending.identity),
            {"changes": pending.announced},
            outcome=Outcome.SUCCEEDED if pending.is_committed else Outcome.REFUSED,
            reason="" if pending.is_committed else "Airflow's transaction did not commit",
        )
        try:
            recorder.record(ended)
        except Exception as error:  # noqa: BLE001 - the change is made, or is not, whatever this is
            logger.warning("the end of %s was not recorded; what it was to do is: %s", pending.identity, error)

    def _recorder(self) -> Recorder | None:
        try:
            return self._find() if self._find is not None else None
        except HoldfastError as error:
            if (cause := CAUSE.get()) is not None:
                cause.failure = error
            raise


WATCH = Watch()


def _is_idle(watched: Watched) -> bool:
    """Whether a change of such a row is Airflow's own doing now, which is no event."""
    cause = CAUSE.get()
    return watched.by_people and (cause is None or cause.is_machine)


def _pending_of(session: Session) -> _Pending | None:
    found: _Pending | None = session.info.get(_PENDING)
    return found


def _note(
    session: Session,
    watched: Watched,
    name: str,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
) -> None:
    if before == after or (before is None and watched.is_made_silently):
        return
    change = "created" if before is None else "deleted" if after is None else "changed"
    pending = session.info.setdefault(_PENDING, _Pending())
    pending.changes.append(((watched.kind, name), {"change": change, "before": before, "after": after}))


def _difference(
    session: Session, instance: Any, table: Table, watched: Watched, recorder: Recorder
) -> tuple[str, dict[str, object] | None, dict[str, object] | None]:
    """Return an instance's name, and what is to change of it, before and after."""
    state = inspect(instance)
    now = {
        column: getattr(instance, state.mapper.get_property_by_column(table.c[column]).key)
        for column in watched.columns
        if column in table.c
    }
    after = values_of(watched, now, recorder.digests)
    was, become = _members(state, watched)
    if instance in session.new:
        return name_of(watched, now), None, {**after, **become}
    keys = dict(zip((column.name for column in table.primary_key), state.identity or (), strict=False))
    [row] = _rows(session, table, and_(*(table.c[k] == v for k, v in keys.items())), watched).values() or [{}]
    before = values_of(watched, row, recorder.digests)
    name = name_of(watched, row)
    if instance in session.deleted:
        return name, before, None
    changed = [column for column in after if before[column] != after[column]]
    return name, {c: before[c] for c in changed} | was, {c: after[c] for c in changed} | become


def _members(state: Any, watched: Watched) -> tuple[dict[str, object], dict[str, object]]:
    was: dict[str, object] = {}
    become: dict[str, object] = {}
    for relation in watched.relations:
        if relation not in state.attrs:
            continue
        history = state.attrs[relation].history
        if history.added or history.deleted:
            was[relation] = sorted(_member(member) for member in history.deleted or ())
            become[relation] = sorted(_member(member) for member in history.added or ())
    return was, become


def _member(member: Any) -> str:
    for attribute in ("username", "name"):
        if (found := getattr(member, attribute, None)) is not None:
            return str(plain(found))
    return f"{getattr(member.action, 'name', '')} on {getattr(member.resource, 'name', '')}"


def _rows(session: Session, table: Table, where: Any, watched: Watched) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return rows as they are in the database now, by their primary keys; one more than an event names at most."""
    keys = list(table.primary_key) or list(table.c)
    columns = [table.c[column] for column in watched.columns if column in table.c]
    statement = select(*keys, *(column for column in columns if column not in keys)).limit(_MOST_ROWS + 1)
    if where is not None:
        statement = statement.where(where)
    # On the connection, so that no instance of the session is refreshed or flushed by it.
    found = session.connection().execute(statement).mappings().all()
    return {tuple(row[key.name] for key in keys): {str(name): value for name, value in row.items()} for row in found}


def _again(
    session: Session, table: Table, before: Iterable[tuple[Any, ...]], watched: Watched
) -> dict[tuple[Any, ...], dict[str, Any]]:
    keys = list(table.primary_key) or list(table.c)
    where = or_(*(and_(*(key == value for key, value in zip(keys, row, strict=True))) for row in before))
    return _rows(session, table, where, watched)


def _inserted(state: ORMExecuteState) -> list[dict[str, Any]]:
    """Return the rows that an INSERT brings, as far as it says so."""
    # SQLAlchemy has no other way to ask a statement for its values; the test with real statements sees when that changes.
    statement: Any = state.statement
    many = [row for rows in statement._multi_values for row in rows]  # noqa: SLF001
    given = many or state.parameters or {}
    rows: list[Any] = list(given) if isinstance(given, list) else [given]
    fixed = statement._values or {}  # noqa: SLF001
    return [
        {_column(state, key): getattr(value, "value", value) for key, value in {**fixed, **row}.items()}
        for row in rows[:_MOST_ROWS]
    ]


def _column(state: ORMExecuteState, key: Any) -> str:
    """Return the name of a column that a statement names as a column, or as its mapper's attribute."""
    name = getattr(key, "name", None) or str(key)
    mapper = state.bind_mapper
    if mapper is not None and name in mapper.column_attrs:
        return str(mapper.column_attrs[name].columns[0].name)
    return str(name)
