"""What Airflow does not take: Dags of production Projects that could not be audited, each with the rule that it breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from demo.platform import PROJECT

from tests.support.airflow import VAULT

if TYPE_CHECKING:
    from tests.support.airflow import Installation


@pytest.mark.parametrize(
    ("bundle", "file", "rule", "message"),
    [
        ("loose", "vault_loose.py", "dag.versioned-bundle", "comes from a bundle without versions"),
        ("versioned", "vault_floating.py", "dag.versioned-bundle", "comes from a bundle without versions"),
        ("versioned", "vault_unbound.py", "run.inputs-bound", "task 'train' of Dag 'vault_unbound' runs in production"),
        ("versioned", "vault_mapped.py", "run.outputs-bound", "task 'train' of Dag 'vault_mapped' runs in production"),
        ("versioned", "vault_unnamed.py", "dag.project-named", "does not name its Project"),
    ],
)
def test_a_dag_of_a_production_project_is_refused_by_the_rule_it_breaks(
    place: Installation, bundle: str, file: str, rule: str, message: str
) -> None:
    def errors() -> list[str]:
        found = place.airflow().call("GET", "/importErrors")["import_errors"]
        return [error["stack_trace"] for error in found if (error["bundle_name"], error["filename"]) == (bundle, file)]

    place.until(f"the import error of {file}", errors)
    [text] = errors()
    assert "AirflowClusterPolicyViolation" in text
    assert message in text
    assert f"(rule {rule})" in text
    assert not place.airflow().knows(file.removesuffix(".py"))
    # The connection's token is for another Project than the Dag names, so that is where it is on record.
    dag = file.removesuffix(".py")
    place.until(
        f"the record of {file}", lambda: place.admin.audit.list(PROJECT, action="dag.refused", target=dag).items
    )
    [event] = place.admin.audit.list(PROJECT, action="dag.refused", target=dag).items
    assert (event.outcome, event.content["rule"], event.content["file"]) == (
        "refused",
        rule,
        file,
    )
    assert event.initiator.startswith("token:")
    assert message in event.reason


def test_only_those_dags_are_refused(place: Installation, begun: dict[str, str]) -> None:
    files = {error["filename"] for error in place.airflow().call("GET", "/importErrors")["import_errors"]}
    assert {name for name in files if not name.startswith("vault_")} == set()
    assert "vault_bound.py" not in files


def test_a_dag_from_git_with_everything_bound_is_taken_and_the_api_has_the_last_word(
    place: Installation, begun: dict[str, str]
) -> None:
    run_id = begun["vault"]
    place.check_end("vault_bound", run_id, "failed")
    tasks = place.tasks("vault_bound", run_id)
    assert tasks["ingest"]["state"] == "success"
    interpreter = tasks["interpreter"]
    assert (interpreter["state"], interpreter["try_number"], interpreter["max_tries"]) == ("failed", 1, 3)
    assert "Rule run.environment-digest v1" in place.log("vault_bound", run_id, "interpreter")
    # Everything that a production Project asks for is bound here; what is missing is the agent, and the Run says so.
    pipeline_run = place.pipeline_run("vault_bound", run_id, VAULT)
    [run] = place.admin.runs.list(VAULT, pipeline_run=pipeline_run.id).items
    assert (run.task_id, run.state, run.error_class) == ("image", "failed", "platform")
    assert run.cause.startswith("this installation does not say which image the agent is. Set agent_image")
    assert run.code.commit == pipeline_run.commit
