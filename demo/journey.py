"""The story that the demo tells, over the REST APIs only: a maintainer triggers, is refused as approver, an officer approves."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from demo.failure import DemoFailure
from demo.platform import PROJECT
from demo.supervise import Supervisor
from holdfast.client import GovernanceClient
from holdfast.core.errors import HoldfastError, PolicyViolation
from holdfast.core.promotion import PromotionState
from holdfast.wire.model import DecisionRequest, Promotion

DAG = "tumour_classifier"
_RUN_DEADLINE_S = 400
_CALL_TIMEOUT_S = 30
_ENDED = ("success", "failed")

Say = Callable[[str], None]


class NoAnswer(DemoFailure):
    """Airflow's api-server did not answer one call."""


class Airflow:
    """Airflow's REST API, on behalf of one user."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.user = user
        self._http = httpx.Client(base_url=url, timeout=_CALL_TIMEOUT_S, trust_env=False)
        reply = self._send("POST", "/auth/token", {"username": user, "password": password})
        if reply.is_error:
            raise DemoFailure(f"{user} cannot log in to Airflow ({reply.status_code}); `make demo-reset` starts over")
        self.token = str(reply.json()["access_token"])
        self._http.headers["Authorization"] = f"Bearer {self.token}"

    def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise NoAnswer(
                f"Airflow at {self._http.base_url} did not answer {method} {path} ({type(error).__name__});"
                " its log is api-server.log. `make demo` goes on from here"
            ) from error

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return a call's reply; raises DemoFailure that quotes what Airflow says, NoAnswer where it says nothing."""
        reply = self._send(method, f"/api/v2{path}", body)
        if reply.is_error:
            raise DemoFailure(
                f"Airflow refused {method} {path} of {self.user} ({reply.status_code}): {reply.text[:300]}"
            )
        return reply.json()

    def knows(self, dag: str) -> bool:
        """Whether Airflow has read a Dag."""
        return self._send("GET", f"/api/v2/dags/{dag}").is_success

    def import_errors(self) -> str:
        """Return why Dag files could not be read, empty when they could."""
        return "; ".join(
            str(error["stack_trace"]).strip().splitlines()[-1]
            for error in self.call("GET", "/importErrors")["import_errors"]
        )


