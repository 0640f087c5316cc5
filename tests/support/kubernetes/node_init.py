"""Process 1 of a node: the node's own mounts and address, and what runs on it. When it ends, everything on the node ends.

It runs as a script, with nothing but the standard library. It reads one command a line from its input, and answers each with one line:
`start NAME`, `stop NAME` (SIGTERM) and `kill NAME` (SIGKILL) of the programs that its description names, and `prepare` before all of them.
The end of its input is the end of the node, so that no node outlives whoever started it.
"""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

_OWN = ("/run", "/var/lib", "/var/log")


class Node:
    """What runs, by name."""

    def __init__(self, description: dict) -> None:
        self._description = description
        self._pids: dict[str, int] = {}

    def obey(self, command: str) -> str:
        """Do one command and return the answer."""
        match command.split():
            case ["prepare"]:
                self._prepare()
            case ["start", name] if name not in self._pids:
                self._pids[name] = self._start(name)
            case ["stop", name] if name in self._pids:
                self._end(name, signal.SIGTERM)
            case ["kill", name] if name in self._pids:
                self._end(name, signal.SIGKILL)
            case _:
                return f"cannot {command}"
        return "done"

    def reap(self) -> None:
        """Take the exit status of every process that has ended, of those that lost their parent too."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._pids = {name: each for name, each in self._pids.items() if each != pid}

    def _prepare(self) -> None:
        run("mount", "--make-rshared", "/")
        for path in _OWN:
            run("mount", "-t", "tmpfs", "tmpfs", path)
        for target, source in self._description["disks"].items():
            Path(target).mkdir(parents=True)
            run("mount", "--bind", source, target)
        # containerd's network namespaces are mounts that have to be seen in here, and nowhere else.
        Path("/run/netns").mkdir()
        run("hostname", self._description["name"])
        for command in self._description["network"]:
            run("ip", *command)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def _start(self, name: str) -> int:
        with Path(self._description["logs"], f"{name}.log").open("ab") as log:
            program = self._description["programs"][name]
            process = subprocess.Popen(
                program, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        process.returncode = 0  # it is reaped with all others
        return process.pid

    def _end(self, name: str, how: signal.Signals) -> None:
        pid = self._pids.pop(name)
        os.kill(pid, how)
        os.waitpid(pid, 0)


def run(*command: str) -> None:
    """Run a command that must not fail."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


def main() -> None:
    """Obey until the input ends."""
    node = Node(json.loads(Path(sys.argv[1]).read_text()))
    woken, waking = os.pipe()
    for end in (woken, waking):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    pending = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            node.reap()
        if 0 in ready:
            if not (read := os.read(0, 4096)):
                return
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                try:
                    answer = node.obey(line.decode())
                except Exception as error:  # noqa: BLE001 - whatever it is, the other side has to hear it
                    answer = f"{type(error).__name__}: {error}"
                print(answer.replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
