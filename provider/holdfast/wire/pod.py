"""Pods that do not belong where they are, or not any more: what is said of one before it is touched; and Runs as the reconciler asks for them."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from holdfast.core.audit import AuditAction
from holdfast.core.run import RunState
from holdfast.wire.run import Run
from holdfast.wire.types import Text, Time, Wire

PodUid = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$")]
_Dns = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]


class PodRequest(Wire):
    """A pod that is about to be quarantined or removed, and by which rule; the Run, where it is one's."""

    namespace: _Dns
    name: _Dns
    node: _Dns | None = None
    rule: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z]+\.[a-z-]+$")]
    reason: Text = ""
    run: UUID | None = None


class PodRecord(Wire):
    """What is on record of a pod: since when it is to be quarantined or removed."""

    uid: str
    project: str
    action: AuditAction
    recorded_at: Time


class RunIds(Wire):
    """The Runs that are asked for."""

    runs: Annotated[list[UUID], Field(min_length=1, max_length=500)]


class RunStanding(Wire):
    """A Run, and the Run of the newest later try of the same task instance, if there is one."""

    run: Run
    superseded_by: UUID | None


class OpenRun(Wire):
    """A Run that has not ended; what else is known of it, `standings` tells."""

    id: UUID
    state: RunState


class RunStandings(Wire):
    """Those of the Runs asked for that there are, in no order."""

    items: list[RunStanding]
