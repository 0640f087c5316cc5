"""What is known of the object store."""

from holdfast.wire.store import StoreStanding
from holdfast_plugins.api.routing import Governed, router

routes = router("store")


@routes.get("/store")
def show_store(governed: Governed) -> StoreStanding:
    """Show what a hold is worth in the object store: `object lock` while its newest honesty probe is good and young, else `database only`."""
    return governed.store.show()
