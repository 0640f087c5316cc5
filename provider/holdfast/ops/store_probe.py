"""The honesty probe of the object store, tried and written down: one at a time, by who holds the store's credential."""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Engine

from holdfast.core.access import Caller
from holdfast.core.errors import StateConflict
from holdfast.objects.s3 import S3Store
from holdfast.service.refusals import translate
from holdfast.service.store import StoreService
from holdfast.service.transaction import Transactions
from holdfast.store.turn import take_turn
from holdfast.wire.store import StoreStanding

_STANDSTILL_S = 600  # a store that does not answer is waited for, try by try


def probe_store(
    engine: Engine, caller: Caller, store: S3Store, limit: timedelta, tell: Callable[[int, int], None]
) -> StoreStanding:
    """Probe the store, write down what was found, and return what a hold is worth from now on.

    Nothing is written before everything has been tried: a probe that breaks off leaves no record, and its canaries go with the next.

    Args:
        engine: of the service's login.
        caller: who probes.
        store: with the credential whose reach is to be known.
        limit: how old a probe may be.
        tell: is told how many rules have been tried, of how many.

    Raises:
        StateConflict: another probe of this store is under way.
        Unavailable: the store or the database does not answer.
    """
    with translate(), take_turn(engine, f"store.probe/{store.place}", _STANDSTILL_S) as keep:
        if keep is None:
            raise StateConflict(
                f"another probe of {store.place} is under way", remedy="Wait until it has ended; `holdfast store show`"
            )

        def step(done: int, of: int) -> None:
            keep()
            tell(done, of)

        found = store.probe(step)
        service = StoreService(Transactions(engine, caller), store, limit)
        service.record_probe(found.findings, found.leftovers)
        return service.show()