def trigger(airflow: Airflow, group: Supervisor, source: str) -> str:
    """Trigger the example Dag and return the run id."""
    group.wait_until(f"Airflow's reading of the Dag {DAG}", lambda: airflow.knows(DAG) or _check_import(airflow), 90)
    conf = {"source": source}
    return str(airflow.call("POST", f"/dags/{DAG}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])


def _check_import(airflow: Airflow) -> bool:
    if errors := airflow.import_errors():
        raise DemoFailure(f"Airflow cannot read the example Dag: {errors}")
    return False


def follow(airflow: Airflow, officer: Airflow, api_url: str, run_id: str, group: Supervisor, say: Say) -> Promotion:
    """Follow the DagRun to its end, deciding on its promotion on the way, and return the promotion."""
    seen: dict[str, str] = {}
    decided: Promotion | None = None
    deadline = time.monotonic() + _RUN_DEADLINE_S
    while True:
        group.check()
        if time.monotonic() > deadline:
            raise DemoFailure(
                f"DagRun {run_id} did not end within {_RUN_DEADLINE_S} s; its tasks' logs are in {group.logs / 'tasks'},"
                " and `make demo` tries again"
            )
        try:
            tasks = airflow.call("GET", f"/dags/{DAG}/dagRuns/{run_id}/taskInstances")["task_instances"]
            state = airflow.call("GET", f"/dags/{DAG}/dagRuns/{run_id}")["state"]
        except NoAnswer as slow:
            say(f"slow       {slow}")
            continue
        for task in tasks:
            reached = task["state"] or "none"
            if reached not in ("none", seen.get(task["task_id"])):
                seen[task["task_id"]] = reached
                say(f"{task['task_id']:<10} {reached}")
        if decided is None and seen.get("wait") == "deferred":
            # Not before: the sensor is to wait in the triggerer until somebody decides.
            decided = decide(airflow, officer, api_url, run_id, say)
        if state in _ENDED:
            break
        time.sleep(0.5)
    if state != "success" or decided is None:
        broken = ", ".join(sorted(task for task, end in seen.items() if end == "failed")) or "no task"
        raise DemoFailure(
            f"DagRun {run_id} ended {state}: {broken} failed{_causes(airflow, api_url, run_id)}. The tasks' logs are in"
            f" {group.logs / 'tasks'}; `make demo` tries again"
        )
    return decided


def _causes(airflow: Airflow, api_url: str, run_id: str) -> str:
    """Return why Runs of a DagRun failed, as they have recorded it."""
    try:
        with GovernanceClient(api_url, airflow.token) as governance:
            pipelines = governance.runs.list_pipeline_runs(PROJECT, dag_id=DAG, run_id=run_id).items
            runs = [run for found in pipelines for run in governance.runs.list(PROJECT, pipeline_run=found.id).items]
    except HoldfastError as error:
        return f" (and the record cannot be read: {error})"
    return "".join(f", because: {run.error_class} error, {run.cause}" for run in runs if run.cause)


def _requested_by(governance: GovernanceClient, run_id: str) -> Promotion:
    """Return the promotion whose ModelVersion a Run of this DagRun has made: other DagRuns may have requested one, too."""
    pipeline = governance.runs.list_pipeline_runs(PROJECT, dag_id=DAG, run_id=run_id).items[0]
    runs = {run.id for run in governance.runs.list(PROJECT, pipeline_run=pipeline.id).items}
    for promotion in governance.promotions.list(PROJECT, state=PromotionState.PENDING).items:
        if governance.models.get_version(PROJECT, promotion.model_version).source_run in runs:
            return promotion
    raise DemoFailure(
        f"DagRun {run_id} waits for a decision, and none of its promotions is pending; `make demo` tries again"
    )


def decide(maintainer: Airflow, officer: Airflow, api_url: str, run_id: str, say: Say) -> Promotion:
    """Let the creator try to approve, which is refused, and then the officer."""
    with GovernanceClient(api_url, maintainer.token) as mine, GovernanceClient(api_url, officer.token) as theirs:
        promotion = _requested_by(mine, run_id)
        decision = DecisionRequest(
            decision="approve", evidence_digest=promotion.evidence_digest, reason=f"demo {run_id}"
        )
        try:
            mine.promotions.decide(PROJECT, promotion.id, decision)
        except PolicyViolation as refusal:
            say(f"refused    {refusal.message}")
        else:
            raise DemoFailure("the creator's own approval was not refused; do not trust this installation")
        approved = theirs.promotions.decide(PROJECT, promotion.id, decision)
        say(f"approved   by user:{officer.user}, over evidence {approved.evidence_digest}")
        return approved


def summarise(airflow: Airflow, api_url: str, run_id: str, promotion: Promotion) -> dict[str, Any]:
    """Return what was recorded, read back over the API."""
    with GovernanceClient(api_url, airflow.token) as governance:
        try:
            pipeline = governance.runs.list_pipeline_runs(PROJECT, dag_id=DAG, run_id=run_id).items[0]
            runs = governance.runs.list(PROJECT, pipeline_run=pipeline.id).items[::-1]
            artifacts = {run.task_id: governance.artifacts.list(PROJECT, run=run.id).items for run in runs}
            alias = governance.models.at(PROJECT, promotion.model, promotion.alias)
            events, cursor = 0, None
            while True:
                page = governance.audit.list(PROJECT, limit=500, cursor=cursor)
                events += len(page.items)
                if (cursor := page.next) is None:
                    break
        except HoldfastError as error:
            raise DemoFailure(f"the record cannot be read back: {error}") from error
    return {
        "dag_run": run_id,
        "commit": pipeline.commit,
        "seals": {run.task_id: run.seal for run in runs},
        "observed": {
            run.task_id: {"node": run.observed.node, "image": run.observed.image_digest}
            for run in runs
            if run.observed is not None and run.observed.node
        },
        "artifacts": {f"{task}/{item.name}": item.digest for task, items in artifacts.items() for item in items},
        "model_version": f"{alias.model}/{alias.number}",
        "alias": f"{alias.model}@{alias.alias}",
        "approved_by": alias.approved_by,
        "audit_events": events,
    }
