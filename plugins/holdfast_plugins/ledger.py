"""Lets a process that answers the API stand by to extend the audit ledger, when its settings name the log's key."""

import logging
import os
import threading

from holdfast.core.errors import IntegrityViolation, Unavailable
from holdfast.settings import LedgerSettings, Settings, open_sequencer
from holdfast.store.engine import open_engine

logger = logging.getLogger("holdfast.ledger")

_PAUSE_S = 10


def stand_by(settings: Settings) -> None:
    """Start a thread that extends the log whenever no other process does, and ends with this one.

    Raises:
        InvalidRequest: a setting of the ledger or a key is wrong; the service must not start.
    """
    if not os.environ.get("HOLDFAST_LEDGER_KEY"):
        return
    ledger = LedgerSettings.load()
    try:
        ledger.signers()
    except Unavailable as error:
        logger.warning("the log is not extended by this process until its key can be used: %s", error)
    threading.Thread(target=_extend, args=(settings, ledger), daemon=True, name="ledger").start()


def _extend(settings: Settings, ledger: LedgerSettings) -> None:
    # Connections of its own: however busy the service is, it waits for none of them.
    engine = open_engine(settings.database_url.get_secret_value(), pool_size=3 + len(ledger.copies()))
    never = threading.Event()
    while True:
        try:
            open_sequencer(engine, ledger).run(never)
        except Unavailable:
            never.wait(_PAUSE_S)
        except IntegrityViolation as error:
            logger.critical("this process does not extend the log any more: %s", error)
            return
        except Exception:
            logger.exception("the log is not extended now")
            never.wait(_PAUSE_S)
