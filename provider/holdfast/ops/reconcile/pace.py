"""How a pass over many pods keeps its pace: it fetches one page ahead, and does not look for cycles in what has none."""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
_EVERY = 16


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the same items; the next one is made in a thread while this one is looked at. Two are held at a time, and no more."""
    with ThreadPoolExecutor(1) as beside:
        following = beside.submit(_next, items)
        while (found := following.result()) is not None:
            following = beside.submit(_next, items)
            yield found[0]
            del found


def _next(items: Iterator[Item]) -> tuple[Item] | None:
    for item in items:
        return (item,)
    return None


@contextmanager
def sparing_collections() -> Iterator[Callable[[], None]]:
    """Yield what is called after each page; meanwhile the collector of cycles runs once in so many pages only.

    A page of pods is half a million objects and no cycle. Left alone, the collector goes through all of them several times, which takes as
    long as everything else that is done with them. What has cycles, the replies of the client, waits a few pages.
    """
    pages, collects = 0, gc.isenabled()

    def after_page() -> None:
        nonlocal pages
        pages += 1
        if pages % _EVERY == 0:
            gc.collect(0)

    gc.disable()
    try:
        yield after_page
    finally:
        if collects:
            gc.enable()
