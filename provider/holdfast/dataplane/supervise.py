"""Runs one command to its end, and lets nothing that it started outlive it: also what left its group, its session and its parent.

A program of its own, standard library only, so that being the reaper of orphans is a property of this process and not of Airflow's.
SIGTERM is for the command, which is in the same group. SIGHUP ends everything at once; the kernel sends it when the parent dies.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the command and write `{"code": …}` (negative: the signal that ended it) or `{"refused": …}` to the descriptor given first."""
    report, parent, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
    if os.getppid() != parent:
        return 1
    try:
        child = subprocess.Popen(command)  # noqa: S603 - running the user's command is the purpose
    except (OSError, ValueError) as error:
        os.write(report, json.dumps({"refused": getattr(error, "strerror", None) or str(error)}).encode())
        return 1

    def end(*_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)

    # A handler and not SIG_IGN, which a command started by the command would inherit.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGHUP, end)
    if os.getppid() != parent:  # it died before there was a handler
        end()
    status = _reap_until(child.pid)
    _end_orphans()
    os.write(report, json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
    return 0


def _reap_until(pid: int) -> int:
    while True:
        reaped, status = os.waitpid(-1, 0)
        if reaped == pid:
            return status


def _end_orphans() -> None:
    """Kill until no child is left; the children of what is killed become ours, and are next."""
    with suppress(ChildProcessError):
        while True:
            for pid in _children():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    me, found = os.getpid(), []
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is not worth its import here
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                if int(file.read().rpartition(b")")[2].split()[1]) == me:
                    found.append(int(name))
    return found


if __name__ == "__main__":
    sys.exit(main())
