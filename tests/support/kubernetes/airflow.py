"""Airflow outside the cluster, whose Runs are executed in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from demo.plane import PROJECT, Plane, data_file

from holdfast.wire.project import ProjectRequest
from holdfast.wire.run import EnvironmentRequest
from tests.support.s3 import REGION

if TYPE_CHECKING:
    from tests.support.kubernetes.data_plane import DataPlane

WORKER = "airflow-worker"
"""Who Airflow is to the cluster: nobody but what a Project's Role allows."""
LANDING = "tumours/"


def on_cluster(plane: DataPlane, image: str) -> Plane:
    """Return the place where an installation's Runs are executed: pods, which know nothing of Airflow.

    Args:
        plane: the cluster and the object store.
        image: what the example's steps run on.
    """
    plane.prepare(PROJECT, workers=(f"user:{WORKER}",))
    kubeconfig = plane.cluster.kubeconfig_for(WORKER)
    connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(kubeconfig)}}
    landing = plane.s3.create_bucket()

    def bring() -> str:
        file = data_file()
        plane.s3.client().put_object(Bucket=landing, Key=f"{LANDING}{file.name}", Body=file.read_bytes())
        return f"s3://{landing}/{LANDING}"

    return Plane(
        project=ProjectRequest(name=PROJECT, owner="tests", data_plane="kubernetes", namespace=PROJECT),
        environment=EnvironmentRequest(name="sklearn", kind="image", reference=image),
        bring=bring,
        store={
            "HOLDFAST_S3_BUCKET": plane.bucket,
            "HOLDFAST_S3_ENDPOINT_URL": plane.s3.url,
            "HOLDFAST_S3_REGION": REGION,
            "HOLDFAST_S3_SOURCES": f"{PROJECT}=s3://{landing}/{LANDING}",
        },
        service=plane.s3.credentials,
        shared={
            "AIRFLOW__HOLDFAST__AGENT_IMAGE": plane.agent,
            # Each task imports for seconds: more of them at a time only starve each other.
            "AIRFLOW__CORE__PARALLELISM": "3",
            # So that a test sees what Airflow otherwise notices after five minutes: a task whose supervisor is gone.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        },
        worker={"AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(connection)},
    )
