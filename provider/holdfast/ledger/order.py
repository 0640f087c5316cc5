"""Gives committed audit events their indexes, one after the other, for ever.

An event is taken once no transaction is under way any more that could still commit one before it: its own transaction is below all of
those. So the order is (transaction, event), each event has one index, and none is passed over, however long its transaction took.
Writers do not wait for it. Two who do it at the same time cannot both give an index: it is a primary key.
"""

from sqlalchemy import Connection, text

from holdfast.store.prepared import Prepared

BATCH = 10_000
# LATERAL with OFFSET: each one by its index, however large the log is; a join or NOT EXISTS would be planned as a scan of all of it.
EVENT_OF_LEAF = "LATERAL (SELECT * FROM audit_event a WHERE a.id = l.event_id AND a.segment = l.segment OFFSET 0) e"
"""In SQL, the event of a leaf `l`; none where it has gone."""
LEAF_OF_EVENT = "LATERAL (SELECT index FROM ledger_leaf a WHERE a.event_id = e.id OFFSET 0) l"
"""In SQL, the leaf of an event `e`, by its id; none where it has no index yet."""


def assign_indexes(connection: Connection, limit: int = BATCH) -> int:
    """Give up to so many events their indexes, in the caller's transaction, and return how many there were.

    Raises:
        DBAPIError: another sequencer has done it meanwhile (a unique violation); nothing was changed.
    """
    head = _HEAD.one(connection)
    if head.is_same_server:
        return int(_ASSIGN.one(connection, {"limit": limit}).count)
    # The database was restored on another server, whose transactions have other numbers, higher ones perhaps than any that this one
    # has given. What was brought along is committed, so any order does; once there is none of it left, this server's numbers count.
    return int(_ASSIGN_RESTORED.one(connection, {"limit": limit}).count)


_SERVER = "(SELECT system_identifier FROM pg_control_system())"
# Across segments the database does not keep ids apart. Whoever writes one twice has one event in the log, and a stray one.
_FOUND = f"""
    found AS MATERIALIZED (
        SELECT e.xid, e.id, e.segment FROM (
            SELECT *, row_number() OVER (PARTITION BY id ORDER BY xid, segment) AS time FROM due
        ) e LEFT JOIN {LEAF_OF_EVENT} ON true WHERE e.time = 1 AND l.index IS NULL
    )
"""  # noqa: S608 - our own text
_WRITTEN = """
    leaves AS (
        INSERT INTO ledger_leaf (index, event_id, segment)
        SELECT (SELECT size FROM head) + row_number() OVER (ORDER BY xid, id) - 1, id, segment FROM found
    )
"""
_HEAD = Prepared(text(f"SELECT server = {_SERVER} AS is_same_server FROM ledger_head"))  # noqa: S608 - our own text
_ASSIGN = Prepared(
    text(
        f"""
        WITH head AS MATERIALIZED (SELECT size, cursor_xid, cursor_event FROM ledger_head),
        due AS MATERIALIZED (
            SELECT e.xid, e.id, e.segment FROM audit_event e
            WHERE (e.xid, e.id) > ((SELECT cursor_xid FROM head), (SELECT cursor_event FROM head))
            AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
            ORDER BY e.xid, e.id LIMIT :limit
        ), {_FOUND}, {_WRITTEN}, last AS (SELECT xid, id FROM due ORDER BY xid DESC, id DESC LIMIT 1), moved AS (
            UPDATE ledger_head SET size = ledger_head.size + (SELECT count(*) FROM found),
            cursor_xid = last.xid, cursor_event = last.id FROM last
        )
        SELECT count(*) AS count FROM due
        """  # noqa: S608 - our own text
    )
)
_ASSIGN_RESTORED = Prepared(
    text(
        f"""
        WITH head AS MATERIALIZED (SELECT size FROM ledger_head),
        due AS MATERIALIZED (
            SELECT '0'::xid8 AS xid, e.id, e.segment FROM audit_event e
            WHERE NOT EXISTS (SELECT FROM ledger_leaf l WHERE l.event_id = e.id) ORDER BY e.id LIMIT :limit
        ), {_FOUND}, taken AS (SELECT count(*) AS count FROM found), {_WRITTEN}, moved AS (
            UPDATE ledger_head SET size = ledger_head.size + taken.count,
            server = CASE WHEN taken.count < :limit THEN {_SERVER} ELSE server END,
            -- By the same snapshot: what it does not show yet is not below it.
            cursor_xid = pg_snapshot_xmin(pg_current_snapshot()), cursor_event = '00000000-0000-0000-0000-000000000000'
            FROM taken
        )
        SELECT count FROM taken
        """  # noqa: S608 - our own text
    )
)
