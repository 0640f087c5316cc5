"""A Run whose processes are killed or stopped: itself at a named point, or from outside while its command works."""

import os
import signal
from datetime import timedelta
from pathlib import Path

from airflow.sdk import Param, dag

from holdfast_provider.operators import RunOperator


class KilledOperator(RunOperator):
    """Kills its own process, the supervisor of that, or the process of an id, or stops both, once, at the point that the DagRun names."""

    template_fields = (*RunOperator.template_fields, "point", "victim", "once")

    def __init__(self, *, point: str, victim: str, once: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.point, self.victim, self.once = point, victim, once

    def at(self, point: str) -> None:
        marker = Path(self.once)
        if point != self.point or marker.exists():
            return
        marker.write_text(f"{os.getpid()} {os.getppid()}")
        # Airflow renders what looks like a number as one.
        if str(self.victim).isdigit():
            os.kill(int(self.victim), signal.SIGKILL)
            return
        if self.victim == "stopped":
            os.kill(os.getppid(), signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        if self.victim == "supervisor":
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


@dag(
    schedule=None,
    params={
        "point": Param("", type="string"),
        "victim": Param("", type="string"),
        "once": Param("", type="string"),
        "command": Param([], type="array"),
    },
    render_template_as_native_obj=True,
)
def killed():
    KilledOperator(
        task_id="step",
        project="oncology",
        environment="sklearn",
        command="{{ params.command }}",
        outputs={"out": "out.txt"},
        point="{{ params.point }}",
        victim="{{ params.victim }}",
        once="{{ params.once }}",
        retries=2,
        retry_delay=timedelta(seconds=1),
    )


killed()
