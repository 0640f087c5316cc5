"""Airflow's command line: a command that may change something is on record before it runs, or it does not run."""

import getpass
import logging
import os
import sys
from functools import cache
from uuid import uuid4

from holdfast.core.access import Caller
from holdfast.core.audit import AuditAction, Outcome
from holdfast.core.errors import HoldfastError
from holdfast_plugins.airflow_changes.process import arguments, has_governance_settings, is_component, words
from holdfast_plugins.airflow_changes.recorder import CAUSE, Cause, Recorder

logger = logging.getLogger("holdfast.airflow")

_INSTALLING = frozenset({"db", "fab-db", "db-manager"})
_READING = frozenset(
    [
        "list",
        "get",
        "show",
        "state",
        "details",
        "export",
        "report",
        "next-execution",
        "list-jobs",
        "list-runs",
        "list-import-errors",
        "failed-deps",
        "render",
        "states-for-dag-run",
        "check",
        "check-migrations",
        "info",
        "version",
        "config",
        "plugins",
        "providers",
        "cheat-sheet",
        "jobs",
        "serialized",
    ]
)
_CLEAR = frozenset(
    [
        "dag_id",
        "dag_ids",
        "task_id",
        "task_regex",
        "run_id",
        "dag_run_id",
        "logical_date",
        "start_date",
        "end_date",
        "from_date",
        "to_date",
        "conn_id",
        "conn_type",
        "key",
        "pool",
        "slots",
        "name",
        "role",
        "username",
        "email",
        "state",
        "version",
        "revision",
        "dry_run",
        "yes",
        "treat_dag_id_as_regex",
        "only_failed",
        "only_running",
    ]
)
_NOT_ARGUMENTS = frozenset({"func", "subcommand", "verbose"})
_UNAVAILABLE = 7


@cache
def recorder_of_process() -> Recorder | None:
    """Return the recorder of a process that is not the api-server; None for a component, and for a program that is not `airflow`.

    Raises:
        InvalidRequest: this is a command of `airflow`, and the settings are missing or wrong.
    """
    from holdfast.settings import RecordSettings

    if is_component():
        return None
    if not has_governance_settings() and (not words() or words()[0] in _INSTALLING):
        return None
    return Recorder.open(RecordSettings.load())


def caller_of_process() -> Caller:
    """Return who gives this process's commands: the login, as the operating system knows it."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = f"uid-{os.getuid()}"
    return Caller(f"system:{login}", request_id=uuid4().hex)


def record_read(named: list[str]) -> None:
    """Record a command that shows secrets, before Airflow has parsed it: for most of these it calls nobody.

    Ends the process where it cannot be recorded.
    """
    caller = caller_of_process()
    try:
        if (recorder := recorder_of_process()) is not None:
            read = ("airflow_command", " ".join(named))
            recorder.record(recorder.event(caller, AuditAction.AIRFLOW_OBJECT_READ, read, {}))
    except HoldfastError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(_UNAVAILABLE) from None


class Commands:
    """What Airflow calls before and after each of its commands."""

    def before(self, **_: object) -> None:
        """Record a command that may change something; ends the process where it cannot be recorded.

        Airflow logs an exception of this and goes on, so it is the process that has to end.
        """
        named = words()
        if not named or is_component():
            return
        caller = caller_of_process()
        cause = Cause(caller, f"airflow {' '.join(named)}")
        CAUSE.set(cause)
        if named[-1] in _READING or named[0] in _READING:
            return
        try:
            if (recorder := recorder_of_process()) is not None:
                target = ("airflow_command", " ".join(named))
                recorder.record(
                    recorder.event(caller, AuditAction.AIRFLOW_COMMAND_STARTED, target, _arguments(recorder))
                )
        except Exception as error:  # noqa: BLE001 - Airflow would log any other, and go on
            sys.stderr.write(f"{error}\n")
            raise SystemExit(_UNAVAILABLE) from None

    def after(self, *, error: BaseException | None = None, **_: object) -> None:
        """Record how a command ended."""
        named, cause = words(), CAUSE.get()
        if cause is None or not named or is_component() or named[-1] in _READING or named[0] in _READING:
            return
        try:
            if (recorder := recorder_of_process()) is not None:
                ended = recorder.event(
                    cause.caller,
                    AuditAction.AIRFLOW_COMMAND_ENDED,
                    ("airflow_command", " ".join(named)),
                    {},
                    outcome=Outcome.SUCCEEDED if error is None else Outcome.REFUSED,
                    reason="" if error is None else type(error).__name__,
                )
                recorder.record(ended)
        except HoldfastError as failure:
            logger.warning("the end of the command was not recorded: %s", failure)


def _arguments(recorder: Recorder) -> dict[str, object]:
    """Return what a command was given, parsed as Airflow parses it: ids in clear, everything else as keyed digests."""
    from airflow.cli.cli_parser import get_parser

    given = vars(get_parser().parse_args(arguments()))
    kept = {name: value for name, value in given.items() if name not in _NOT_ARGUMENTS and value is not None}
    return {"arguments": recorder.digests.summary(kept, _CLEAR)}
