"""How PipelineRuns end, and whose callbacks hear of it."""

from pathlib import Path

from airflow.sdk import DAG, Param, dag

from holdfast_provider.operators import RunOperator

SAY = {"project": "oncology", "environment": "plain", "command": ["python", "steps/say.py"]}
FAIL = {"project": "oncology", "environment": "plain", "command": ["python", "-c", "raise SystemExit(1)"]}


def leave_a_note(context):
    """Stand for whatever a team does when its Dag ends."""
    Path(context["params"]["work"], "note").write_text(f"{context['run_id']} {context['reason']}")


@dag(schedule=None, params={"work": Param("", type="string")}, on_success_callback=leave_a_note)
def heard():
    RunOperator(task_id="single", parameters={"word": "well"}, outputs={"said": "said.txt"}, **SAY)


@dag(schedule=None)
def partial():
    broken = RunOperator(task_id="broken", **FAIL)
    last = RunOperator(
        task_id="last", parameters={"word": "so"}, outputs={"said": "said.txt"}, trigger_rule="all_done", **SAY
    )
    broken >> last


heard()
partial()

# Its Run is recorded by way of an API that is gone when the DagRun ends.
with DAG("unheard", schedule=None, params={"work": Param("", type="string")}):
    RunOperator(
        task_id="single",
        project="oncology",
        conn_id="holdfast_flaky",
        environment="plain",
        command=["python", "steps/say.py"],
        parameters={"word": "hush"},
        outputs={"said": "said.txt"},
    ) >> RunOperator(
        task_id="last",
        project="oncology",
        environment="plain",
        command=["python", "steps/await.py"],
        parameters={"work": "{{ params.work }}"},
    )
