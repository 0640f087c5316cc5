"""Process 1 of a Run on a machine that gives it none: starts the user's command, adopts what that leaves behind, and ends all of it.

A command's process group is not all that it started: a child that calls setsid leaves the group, and one whose parent has ended leaves
the tree. This process is the subreaper of everything below it, so nothing can leave, and it ends when its parent does, however that
happens. It ends as the command ended: with its exit code, or by its signal.
Source: prctl(2), PR_SET_CHILD_SUBREAPER and PR_SET_PDEATHSIG.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SWEEP_S = 5.0
_NOT_STARTED = 126


def main() -> int:
    """Run a command to its end; on SIGTERM it has a grace to end by itself.

    Arguments: pid of the parent, the grace in seconds, a file descriptor, the command. The descriptor is closed once the command has
    started; where it could not be started, the reason stands in it.
    """
    parent, grace_s, report, command = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Blocked until there is something to end, so that a request that comes early is not lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        # In a session of its own: a signal to its group must not reach this process.
        child = subprocess.Popen(command, start_new_session=True, preexec_fn=_as_usual)  # noqa: PLW1509 - takes no lock
    except OSError as error:
        os.write(report, f"the command {command[0]!r} could not be started: {error.strerror}".encode())
        return _NOT_STARTED
    os.close(report)
    signal.signal(signal.SIGALRM, lambda *_: _kill_descendants())
    signal.signal(signal.SIGTERM, lambda *_: _ask_to_end(child.pid, grace_s))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if os.getppid() != parent:  # it ended before this process could ask to be told
        os.kill(os.getpid(), signal.SIGTERM)
    status = _wait_for(child.pid)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _sweep()
    return _end_like(status)


def _as_usual() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _ask_to_end(group: int, grace_s: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
    if grace_s:
        signal.alarm(grace_s)
    else:
        _kill_descendants()


def _wait_for(child: int) -> int:
    """Return the wait status of one child; every other one that ends meanwhile is reaped."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return status


def _sweep() -> None:
    """Kill what is left until nothing is; a process that the kernel does not let go of is given up after five seconds."""
    deadline = time.monotonic() + _SWEEP_S
    while time.monotonic() < deadline:
        _kill_descendants()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _kill_descendants() -> None:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    for pid in found - {os.getpid()}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _end_like(status: int) -> int:
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


if __name__ == "__main__":
    sys.exit(main())
