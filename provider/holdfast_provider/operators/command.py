"""Runs a command of `holdfast` apart from the worker: in a process with an environment of its own, which the worker does not share."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from holdfast_provider._masking import mask_unknown

_SECRET = frozenset(
    {"HOLDFAST_TOKEN", "HOLDFAST_DATABASE_URL", "HOLDFAST_DISPOSER_URL", "HOLDFAST_OWNER_URL", "HOLDFAST_GRANT_KEY"}
)
# A state conflict, and a dependency that does not answer: see the command line's table.
_RETRIED = frozenset({4, 7})
_START = "from holdfast.cli.main import run; run()"


class HoldfastCommandOperator(BaseOperator):
    """Runs `holdfast …` and fails as it does: exit codes 4 and 7 are tried again, the others are not.

    The command gets the environment that is given here and nothing of the worker's; secrets by reference, in files that it reads by itself.

    Args:
        arguments: of the command.
        environment: its whole environment, but for PATH and LANG.
    """

    template_fields: Sequence[str] = ("arguments", "environment")
    ui_color = "#dbe9e4"

    def __init__(self, *, arguments: Sequence[str], environment: dict[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if given := sorted(_SECRET & set(environment)):
            raise ValueError(f"{given[0]} would stand in the Dag and in the database; name a file in {given[0]}_FILE")
        self.arguments = list(arguments)
        self.environment = environment
        self._child: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> None:
        """Run the command to its end; what it says is in the task's log."""
        del context
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", **self.environment}
        with (
            tempfile.TemporaryDirectory(prefix="holdfast-command-") as directory,
            subprocess.Popen(  # noqa: S603 - the Dag names the arguments, and no shell reads them
                [sys.executable, "-I", "-c", _START, *map(str, self.arguments)],
                env=environment,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="backslashreplace",
                start_new_session=True,
            ) as child,
        ):
            self._child = child
            for line in child.stdout or ():
                self.log.info("%s", mask_unknown(line.rstrip("\n")))
        code = child.returncode
        if code:
            said = f"holdfast {' '.join(self.arguments[:2])} ended with exit code {code}; its log is above"
            raise AirflowException(said) if code in _RETRIED or code < 0 else AirflowFailException(said)

    def on_kill(self) -> None:
        """End the command; whatever it was at, the next one comes to the same end."""
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGTERM)
