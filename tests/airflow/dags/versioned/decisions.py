"""Promotions that are decided otherwise than by an approval, and files that come from elsewhere."""

from airflow.sdk import Param, dag

from holdfast_provider.operators import (
    RegisterArtifactOperator,
    RegisterModelVersionOperator,
    RequestPromotionOperator,
    RunOperator,
)
from holdfast_provider.sensors import PromotionDecisionSensor


@dag(schedule=None, params={"policy": Param("clinical", type="string")}, default_args={"project": "oncology"})
def decisions():
    made = RunOperator(
        task_id="make",
        environment="plain",
        command=["python", "steps/model.py"],
        parameters={"policy": "{{ params.policy }}"},
        outputs={"model": "model.bin", "metrics": "metrics.json"},
    )
    version = RegisterModelVersionOperator(
        task_id="register", model="quick", artifact=made.output["model"], evidence=made.output["metrics"]
    )
    request = RequestPromotionOperator(
        task_id="request", model_version=version.output, alias="champion", policy="{{ params.policy }}"
    )
    # Through a connection that stands in Airflow's database and not in the triggerer's environment.
    PromotionDecisionSensor(
        task_id="wait", promotion=request.output, conn_id="holdfast_stored", poll_interval_s=1, retries=3
    )


@dag(schedule=None, params={"work": Param("", type="string")}, default_args={"project": "oncology"})
def supplied():
    model = RegisterArtifactOperator(
        task_id="model", name="model", source="file://{{ params.work }}/a model.bin", environment="plain"
    )
    papers = RegisterArtifactOperator(
        task_id="papers", name="papers", source="file://{{ params.work }}/papers/", environment="plain"
    )
    RegisterArtifactOperator(
        task_id="mistaken", name="papers", source="file://{{ params.work }}/papers", environment="plain", retries=3
    )
    RegisterModelVersionOperator(
        task_id="register", model="bought", artifact=model.output, evidence=papers.output
    ) >> RunOperator(
        task_id="use", environment="plain", command=["python", "steps/list.py"], inputs={"papers": papers.output}
    )


decisions()
supplied()
