"""The same command in the same image twice: as a Run, and in a pod of Airflow's own operator."""

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import Param, dag

from holdfast_provider.operators import RunOperator

COMMAND = {"command": Param([], type="array")}
MANY = {"schedule": None, "max_active_runs": 500, "render_template_as_native_obj": True}
STEP = {"task_id": "step", "project": "oncology", "environment": "sklearn"}


@dag(params=COMMAND, **MANY)
def made():
    RunOperator(command="{{ params.command }}", outputs={"out": "out.txt"}, **STEP)


@dag(params={**COMMAND, "data": Param({}, type="object")}, **MANY)
def recorded():
    RunOperator(
        command="{{ params.command }}", inputs={"data": "{{ params.data }}"}, outputs={"out": "out.txt"}, **STEP
    )


@dag(params={**COMMAND, "image": Param("", type="string")}, **MANY)
def plain():
    KubernetesPodOperator(
        task_id="step",
        namespace="plain",
        image="{{ params.image }}",
        image_pull_policy="IfNotPresent",
        cmds="{{ params.command }}",
        kubernetes_conn_id="kubernetes_default",
        deferrable=True,
        automount_service_account_token=False,
    )


made()
recorded()
plain()
