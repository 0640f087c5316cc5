"""Runs and PipelineRuns: their states, the transitions that are allowed, the identity of a try, the classes of failure."""

import hashlib
from enum import StrEnum

from holdfast.core.errors import StateConflict


class RunState(StrEnum):
    """Where a Run is. Terminal states never change; `unknown` and `reconciling` are left by evidence only."""

    CREATED = "created"
    QUEUED = "queued"
    RUNNING = "running"
    UNKNOWN = "unknown"
    RECONCILING = "reconciling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class PipelineRunState(StrEnum):
    """Where a PipelineRun is. Terminal states never change."""

    QUEUED = "queued"
    RUNNING = "running"
    UNKNOWN = "unknown"
    RECONCILING = "reconciling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    CANCELED = "canceled"


class ErrorClass(StrEnum):
    """Whose failure it is. Only environment and platform are worth another try."""

    USER = "user"
    DATA = "data"
    ENVIRONMENT = "environment"
    PLATFORM = "platform"
    POLICY = "policy"

    @property
    def is_retryable(self) -> bool:
        """Whether another try can end differently."""
        return self in (ErrorClass.ENVIRONMENT, ErrorClass.PLATFORM)


class OriginReason(StrEnum):
    """Why a Run repeats another."""

    RETRY = "retry"
    CLEAR = "clear"
    RERUN = "rerun"
    BACKFILL = "backfill"


def owner_of_try(try_number: int) -> str:
    """Return who owns a Run that a try of its task has taken up from the try before."""
    return f"try {try_number}"


def try_of(owner: str | None, made_by: int) -> int:
    """Return the number of the try that a Run is of: the one that its record names as its owner, or else the one that made it."""
    kind, _, number = (owner or "").partition(" ")
    return int(number) if kind == "try" and number.isdecimal() else made_by


def is_taken_from(owner: str | None, try_number: int) -> bool:
    """Whether a Run whose record names an owner has been taken up by a later try than this one."""
    return try_of(owner, try_number) > try_number


_ENDS = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED})
RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.CREATED: frozenset(
        {RunState.QUEUED, RunState.RUNNING, RunState.UNKNOWN, RunState.FAILED, RunState.CANCELED}
    ),
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.UNKNOWN, RunState.FAILED, RunState.CANCELED}),
    RunState.RUNNING: _ENDS | {RunState.UNKNOWN},
    RunState.UNKNOWN: frozenset({RunState.RECONCILING}),
    RunState.RECONCILING: _ENDS | {RunState.UNKNOWN, RunState.RUNNING},
    **dict.fromkeys(_ENDS, frozenset[RunState]()),
}

_PIPELINE_ENDS = frozenset(
    {
        PipelineRunState.SUCCEEDED,
        PipelineRunState.FAILED,
        PipelineRunState.PARTIALLY_SUCCEEDED,
        PipelineRunState.CANCELED,
    }
)
PIPELINE_RUN_TRANSITIONS: dict[PipelineRunState, frozenset[PipelineRunState]] = {
    PipelineRunState.QUEUED: _PIPELINE_ENDS | {PipelineRunState.RUNNING, PipelineRunState.UNKNOWN},
    PipelineRunState.RUNNING: _PIPELINE_ENDS | {PipelineRunState.UNKNOWN},
    PipelineRunState.UNKNOWN: frozenset({PipelineRunState.RECONCILING}),
    PipelineRunState.RECONCILING: _PIPELINE_ENDS | {PipelineRunState.UNKNOWN, PipelineRunState.RUNNING},
    **dict.fromkeys(_PIPELINE_ENDS, frozenset[PipelineRunState]()),
}


def is_terminal(state: RunState | PipelineRunState) -> bool:
    """Whether the state never changes again."""
    return state in _ENDS or state in _PIPELINE_ENDS


def check_run_transition(run: str, before: RunState, after: RunState) -> None:
    """Return when a Run may go from one state to another.

    Raises:
        StateConflict: it may not; a terminal state never changes.
    """
    _check("Run", run, before, after, RUN_TRANSITIONS[before])


def check_pipeline_run_transition(pipeline_run: str, before: PipelineRunState, after: PipelineRunState) -> None:
    """Return when a PipelineRun may go from one state to another.

    Raises:
        StateConflict: it may not; a terminal state never changes.
    """
    _check("PipelineRun", pipeline_run, before, after, PIPELINE_RUN_TRANSITIONS[before])


def _check(
    kind: str, identity: str, before: str, after: str, allowed: frozenset[RunState] | frozenset[PipelineRunState]
) -> None:
    if after not in allowed:
        remedy = (
            f"From {before} it may go to {', '.join(sorted(allowed))}"
            if allowed
            else f"{before} is terminal; start a new {kind}"
        )
        raise StateConflict(
            f"{kind} {identity} is {before} and cannot become {after}",
            remedy=remedy,
            details={"state": before, "asked": after},
        )


def idempotency_key(dag_id: str, run_id: str, task_id: str, map_index: int, try_number: int) -> str:
    """Return the key of one try of one task instance: the same try has the same key, whoever computes it.

    The parts are joined by U+0000, which no Airflow identifier holds, so two different tries cannot share a key.
    """
    parts = (dag_id, run_id, task_id, str(map_index), str(try_number))
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
