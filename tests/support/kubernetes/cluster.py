"""What every cluster offers to tests, whoever made it: by its API alone."""

from __future__ import annotations

import base64
import secrets
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from kubernetes import client, config

from tests.support.kubernetes.authority import Key, subject, write_kubeconfig
from tests.support.kubernetes.images import Image, Images

_DEADLINE_S = 30


class Cluster:
    """A running cluster.

    Attributes:
        kubeconfig: the path of the file with which one may do everything.
        host: the address of this machine at which pods reach a server that listens on it.
        images: makes what pods run.
        kubectl_path: the program.
        is_own: whether its nodes and its API server can be lost.
    """

    is_own = False

    def __init__(self, kubeconfig: Path, host: str, kubectl: str, root: Path) -> None:
        self.kubeconfig, self.host = kubeconfig, host
        self.kubectl_path, self._root = kubectl, root
        (root / "images").mkdir()
        self.images = Images(root / "images")

    def kubectl(self, *arguments: str, input: str | None = None, kubeconfig: Path | None = None) -> str:  # noqa: A002 - as in subprocess
        """Run kubectl as the administrator, or as somebody else, and return what it prints.

        Raises:
            RuntimeError: it failed; the message is its own.
        """
        done = subprocess.run(
            [self.kubectl_path, f"--kubeconfig={kubeconfig or self.kubeconfig}", *arguments],
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    def api(self, kubeconfig: Path | None = None) -> client.ApiClient:
        """Return a client of the administrator, or of somebody else."""
        return config.new_client_from_config(str(kubeconfig or self.kubeconfig))

    def load(self, image: Image) -> str:
        """Have an image on every node, and return the reference by which a pod runs it without a pull."""
        raise NotImplementedError

    def kubeconfig_for(self, user: str, groups: tuple[str, ...] = ()) -> Path:
        """Return the kubeconfig of a user, whom the cluster itself signs a certificate."""
        key, name = Key(), f"user-{secrets.token_hex(4)}"
        wanted = x509.CertificateSigningRequestBuilder().subject_name(subject(user, groups))
        request = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {
                "request": base64.b64encode(
                    wanted.sign(key.private, hashes.SHA256()).public_bytes(Encoding.PEM)
                ).decode(),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth"],
            },
        }
        self.kubectl("create", "-f", "-", input=yaml.safe_dump(request))
        self.kubectl("certificate", "approve", name)
        deadline = time.monotonic() + _DEADLINE_S
        while not (signed := self.kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}")):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the cluster did not sign a certificate for {user} within {_DEADLINE_S} s")
            time.sleep(0.1)
        self.kubectl("delete", "csr", name)
        key_data = base64.b64encode(key.pem).decode()
        return self._access(name, {"client-certificate-data": signed, "client-key-data": key_data})

    def kubeconfig_for_service_account(self, namespace: str, name: str) -> Path:
        """Return the kubeconfig of a service account, with a token for an hour."""
        token = self.kubectl("create", "token", name, f"--namespace={namespace}", "--duration=1h").strip()
        return self._access(f"account-{secrets.token_hex(4)}", {"token": token})

    def _access(self, name: str, user: dict[str, Any]) -> Path:
        view = yaml.safe_load(self.kubectl("config", "view", "--raw", "--minify", "--flatten"))
        return write_kubeconfig(self._root / f"{name}.kubeconfig", view["clusters"][0]["cluster"], user)

    def _archive(self, image: Image) -> Path:
        with tempfile.NamedTemporaryFile(dir=self._root, suffix=".tar", delete=False) as file:
            target = Path(file.name)
        image.write_archive(target)
        return target
