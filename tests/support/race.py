"""Two calls at once, in an order that is chosen: by the named points of a change and by PostgreSQL's own list of who waits."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text

from holdfast.core.errors import HoldfastError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.service.governance import GovernanceService

    Call = Callable[[GovernanceService], object]

_DEADLINE_S = 30


@dataclass
class Gate:
    """A probe that stops the first change that reaches a point, until it is opened."""

    point: str
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, point: str) -> None:
        if point == self.point and not self.reached.is_set():
            self.reached.set()
            if not self.opened.wait(_DEADLINE_S):
                raise RuntimeError(f"nobody opened the gate at {point}")


class Calling(threading.Thread):
    """A call in a thread; its outcome is what it returned, or the error of ours that it raised. Another exception is raised by `end`."""

    def __init__(self, call: Call, governance: GovernanceService, barrier: threading.Barrier | None = None) -> None:
        super().__init__(daemon=True)
        self._call, self._governance, self._barrier = call, governance, barrier
        self._outcome: object = None
        self._bug: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            if self._barrier is not None:
                self._barrier.wait(_DEADLINE_S)
            self._outcome = self._call(self._governance)
        except HoldfastError as error:
            self._outcome = error
        except BaseException as error:  # noqa: BLE001 - it is raised again in the test's own thread
            self._bug = error

    def end(self) -> object:
        """Return the outcome."""
        self.join(_DEADLINE_S)
        assert not self.is_alive(), "the call does not end"
        if self._bug is not None:
            raise self._bug
        return self._outcome


def overtaken(
    first: Call, second: Call, governance: GovernanceService, other: GovernanceService | None = None
) -> tuple[object, object]:
    """Return the outcomes of two calls of which the second has been authorised before the first begins, and goes on when it has ended.

    Where they take turns the first waits for the second.
    """
    gate = Gate("authorised")
    late = Calling(second, replace(other or governance, probe=gate))
    assert gate.reached.wait(_DEADLINE_S), late.end()
    early = Calling(first, governance)
    try:
        _wait_until_waiting(early, governance)
    finally:
        gate.opened.set()
    return early.end(), late.end()


def held_up(
    first: Call, second: Call, governance: GovernanceService, other: GovernanceService | None = None
) -> tuple[object, object]:
    """Return the outcomes of two calls of which the first has done everything but commit while the second runs, as far as it gets."""
    gate = Gate("recorded")
    early = Calling(first, replace(governance, probe=gate))
    assert gate.reached.wait(_DEADLINE_S), early.end()
    late = Calling(second, other or governance)
    try:
        _wait_until_waiting(late, governance)
    finally:
        gate.opened.set()
    return early.end(), late.end()


def together(calls: Sequence[Call], governance: GovernanceService) -> list[object]:
    """Return the outcomes of calls that begin at the same moment."""
    barrier = threading.Barrier(len(calls))
    threads = [Calling(call, governance, barrier) for call in calls]
    return [thread.end() for thread in threads]


def _wait_until_waiting(late: Calling, governance: GovernanceService) -> None:
    """Return when the call waits for a lock in the database, or has ended."""
    engine = create_engine(governance.engine.url, isolation_level="AUTOCOMMIT")
    deadline = time.monotonic() + _DEADLINE_S
    with engine.connect() as connection:
        while late.is_alive() and time.monotonic() < deadline:
            waiting = connection.scalar(
                text("SELECT count(*) FROM pg_stat_activity WHERE usename = :login AND wait_event_type = 'Lock'"),
                {"login": governance.engine.url.username},
            )
            if waiting:
                break
            late.join(0.01)
    engine.dispose()
