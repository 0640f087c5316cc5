"""Writes events about Airflow, with who causes them; a change whose event cannot be written is refused."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy import Engine

from holdfast.core.access import Caller
from holdfast.core.audit import AuditAction, Outcome
from holdfast.core.errors import HoldfastError, Unavailable
from holdfast.core.keyed import KeyedDigests
from holdfast.service.event import event_row, record_events
from holdfast.settings import RecordSettings
from holdfast.store.engine import open_engine


@dataclass(slots=True)
class Cause:
    """Why rows of Airflow's database change: a call or a command, and whose.

    Attributes:
        caller: who.
        what: the call or command, in few words.
        is_machine: whether Airflow's own machinery does it: a task, a heartbeat.
        failure: why a change could not be recorded, once that has happened; nothing was changed then.
    """

    caller: Caller
    what: str
    is_machine: bool = False
    failure: HoldfastError | None = field(default=None)


CAUSE: ContextVar[Cause | None] = ContextVar("holdfast_cause", default=None)
AIRFLOW = Caller("system:airflow")


@dataclass(frozen=True)
class Recorder:
    """Writes events about Airflow.

    Attributes:
        settings: the key of digests.
        engine: the governance database; nothing is connected before the first event.
    """

    settings: RecordSettings
    engine: Engine

    @classmethod
    def open(cls, settings: RecordSettings) -> "Recorder":
        """Return the recorder of a command, which needs one connection."""
        return cls(settings, open_engine(settings.database_url.get_secret_value(), pool_size=1))

    @cached_property
    def digests(self) -> KeyedDigests:
        """Keyed digests for what may be a secret."""
        return self.settings.digests()

    def event(
        self,
        caller: Caller,
        action: AuditAction,
        target: tuple[str, str],
        content: Mapping[str, object],
        *,
        outcome: Outcome = Outcome.SUCCEEDED,
        reason: str = "",
    ) -> dict[str, object]:
        """Return an event, to be recorded."""
        return event_row(caller, None, action, target, content, outcome=outcome, reason=reason)

    def record(self, *events: dict[str, object]) -> None:
        """Commit events.

        Raises:
            Unavailable: they are not recorded; what they are about must not happen.
        """
        try:
            record_events(self.engine, *events)
        except HoldfastError as error:
            raise Unavailable(
                f"nothing is done that cannot be recorded: {error.message}", remedy=error.remedy
            ) from error
