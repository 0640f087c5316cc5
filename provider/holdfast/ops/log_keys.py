"""Which keys sign the log: that they are others than before is an audit event, before they sign anything."""

from collections.abc import Sequence

from sqlalchemy import Engine, text

from holdfast.core.access import Caller
from holdfast.core.audit import AuditAction
from holdfast.core.note import VerifierKey, claimed_by
from holdfast.service.event import event_row, record_events
from holdfast.service.refusals import translate
from holdfast.store.engine import read_only
from holdfast.store.prepared import Prepared


def record_keys(engine: Engine, keys: Sequence[VerifierKey]) -> None:
    """Record which keys sign the log from now on, where they are not those that have signed its last checkpoint.

    Raises:
        Unavailable: it is not on record; the log is not to be extended by them.
    """
    with translate(), read_only(engine) as connection:
        note = _LAST.scalar(connection)
    before = claimed_by(note) if note is not None else frozenset()
    if before == frozenset((key.name, key.key_id) for key in keys):
        return
    content = {
        "verifier_keys": sorted(map(str, keys)),
        "before": sorted(f"{name}+{key_id.hex()}" for name, key_id in before),
    }
    target = "log", keys[0].name
    record_events(engine, event_row(Caller("system:ledger"), None, AuditAction.LOG_KEYS_CHANGED, target, content))


_LAST = Prepared(text("SELECT note FROM ledger_checkpoint ORDER BY size DESC LIMIT 1"))
