"""From a data set to a promoted model: ingest, train, evaluate, register, request, a decision by somebody else, promote."""

from airflow.sdk import Param, dag

from holdfast_provider.operators import (
    PromoteModelOperator,
    RegisterDatasetVersionOperator,
    RegisterModelVersionOperator,
    RequestPromotionOperator,
    RunOperator,
)
from holdfast_provider.sensors import PromotionDecisionSensor


@dag(
    schedule=None,
    default_args={"project": "oncology"},
    params={
        "source": Param("file:///srv/landing/tumours", type="string"),
        "max_depth": Param(4, type="integer", minimum=1),
    },
    tags=["holdfast", "example"],
)
def tumour_classifier():
    data = RegisterDatasetVersionOperator(task_id="ingest", dataset="tumours", source="{{ params.source }}")
    train = RunOperator(
        task_id="train",
        environment="sklearn",
        command=["python", "steps/train.py"],
        inputs={"data": data.output},
        parameters={"max_depth": "{{ params.max_depth }}"},
        outputs={"model": "model.skops", "metrics": "metrics.json"},
        retries=2,
    )
    evaluate = RunOperator(
        task_id="evaluate",
        environment="sklearn",
        command=["python", "steps/evaluate.py"],
        inputs={"model": train.output["model"], "data": data.output},
        outputs={"report": "report.json", "metrics": "metrics.json", "plots": "plots/"},
        retries=2,
    )
    version = RegisterModelVersionOperator(
        task_id="register", model="tumours", artifact=train.output["model"], evidence=evaluate.output["report"]
    )
    request = RequestPromotionOperator(
        task_id="request", model_version=version.output, alias="champion", policy="clinical"
    )
    decision = PromotionDecisionSensor(task_id="wait", promotion=request.output)
    decision >> PromoteModelOperator(task_id="promote", promotion=request.output)


tumour_classifier()
