"""How a pass keeps its pace: one page ahead and no further, in order, and with the collector as it was before."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

import pytest

from holdfast.ops.reconcile.pace import one_ahead, sparing_collections

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_same_items_come_in_the_same_order(count: int) -> None:
    assert list(one_ahead(iter(range(count)))) == list(range(count))


def test_the_next_item_is_made_while_this_one_is_looked_at_and_no_other() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(4):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    ahead = one_ahead(items())
    assert next(ahead) == 0
    assert second.wait(10)
    assert made == [0, 1]
    ahead.close()
    assert made == [0, 1]


def test_what_making_an_item_raises_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("the cluster is away")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(LookupError, match="away"):
        next(ahead)


class _Cycle:
    def __init__(self, gone: list[int]) -> None:
        self.itself, self._gone = self, gone

    def __del__(self) -> None:
        self._gone.append(1)


@pytest.mark.parametrize("is_enabled", [True, False])
def test_cycles_are_collected_every_few_pages_and_the_collector_is_given_back(is_enabled: bool) -> None:
    gone: list[int] = []
    before = gc.isenabled()
    (gc.enable if is_enabled else gc.disable)()
    try:
        with sparing_collections() as after_page:
            assert not gc.isenabled()
            for _ in range(64):
                _Cycle(gone)
                after_page()
            assert len(gone) == 64
        assert gc.isenabled() is is_enabled
        with pytest.raises(LookupError), sparing_collections():
            raise LookupError
        assert gc.isenabled() is is_enabled
    finally:
        (gc.enable if before else gc.disable)()
