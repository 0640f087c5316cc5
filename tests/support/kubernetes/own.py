"""A cluster that is made on this machine and gone at the end, with nodes that can be lost."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.debian import require
from tests.support.kubernetes import binary, owner
from tests.support.kubernetes import network as networks
from tests.support.kubernetes.authority import Authority
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.control_plane import ControlPlane
from tests.support.kubernetes.images import Image
from tests.support.kubernetes.network import MAX_NODES, Network, network
from tests.support.kubernetes.node import Node, Surroundings

PACKAGES = {
    "/bin/busybox": "busybox-static",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "containerd": "containerd",
    "ctr": "containerd",
    "etcd": "etcd-server",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "runc": "runc",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
DIRECTORIES = Path("/var/tmp")
_PREFIX = "hf-kube-"
_READY = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
_RENEWED = "jsonpath={.spec.renewTime}"
_DEADLINE_S = 60


class OwnCluster(Cluster):
    """A cluster of this machine.

    Attributes:
        network: which it has.
        nodes: by number, from 1.
    """

    is_own = True

    def __init__(self, root: Path, programs: Path, range_: Network) -> None:
        certificates = root / "certificates"
        for directory in (certificates, root / "logs", root / "registries"):
            directory.mkdir()
        self._registries = root / "registries"
        self._authority = Authority(certificates)
        self.network = range_
        self._plane = ControlPlane(root, programs, self._authority, range_)
        super().__init__(self._plane.admin, range_.host, str(programs / "kubectl"), root)
        self._pause = self.images.pause()
        self._around = Surroundings(
            root, programs, self._authority.certificate, self._registries, range_, self._pause.reference
        )
        self.nodes: dict[int, Node] = {}
        self._loaded: defaultdict[int, set[str]] = defaultdict(set)

    @contextmanager
    def run(self, count: int) -> Iterator[None]:
        """Run while the context is open, with nodes that are ready."""
        for number in range(1, count + 1):
            kubeconfig = self._account(number)
            self.nodes[number] = Node(number, kubeconfig, self._around, list(range(1, count + 1)))
        with ExitStack() as stack, ThreadPoolExecutor(count) as beside:
            for node in self.nodes.values():
                stack.callback(node.kill)
            archive = self._archive(self._pause)
            begun = [beside.submit(self._begin, node, archive) for node in self.nodes.values()]
            try:
                stack.enter_context(self._plane)
            finally:
                for each in begun:
                    each.exception()  # a node that is half up is stopped when it is known how far it got
            for each in begun:
                each.result()
            archive.unlink()
            for node in self.nodes.values():
                node.tell("start kubelet")
            self._wait_until_ready(list(self.nodes))
            yield

    def load(self, image: Image) -> str:
        """Have an image on every node that runs, and return the reference by which a pod runs it without a pull."""
        without = [n for n in self.nodes.values() if n.is_running and image.reference not in self._loaded[n.number]]
        if without:
            archive = self._archive(image)
            with ThreadPoolExecutor(len(without)) as beside:
                list(beside.map(lambda node: node.load(archive), without))
            archive.unlink()
        for node in without:
            self._loaded[node.number].add(image.reference)
        return image.reference

    def kill_node(self, number: int) -> None:
        """Lose a machine at once: all processes, the network, what was mounted; the disk stays."""
        self.nodes[number].kill()

    def start_node(self, number: int) -> None:
        """Start a machine that was lost, with the disk it had; returns when it is ready again."""
        node, lease = self.nodes[number], ("get", "lease", f"node{number}", "--namespace=kube-node-lease")
        node.start()
        before = self.kubectl(*lease, "-o", _RENEWED)
        node.tell("start kubelet")
        # Where the loss was short nobody has noticed it, and the node counts as ready before it is.
        self._poll(f"node{number}'s first sign of life", lambda: self.kubectl(*lease, "-o", _RENEWED) != before, node)
        self._wait_until_ready([number])

    def kill_kubelet(self, number: int) -> None:
        """Lose the kubelet of a node; the pods on it go on."""
        self.nodes[number].tell("kill kubelet")

    def start_kubelet(self, number: int) -> None:
        """Start the kubelet of a node again; it reports when it gets to it."""
        self.nodes[number].tell("start kubelet")

    def stop_apiserver(self) -> None:
        """Have the API server gone; nodes and pods go on."""
        self._plane.stop_apiserver()

    def start_apiserver(self) -> None:
        """Have the API server again, with all that it knew."""
        self._plane.start_apiserver()

    @contextmanager
    def apiserver_halted(self) -> Iterator[None]:
        """Have the API server do nothing while the context is open; its machine still takes what is sent to it."""
        self._plane.signal_apiserver(signal.SIGSTOP)
        try:
            yield
        finally:
            self._plane.signal_apiserver(signal.SIGCONT)

    @contextmanager
    def without_encryption(self, address: str) -> Iterator[None]:
        """Have the nodes pull from a registry over plain HTTP while the context is open."""
        told = self._registries / address
        told.mkdir()
        url = f"http://{address}"
        (told / "hosts.toml").write_text(f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n')
        yield
        shutil.rmtree(told)

    def _account(self, number: int) -> Path:
        name, address = f"node{number}", self.network.node(number)
        self._authority.issue(name, f"system:node:{name}", ("system:nodes",), (address,))
        return self._authority.kubeconfig(name, self._plane.url)

    @staticmethod
    def _begin(node: Node, pause: Path) -> None:
        node.start()
        node.load(pause)

    def _wait_until_ready(self, numbers: list[int]) -> None:
        for number in numbers:
            get = ("get", "node", f"node{number}", "--ignore-not-found", "-o", _READY)
            self._poll(f"node{number} being ready", lambda get=get: self.kubectl(*get) == "True", self.nodes[number])

    def _poll(self, what: str, is_so: Callable[[], bool], concerned: Node) -> None:
        deadline = time.monotonic() + _DEADLINE_S
        while not is_so():
            self._plane.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} did not happen within {_DEADLINE_S} s: {concerned.last_words()}")
            time.sleep(0.1)


@contextmanager
def own_cluster(nodes: int) -> Iterator[OwnCluster]:
    """Yield a cluster of this machine.

    Raises:
        RuntimeError: something that it needs is missing, or did not start; nothing is left behind.
    """
    if not 1 <= nodes <= MAX_NODES:
        raise ValueError(f"a throw-away cluster has 1 to {MAX_NODES} nodes")
    require(PACKAGES)
    programs = binary.programs()
    remove_abandoned()
    root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{owner.mark()}-", dir=DIRECTORIES))
    try:
        with network() as range_:
            cluster = OwnCluster(root, programs, range_)
            with cluster.run(nodes):
                yield cluster
    finally:
        shutil.rmtree(root)


def remove_abandoned() -> None:
    """Take away what clusters have left whose process was killed before it could."""
    networks.remove_abandoned()
    for directory in DIRECTORIES.glob(f"{_PREFIX}*"):
        if owner.is_gone(directory.name.removeprefix(_PREFIX).rpartition("-")[0]):
            shutil.rmtree(directory, ignore_errors=True)  # somebody else may be at it
