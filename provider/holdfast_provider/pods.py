"""Runs on Kubernetes as Airflow knows the cluster: its connection, its labels, and what the site gives every pod."""

import logging
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import yaml
from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException
from kubernetes.config import ConfigException

from holdfast.core.errors import InvalidRequest
from holdfast.core.run import ErrorClass, RunState, is_terminal
from holdfast.dataplane.kubernetes.cluster import Cluster, Pod
from holdfast.dataplane.kubernetes.manifest import USER, PodSettings
from holdfast.dataplane.kubernetes.run import BRIEF_S, PodRun
from holdfast.dataplane.plane import StepFailed
from holdfast.dataplane.record import RunRecord
from holdfast.ports import Governance
from holdfast.wire.run import Run
from holdfast_provider.execution import as_ending
from holdfast_provider.hooks.holdfast import HoldfastHook

logger = logging.getLogger(__name__)


def pod_operator(manifest: Pod, kubernetes_conn_id: str) -> KubernetesPodOperator:
    """Return the KubernetesPodOperator that would make a Run's pod: its labels, and the site's own hooks, are Airflow's."""
    return KubernetesPodOperator(
        task_id=manifest["metadata"]["name"],
        full_pod_spec=PodGenerator.deserialize_model_dict(manifest),
        kubernetes_conn_id=kubernetes_conn_id,
        base_container_name=USER,
        automount_service_account_token=False,
        random_name_suffix=False,
        durable=False,
        log_pod_spec_on_failure=False,
        on_finish_action="keep_pod",
    )


def pod_run(
    governance: Governance,
    project: str,
    run: Run,
    kubernetes_conn_id: str,
    log: Callable[[str], None],
    context: Any = None,
    *,
    output: Callable[[str], None] = lambda _: None,
    probe: Callable[[str], None] = lambda _: None,
    try_number: int | None = None,
) -> PodRun:
    """Return a Run on the cluster that an Airflow connection leads to, whose command is waited for briefly.

    Raises:
        StepFailed: class platform; the installation lacks something. A Run that nothing has been done for yet has failed.
    """
    try:
        settings = settings_of(governance, project, conf.get("holdfast", "agent_image", fallback=""))
        core = core_of(kubernetes_conn_id)
    except InvalidRequest as error:
        failure = StepFailed(ErrorClass.PLATFORM, error.message, error.remedy)
        if run.fence is None and not is_terminal(run.state):
            RunRecord(governance, project, run, log).fail(failure, None)
        raise failure from None

    def dress(manifest: Pod) -> Pod:
        built = pod_operator(manifest, kubernetes_conn_id).build_pod_request_obj(context)
        return cast("Pod", core.api_client.sanitize_for_serialization(built))

    return PodRun(
        governance,
        project,
        run,
        Cluster(core.api_client),
        settings,
        log,
        dress=dress,
        output=output,
        brief_s=BRIEF_S,
        as_ending=as_ending,
        probe=probe,
        try_number=try_number,
    )


def cancel_run(conn_id: str, kubernetes_conn_id: str, project: str, run: str, try_number: int) -> None:
    """End a Run on Kubernetes whose task somebody has marked or cleared in this try, and record it as canceled."""
    with HoldfastHook(conn_id).get_conn() as governance:
        found = governance.runs.get(project, UUID(run))
        # Where the mark stands on record already, its pod is still to go.
        if found.state is RunState.CANCELED or not is_terminal(found.state):
            pod_run(governance, project, found, kubernetes_conn_id, logger.info, try_number=try_number).cancel()


def core_of(kubernetes_conn_id: str) -> Any:
    """Return the client of the cluster that an Airflow connection leads to; raises InvalidRequest where it leads nowhere."""
    try:
        return KubernetesHook(conn_id=kubernetes_conn_id).core_v1_client
    except (AirflowException, ConfigException, OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise InvalidRequest(
            f"the Kubernetes connection {kubernetes_conn_id!r} leads to no cluster: {str(error)[:300]}",
            remedy="Give it a kubeconfig, or run Airflow in the cluster and set in_cluster",
        ) from None


def settings_of(governance: Governance, project: str, agent_image: str | None) -> PodSettings:
    """Return where a Project's pods run and with which agent.

    Raises:
        InvalidRequest: the Project has no namespace, or the installation does not say which image the agent is.
    """
    namespace = governance.projects.get(project).namespace
    if not namespace:
        raise InvalidRequest(
            f"Project {project!r} has no namespace", remedy="A Platform Owner makes Projects with --namespace"
        )
    if not agent_image:
        raise InvalidRequest(
            "this installation does not say which image the agent is",
            remedy="Set agent_image in section holdfast of Airflow's configuration, by digest",
        )
    return PodSettings(namespace, agent_image)
