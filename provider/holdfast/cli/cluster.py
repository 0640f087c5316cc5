"""`holdfast cluster`: what a Kubernetes cluster is given for a Project, and whether it is ready for Runs."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.session import Session, group, session_of
from holdfast.cli.show import columns
from holdfast.core.errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    from holdfast.dataplane.kubernetes.cluster import Cluster

commands = group("The Kubernetes cluster: what a Project's namespace holds, and whether Runs can start in it.")

Kubeconfig = Annotated[
    Path | None, typer.Option(help="Kubeconfig file; by default KUBECONFIG, ~/.kube/config, or the pod's own account.")
]


def open_cluster(kubeconfig: Path | None) -> "Cluster":
    """Return the cluster of a kubeconfig; raises InvalidRequest where that leads nowhere."""
    try:
        import yaml
        from kubernetes import config
        from kubernetes.client import ApiClient
    except ImportError:
        raise InvalidRequest("the Kubernetes client is not installed", remedy="Install holdfast[kubernetes]") from None
    from holdfast.dataplane.kubernetes.cluster import Cluster

    try:
        if kubeconfig is None and not _has_default():
            config.load_incluster_config()
            return Cluster(ApiClient())
        return Cluster(config.new_client_from_config(str(kubeconfig) if kubeconfig else None))
    except (config.ConfigException, yaml.YAMLError, OSError, TypeError, ValueError) as error:
        raise InvalidRequest(
            f"no cluster can be reached by kubeconfig {str(kubeconfig or 'KUBECONFIG, ~/.kube/config')!r}: {error}",
            remedy="Give --kubeconfig FILE, a file as kubectl uses it",
        ) from None


def _has_default() -> bool:
    from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION

    return any(Path(path).expanduser().exists() for path in KUBE_CONFIG_DEFAULT_LOCATION.split(":"))


@commands.command()
def manifests(
    context: typer.Context,
    object_store: Annotated[
        list[str], typer.Option(help="Network and port of the object store, 10.0.0.5/32:443; may be given again.")
    ],
    worker: Annotated[
        list[str] | None,
        typer.Option(help="Who runs Airflow's workers: namespace/serviceaccount, or user:NAME; may be given again."),
    ] = None,
    reconciler: Annotated[
        list[str] | None,
        typer.Option(help="Who runs the reconciler: namespace/serviceaccount, or user:NAME; may be given again."),
    ] = None,
    pods: Annotated[int, typer.Option(min=1, help="Pods at one time.")] = 50,
    cpu: Annotated[str, typer.Option(help="CPUs in all.")] = "32",
    memory: Annotated[str, typer.Option(help="Memory in all.")] = "128Gi",
    storage: Annotated[str, typer.Option(help="Scratch space on the nodes' disks in all.")] = "512Gi",
) -> None:
    """Print what the Project's namespace holds, and what the cluster refuses in it; for `kubectl apply -f -`."""
    from holdfast.dataplane.kubernetes.namespace import (
        Egress,
        NamespaceSettings,
        Quota,
        admission_documents,
        namespace_documents,
    )

    session = session_of(context)
    settings = NamespaceSettings(
        session.named_project,
        _namespace(session),
        tuple(Egress.parse(text) for text in object_store),
        tuple(worker or ()),
        Quota(pods, cpu, memory, storage),
        tuple(reconciler or ()),
    )
    items = [*admission_documents(), *namespace_documents(settings)]
    session.present.document({"apiVersion": "v1", "kind": "List", "items": items})


@commands.command()
def check(context: typer.Context, kubeconfig: Kubeconfig = None) -> None:
    """Ask the cluster whether Runs of the Project can start in it; nothing is made."""
    from holdfast.dataplane.kubernetes.preflight import preflight

    session = session_of(context)
    cluster, namespace = open_cluster(kubeconfig), _namespace(session)
    findings = list(preflight(cluster, session.named_project, namespace, datetime.now(UTC)))
    session.present.rows(findings, columns("check", "ok", "says"), {"findings": [asdict(found) for found in findings]})
    if wrong := [finding.check for finding in findings if not finding.ok]:
        raise Unavailable(
            f"namespace {namespace!r} is not ready for Runs: {', '.join(wrong)}", remedy="Mend what is listed above"
        )


def _namespace(session: Session) -> str:
    with session.governance() as governance:
        project = governance.projects.get(session.named_project)
    if not project.namespace:
        raise InvalidRequest(
            f"Project {project.name!r} has no namespace", remedy="Make Projects for Kubernetes with --namespace"
        )
    return project.namespace
