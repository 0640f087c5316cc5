"""The control plane of a throw-away cluster: etcd, API server, controller manager and scheduler, as processes of this machine."""

from __future__ import annotations

import os
import signal
import ssl
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from demo.supervise import Supervisor

from tests.support.kubernetes.authority import Authority, Key
from tests.support.kubernetes.network import Network
from tests.support.server import free_ports

_DEADLINE_S = 60
# A node that says nothing for ten seconds is lost, and its pods are evicted five seconds later, so that a test sees it happen.
_GRACE = "10s"
_TOLERATION_S = 5


class ControlPlane:
    """Runs while it is entered.

    Attributes:
        url: of the API server.
        admin: the kubeconfig of one who may do everything.
    """

    def __init__(self, root: Path, programs: Path, authority: Authority, network: Network) -> None:
        self._root, self._programs, self._authority, self._network = root, programs, authority, network
        self._etcd, self._peer, self._port = free_ports(3)
        self.url = f"https://{network.host}:{self._port}"
        self.admin = self._account("admin", "admin", "system:masters")
        self._stack = ExitStack()
        self._api = Supervisor(root / "logs")
        self._others = Supervisor(root / "logs")

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # They hold nothing that is needed again, and would take their time to end politely.
            stack.callback(_kill, self._others)
            stack.callback(self.stop_apiserver)
            _start(self._others, "etcd", self._etcd_command())
            self.start_apiserver()
            for name, command in self._managers().items():
                _start(self._others, name, command)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_apiserver(self) -> None:
        """Start the API server and return when it is ready."""
        self._api = Supervisor(self._root / "logs")
        _start(self._api, "kube-apiserver", self._api_command())
        self._api.wait_until("the API server's start", self._is_ready, _DEADLINE_S)

    def stop_apiserver(self) -> None:
        """Have the API server gone, at once."""
        _kill(self._api)

    def signal_apiserver(self, number: signal.Signals) -> None:
        """Give the API server's process a signal."""
        for pid in self._api.pids.values():
            os.kill(pid, number)

    def check(self) -> None:
        """Return while etcd and the managers run; raises DemoFailure otherwise."""
        self._others.check()

    def _account(self, name: str, user: str, *groups: str) -> Path:
        self._authority.issue(name, user, groups)
        return self._authority.kubeconfig(name, self.url)

    def _is_ready(self) -> bool:
        # Health is told to anybody; who it is that answers does not matter here.
        context = ssl.create_default_context(cafile=str(self._authority.certificate))
        try:
            with urlopen(f"{self.url}/readyz", timeout=2, context=context) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False

    def _etcd_command(self) -> list[str]:
        clients, peers = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peer}"
        return [
            "etcd",
            f"--data-dir={self._root / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",
        ]

    def _api_command(self) -> list[str]:
        certificates = self._root / "certificates"
        self._service_account_key(certificates)
        return [
            str(self._programs / "kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{self._etcd}",
            f"--bind-address={self._network.host}",
            f"--advertise-address={self._network.host}",
            f"--secure-port={self._port}",
            f"--tls-cert-file={certificates / 'apiserver.crt'}",
            f"--tls-private-key-file={certificates / 'apiserver.key'}",
            f"--client-ca-file={self._authority.certificate}",
            f"--service-account-key-file={certificates / 'accounts.pub'}",
            f"--service-account-signing-key-file={certificates / 'accounts.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={self._network.services}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--default-not-ready-toleration-seconds={_TOLERATION_S}",
            f"--default-unreachable-toleration-seconds={_TOLERATION_S}",
            f"--kubelet-client-certificate={certificates / 'admin.crt'}",
            f"--kubelet-client-key={certificates / 'admin.key'}",
            f"--kubelet-certificate-authority={self._authority.certificate}",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _service_account_key(self, certificates: Path) -> None:
        if (certificates / "accounts.pub").exists():
            return
        self._authority.issue("apiserver", "kube-apiserver", addresses=(self._network.host,))
        key = Key()
        (certificates / "accounts.key").touch(0o600)
        (certificates / "accounts.key").write_bytes(key.pem)
        (certificates / "accounts.pub").write_bytes(key.public_pem)

    def _managers(self) -> dict[str, list[str]]:
        certificates = self._root / "certificates"
        controllers = self._account("controllers", "system:kube-controller-manager")
        scheduler = self._account("scheduler", "system:kube-scheduler")
        return {
            "kube-controller-manager": [
                str(self._programs / "kube-controller-manager"),
                *_access(controllers),
                f"--service-account-private-key-file={certificates / 'accounts.key'}",
                f"--root-ca-file={self._authority.certificate}",
                f"--cluster-signing-cert-file={self._authority.certificate}",
                f"--cluster-signing-key-file={self._authority.key}",
                "--use-service-account-credentials=true",
                "--node-monitor-period=1s",
                f"--node-monitor-grace-period={_GRACE}",
                "--node-startup-grace-period=30s",
            ],
            "kube-scheduler": [str(self._programs / "kube-scheduler"), *_access(scheduler)],
        }


def _access(kubeconfig: Path) -> list[str]:
    options = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [*(f"--{option}={kubeconfig}" for option in options), "--leader-elect=false", "--secure-port=0"]


def _start(group: Supervisor, name: str, command: list[str]) -> None:
    # Killed when this process is: asked to end, an API server waits a minute for an etcd that has gone as well.
    group.start(name, ["setpriv", "--pdeathsig", "KILL", *command], os.environ)


def _kill(group: Supervisor) -> None:
    for pid in group.pids.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    group.stop()
