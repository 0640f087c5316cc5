"""A node of a throw-away cluster: containerd and kubelet in namespaces of their own, so that one kill is the loss of a machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.kubernetes import control_groups
from tests.support.kubernetes.network import Network

_DEADLINE_S = 60
_INIT = Path(__file__).with_name("node_init.py")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all nodes of a cluster have in common.

    Attributes:
        root: the directory of the cluster.
        programs: where kubelet is.
        authority: the path of the certificate that vouches for callers.
        registries: where containerd looks how a registry is reached, at each pull.
        network: of the cluster.
        sandbox: the reference of the image that holds a pod's namespaces.
    """

    root: Path
    programs: Path
    authority: Path
    registries: Path
    network: Network
    sandbox: str


@dataclass
class Node:
    """One node.

    Attributes:
        number: from 1.
        kubeconfig: of its kubelet; its certificate and key lie beside it.
        around: what it shares with the others.
        others: the numbers of all nodes.
    """

    number: int
    kubeconfig: Path
    around: Surroundings
    others: list[int]
    _process: subprocess.Popen[str] | None = field(default=None, init=False)
    _pid: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """As Kubernetes calls it."""
        return f"node{self.number}"

    @property
    def pid(self) -> int:
        """Its first process, as this machine counts; 0 where it does not run."""
        return self._pid

    @property
    def is_running(self) -> bool:
        """Whether it has been started, and neither been killed nor ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the machine and containerd; its disk is what it was. Ends where containerd answers; raises RuntimeError otherwise."""
        if self.is_running:
            raise RuntimeError(f"{self.name} runs already")
        control_groups.make(self._group)
        self._describe()
        # The namespaces are made by util-linux, because Python has no way to in each version that is supported.
        command = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--uts", "--ipc", "--mount-proc"]
        init = [sys._base_executable, "-I", "-S", str(_INIT), str(self._home / "description.json")]
        with (self._home / "logs" / "init.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--fork", "--kill-child", *init],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
                start_new_session=True,
            )
        self._pid = self._wait_for("its first process", self._first)
        self.around.network.connect(self.number, self._pid)
        self.tell("prepare")
        self.tell("start containerd")
        self._wait_for("containerd", lambda: self.run("ctr", "version").returncode == 0)

    def tell(self, command: str) -> None:
        """Have process 1 do something; see node_init.py. Raises RuntimeError with what went wrong."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None or process.poll() is not None:
            raise RuntimeError(f"{self.name} does not run")
        process.stdin.write(f"{command}\n")
        process.stdin.flush()
        if (answer := process.stdout.readline().strip()) != "done":
            raise RuntimeError(f"{self.name} could not {command}: {answer or self.last_words()}")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the node."""
        enter = ["nsenter", f"--target={self._pid}", "--mount", "--net", "--pid", "--uts", "--ipc", "--"]
        return subprocess.run(
            [*enter, *command], capture_output=True, text=True, check=False, timeout=300, env=self._environment()
        )

    def load(self, archive: Path) -> None:
        """Import an image; raises RuntimeError when containerd refuses it."""
        done = self.run("ctr", "--namespace=k8s.io", "images", "import", str(archive))
        if done.returncode != 0:
            raise RuntimeError(f"{self.name} could not import {archive.name}: {done.stderr[-1000:]}")

    def kill(self) -> None:
        """Lose the machine: every process on it is killed at once, and its network is gone; its disk stays."""
        process, self._process = self._process, None
        if process is not None:
            if self._pid and process.poll() is None:
                # The kernel ends the first process of a namespace after all others of it, and `unshare` ends after that one.
                os.kill(self._pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait(_DEADLINE_S)
            for stream in filter(None, (process.stdin, process.stdout)):
                with suppress(BrokenPipeError):
                    stream.close()
        self._pid = 0
        self.around.network.disconnect(self.number)
        control_groups.remove(self._group)

    @property
    def _group(self) -> str:
        return self.around.network.link(self.number)

    @property
    def _home(self) -> Path:
        return self.around.root / self.name

    def _environment(self) -> dict[str, str]:
        return {"PATH": f"{self.around.programs}:{os.environ['PATH']}", "HOME": str(self._home), "TMPDIR": "/tmp"}

    def _first(self) -> int:
        assert self._process is not None
        pid = self._process.pid
        with suppress(FileNotFoundError, ProcessLookupError):
            return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().strip() or 0)
        return 0

    def _wait_for(self, what: str, look: Any) -> Any:
        deadline = time.monotonic() + _DEADLINE_S
        while not (found := look()):
            if not self.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not get to {what}: {self.last_words()}")
            time.sleep(0.02)
        return found

    def last_words(self) -> str:
        """Return the end of each of its logs."""
        logs = sorted((self._home / "logs").glob("*.log"))
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-600:]}" for log in logs)

    def _describe(self) -> None:
        """Write what process 1, containerd and kubelet read."""
        disks = {
            "/var/lib/kubelet": "kubelet",
            "/var/lib/containerd": "containerd",
            "/var/log/pods": "pods",
        }
        for directory in (*disks.values(), "logs", "cni"):
            (self._home / directory).mkdir(parents=True, exist_ok=True)
        (self._home / "resolv.conf").write_text(f"nameserver {self.around.network.host}\n")
        (self._home / "containerd.toml").write_text(self._containerd())
        (self._home / "cni" / "10-bridge.conflist").write_text(json.dumps(self._cni()))
        (self._home / "kubelet.json").write_text(json.dumps(self._kubelet()))
        kubelet = ["--config", str(self._home / "kubelet.json"), "--kubeconfig", str(self.kubeconfig)]
        kubelet += ["--hostname-override", self.name, "--node-ip", self.around.network.node(self.number)]
        description = {
            "name": self.name,
            "logs": str(self._home / "logs"),
            "disks": {target: str(self._home / source) for target, source in disks.items()},
            "network": self._network(),
            "programs": {
                "containerd": ["containerd", "--config", str(self._home / "containerd.toml")],
                "kubelet": [str(self.around.programs / "kubelet"), *kubelet],
            },
        }
        (self._home / "description.json").write_text(json.dumps(description))

    def _network(self) -> list[list[str]]:
        network = self.around.network
        mine = [
            ["addr", "add", f"{network.node(self.number)}/24", "dev", "eth0"],
            ["link", "set", "lo", "up"],
            ["link", "set", "eth0", "up"],
            ["route", "add", "default", "via", network.host],
        ]
        return mine + [
            ["route", "add", network.pods(other), "via", network.node(other)]
            for other in self.others
            if other != self.number
        ]

    def _containerd(self) -> str:
        # restrict_oom_score_adj: a machine without CAP_SYS_RESOURCE (a container, a sandbox) may not lower a score, and no pod would start.
        return f"""version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{self.around.sandbox}"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{self._home}/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{self.around.registries}"
"""

    def _cni(self) -> dict[str, Any]:
        addresses = {"type": "host-local", "ranges": [[{"subnet": self.around.network.pods(self.number)}]]}
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": False,
            "ipam": {**addresses, "routes": [{"dst": "0.0.0.0/0"}]},
        }
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}

    def _kubelet(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            # Two kubelets under one root would delete each other's pods.
            "cgroupRoot": f"/{self._group}",
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.around.authority)},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "tlsCertFile": str(self.kubeconfig.with_suffix(".crt")),
            "tlsPrivateKeyFile": str(self.kubeconfig.with_suffix(".key")),
            # The disk and the memory are the machine's; what others do on it must not evict a pod.
            "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%", "memory.available": "100Mi"},
            "imageGCHighThresholdPercent": 100,
            "resolvConf": str(self._home / "resolv.conf"),
            "nodeStatusUpdateFrequency": "2s",
            "nodeStatusReportFrequency": "5s",
            "nodeLeaseDurationSeconds": 8,
            "syncFrequency": "5s",
            "maxPods": 60,
        }
