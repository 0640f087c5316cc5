"""How far the log has come behind the events: what cannot be proved yet, and for how long."""

from sqlalchemy import Connection, text

from holdfast.store.prepared import Prepared
from holdfast.wire.ledger import LedgerStatus

PROOF_AGE_LIMIT_S = 60


def status_of(connection: Connection, limit_s: int = PROOF_AGE_LIMIT_S) -> LedgerStatus:
    """Return how far the log has come, and whether an event waits longer than it may. An alert and a metric ask for the same."""
    row = _STATUS.one(connection)
    age_s = round(float(row.age or 0), 3)
    return LedgerStatus(
        size=row.size,
        published=row.published,
        checkpoint_at=row.checkpoint_at,
        waiting=row.waiting,
        proof_age_s=age_s,
        limit_s=limit_s,
        is_behind=age_s > limit_s,
    )


# What has no index comes after the cursor; what has one and is not published, after the last checkpoint.
_STATUS = Prepared(
    text(
        """
        WITH head AS MATERIALIZED (SELECT size, cursor_xid, cursor_event FROM ledger_head),
        last AS MATERIALIZED (SELECT size, signed_at FROM ledger_checkpoint ORDER BY size DESC LIMIT 1),
        waiting AS (
            SELECT e.recorded_at FROM audit_event e
            WHERE (e.xid, e.id) > ((SELECT cursor_xid FROM head), (SELECT cursor_event FROM head))
            AND NOT EXISTS (SELECT FROM ledger_leaf l WHERE l.event_id = e.id)
            UNION ALL
            SELECT e.recorded_at FROM ledger_leaf l JOIN audit_event e ON e.id = l.event_id AND e.segment = l.segment
            WHERE l.index >= COALESCE((SELECT size FROM last), 0)
        )
        SELECT head.size, COALESCE(last.size, 0) AS published, last.signed_at AS checkpoint_at,
        (SELECT count(*) FROM waiting) AS waiting,
        (SELECT EXTRACT(EPOCH FROM clock_timestamp() - min(recorded_at)) FROM waiting) AS age
        FROM head LEFT JOIN last ON true
        """
    )
)
