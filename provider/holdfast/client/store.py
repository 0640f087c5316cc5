"""What is known of the object store, over HTTP."""

from dataclasses import dataclass

from holdfast.client.transport import Transport
from holdfast.wire.store import StoreStanding


@dataclass(frozen=True, slots=True)
class StoreClient:
    """Implements `ports.Store`."""

    transport: Transport

    def show(self) -> StoreStanding:
        """Return what a hold is worth in the store now, by its newest probe."""
        return self.transport.get("/store", StoreStanding)
