"""How far the log has come behind the events: what cannot be proved yet, and for how long."""

from sqlalchemy import Connection, text

from holdfast.ledger.order import EVENT_OF_LEAF, LEAF_OF_EVENT
from holdfast.store.prepared import Prepared
from holdfast.wire.ledger import LedgerStatus

PROOF_AGE_LIMIT_S = 60


def status_of(connection: Connection, limit_s: int = PROOF_AGE_LIMIT_S) -> LedgerStatus:
    """Return how far the log has come, and whether an event waits longer than it may. An alert and a metric ask for the same."""
    head = _HEAD.one(connection)
    found = _WAITING.one(
        connection, {"xid": str(head.cursor_xid), "event": head.cursor_event, "published": head.published}
    )
    age_s = round(float(found.age or 0), 3)
    return LedgerStatus(
        size=head.size,
        published=head.published,
        checkpoint_at=head.signed_at,
        waiting=found.waiting,
        proof_age_s=age_s,
        limit_s=limit_s,
        is_behind=age_s > limit_s,
    )


_HEAD = Prepared(
    text(
        """
        SELECT h.size, h.cursor_xid, h.cursor_event, COALESCE(c.size, 0) AS published, c.signed_at,
        set_config('enable_seqscan', 'off', true)
        FROM ledger_head h LEFT JOIN (SELECT size, signed_at FROM ledger_checkpoint ORDER BY size DESC LIMIT 1) c ON true
        """
    )
)
# What has no index comes after the cursor; what has one and is not published, after the last checkpoint. However large the log is, only
# these are looked at, with no sequential scans for the rest of the transaction.
_WAITING = Prepared(
    text(
        f"""
        SELECT count(*) AS waiting, EXTRACT(EPOCH FROM clock_timestamp() - min(recorded_at)) AS age FROM (
            SELECT e.recorded_at FROM audit_event e LEFT JOIN {LEAF_OF_EVENT} ON true
            WHERE (e.xid, e.id) > (CAST(:xid AS xid8), CAST(:event AS uuid)) AND l.index IS NULL
            UNION ALL SELECT e.recorded_at FROM ledger_leaf l, {EVENT_OF_LEAF} WHERE l.index >= :published
        ) w
        """  # noqa: S608 - our own text
    )
)
