"""The programs of Kubernetes: one binary, built once from the Go modules that `kubernode/go.mod` locks."""

from __future__ import annotations

from pathlib import Path

from tests.support.go_program import GoProgram

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")
_STAMP = "k8s.io/component-base/version"
_KUBERNETES = GoProgram(
    "Kubernetes",
    Path(__file__).parent / "kubernode",
    "k8s.io/kubernetes",
    PROGRAMS,
    f"-X {_STAMP}.gitVersion={{version}} -X {_STAMP}.gitMajor={{major}} -X {_STAMP}.gitMinor={{minor}}",
    ", or name a cluster by HOLDFAST_TEST_KUBECONFIG",
)


def programs() -> Path:
    """Return the directory in which every program of PROGRAMS is.

    Raises:
        RuntimeError: there is no Go, or the build failed; nothing is kept then.
    """
    return _KUBERNETES.directory()


if __name__ == "__main__":
    print(f"Kubernetes is in {programs()}")
