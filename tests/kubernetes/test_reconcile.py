"""The reconciler on a real cluster: each rule seen, each lie caught, and the same end wherever it is killed."""

from __future__ import annotations

import copy
import json
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from holdfast.core.access import Caller, Role
from holdfast.core.errors import InvalidRequest, StateConflict
from holdfast.core.reconcile import Action, Rule
from holdfast.core.run import ErrorClass, RunState, idempotency_key
from holdfast.dataplane.kubernetes.cluster import Cluster
from holdfast.dataplane.kubernetes.manifest import QUARANTINED_ANNOTATION, QUARANTINED_LABEL, manifest_of
from holdfast.ops.reconcile.apply import apply
from holdfast.ops.reconcile.plan import plan
from holdfast.settings import Platform
from holdfast.wire.project import ProjectRequest, RoleBindingRequest
from holdfast.wire.reconcile import GracePeriods, ItemOutcome, ReconcilePlan
from holdfast.wire.run import PipelineRunRequest, Run, RunRequest
from tests.cli.conftest import Cli
from tests.support.kubernetes.data_plane import DataPlane
from tests.support.kubernetes.project import KubernetesProject
from tests.support.server import serve

AT_ONCE = GracePeriods(start_s=0, settle_s=0, quarantine_s=900)
WRITE = "import os; open(os.environ['HOLDFAST_OUTPUTS'] + '/model.bin', 'wb').write(b'a model')"
SLEEP = ("python", "-c", "import time; time.sleep(3600)")
LATER = timedelta(minutes=16)


@pytest.fixture
def project(platform: Platform, plane: DataPlane, tmp_path: Any) -> KubernetesProject:
    """A Project for each test: what is quarantined in one is not looked at in another."""
    return KubernetesProject.make(platform, plane, tmp_path)


def planned(
    project: KubernetesProject, after: timedelta = timedelta(), graces: GracePeriods = AT_ONCE, **more: Any
) -> ReconcilePlan:
    found = project.governance.projects.get(project.name)
    governance, cluster = more.pop("governance", project.governance), more.pop("cluster", project.cluster)
    now = datetime.now(UTC) + after
    return plan(governance, cluster, [found], now, agent_images=[project.plane.agent], graces=graces, **more)


def applied(project: KubernetesProject, made: ReconcilePlan, **more: Any) -> list[ItemOutcome]:
    governance, cluster = more.pop("governance", project.governance), more.pop("cluster", project.cluster)
    return list(apply(governance, cluster, made, made.made_at, **more))


def reconciled(project: KubernetesProject, after: timedelta = timedelta(), **more: Any) -> list[ItemOutcome]:
    return applied(project, planned(project, after), **more)


def decided(made: ReconcilePlan) -> set[tuple[Action, Rule]]:
    return {(item.action, item.rule) for item in made.items}


def became(outcomes: list[ItemOutcome]) -> set[str]:
    return {f"{outcome.item.action} {outcome.became}" for outcome in outcomes}


def events(project: KubernetesProject, uid: str) -> list[Any]:
    return list(reversed(project.governance.audit.list(project.name, target=uid).items))


def forge(project: KubernetesProject, run: Run, **changes: Any) -> dict[str, Any]:
    """Make, as the cluster's administrator, a pod that looks like a Run's but for what is changed."""
    manifest = copy.deepcopy(manifest_of(run, project.settings))
    manifest["metadata"] |= changes.get("metadata", {})
    manifest["metadata"]["labels"] |= changes.get("labels", {})
    manifest["spec"]["containers"][0] |= changes.get("user", {})
    made = project.cluster.create_pod(manifest)
    assert made is not None
    return made


def until_gone(project: KubernetesProject, name: str) -> None:
    deadline = time.monotonic() + 60
    while project.cluster.find_pod(project.name, name) is not None:
        assert time.monotonic() < deadline, f"pod {name} does not go"
        time.sleep(0.1)


def tried(project: KubernetesProject, *command: str) -> Callable[[int], Run]:
    """Return what creates the Run of a try of one and the same task."""
    run_id = secrets.token_hex(6)
    pipeline_run = project.governance.runs.create_pipeline_run(
        project.name, PipelineRunRequest(dag_id="tests", run_id=run_id)
    )

    def create(number: int) -> Run:
        request = RunRequest(
            idempotency_key=idempotency_key("tests", run_id, "step", -1, number),
            pipeline_run=pipeline_run.id,
            task_id="step",
            try_number=number,
            environment="python",
            command=list(command),
        )
        return project.governance.runs.create(project.name, request)

    return create


def test_a_pod_of_no_run_is_quarantined_and_then_removed_and_on_record_before_it_is_touched(
    project: KubernetesProject,
) -> None:
    run = project.create(*SLEEP)
    ghost = forge(project, run, metadata={"name": f"run-{uuid4()}"})
    other = forge(project, run, metadata={"name": "miner"}, labels={"holdfast/project": project.name})
    seen: list[tuple[str, int, int]] = []

    def look(point: str) -> None:
        for pod in (ghost, other):
            found = project.cluster.find_pod(project.name, pod["metadata"]["name"])
            marked = int(found is None or QUARANTINED_LABEL in found["metadata"]["labels"])
            seen.append((point, len(events(project, pod["metadata"]["uid"])), marked))

    made = planned(project, graces=GracePeriods())
    assert decided(made) == {(Action.QUARANTINE, Rule.POD_OF_NO_RUN)}
    assert became(applied(project, made, probe=look)) == {"quarantine done"}

    assert all(recorded >= marked for _, recorded, marked in seen)
    assert planned(project, graces=GracePeriods()).items == []
    later = planned(project, LATER, GracePeriods())
    assert {item.rule for item in later.items if item.pod} == {Rule.POD_QUARANTINE_OVER}
    assert became([outcome for outcome in applied(project, later) if outcome.item.pod]) == {"remove done"}
    for pod in (ghost, other):
        until_gone(project, pod["metadata"]["name"])
        quarantined, removed = events(project, pod["metadata"]["uid"])
        assert (quarantined.action, removed.action) == ("pod.quarantined", "pod.removed")
        assert quarantined.content["name"] == pod["metadata"]["name"]
        assert quarantined.content["namespace"] == project.name
        assert quarantined.content["rule"] == "pod.of-no-run"


def test_a_pod_with_a_runs_name_and_labels_and_another_uid_cannot_end_it(project: KubernetesProject) -> None:
    run = project.create(*SLEEP)
    project.begin(run)
    project.cluster.delete_pod(project.name, f"run-{run.id}", str(project.found(run).fence))
    until_gone(project, f"run-{run.id}")
    forged = forge(project, run)

    made = planned(project)

    assert decided(made) == {
        (Action.QUARANTINE, Rule.POD_NOT_UNDER_THE_FENCE),
        (Action.FAIL, Rule.RUN_POD_GONE),
    }
    assert became(applied(project, made)) == {"quarantine done", "fail done"}
    ended = project.found(run)
    assert (ended.state, ended.error_class) == (RunState.FAILED, ErrorClass.PLATFORM)
    assert "another pod has its name" in str(ended.cause)
    assert [event.action for event in events(project, forged["metadata"]["uid"])] == ["pod.quarantined"]


@pytest.mark.parametrize("change", ["command", "image"])
def test_a_pod_that_somebody_else_made_first_under_the_runs_name_is_quarantined(
    change: str, project: KubernetesProject
) -> None:
    run = project.create(*SLEEP)
    forge(project, run, user={"command": ["true"]} if change == "command" else {"image": project.plane.agent})

    made = planned(project, graces=GracePeriods())
    assert decided(made) == {(Action.QUARANTINE, Rule.POD_NOT_AS_MADE)}
    applied(project, made)

    assert project.found(run).state is RunState.CREATED
    assert decided(planned(project)) == {(Action.FAIL, Rule.RUN_NEVER_STARTED)}


def test_a_pod_with_the_label_of_another_project_is_quarantined_and_its_run_fails(project: KubernetesProject) -> None:
    run = project.create(*SLEEP)
    project.begin(run)
    project.plane.cluster.kubectl(
        "label", "pod", f"run-{run.id}", "holdfast/project=elsewhere", "--overwrite", f"--namespace={project.name}"
    )

    made = planned(project)

    assert decided(made) == {(Action.QUARANTINE, Rule.POD_OF_ANOTHER_PROJECT), (Action.FAIL, Rule.RUN_POD_CHANGED)}
    applied(project, made)
    assert project.found(run).error_class is ErrorClass.POLICY
    # What lied is kept for somebody to look at, though its Run has ended.
    assert planned(project).items == []


def test_a_run_that_ended_well_and_that_nobody_ends_is_completed_once_however_many_do_it(
    project: KubernetesProject,
) -> None:
    run = project.create("python", "-c", WRITE, outputs={"model": "model.bin"})
    operator = project.begin(run)
    project.until_moved(run)
    assert planned(project, graces=GracePeriods()).items == []

    made = planned(project)
    assert decided(made) == {(Action.COMPLETE, Rule.RUN_ENDED_WELL)}
    with ThreadPoolExecutor(3) as beside:
        task = beside.submit(operator.end)
        passes = [beside.submit(applied, project, made, cluster=project.cluster) for _ in range(2)]
        assert task.result().state is RunState.SUCCEEDED
        for each in passes:
            assert became(each.result()) <= {"complete done", "complete moot"}

    assert project.found(run).state is RunState.SUCCEEDED
    artifacts = project.governance.artifacts.list(project.name, run=run.id).items
    assert [artifact.name for artifact in artifacts] == ["model"]
    finished = project.governance.audit.list(project.name, action="run.finished", target=str(run.id)).items
    assert len(finished) == 1


def test_an_unknown_run_that_ended_well_is_completed_without_waiting(project: KubernetesProject) -> None:
    create = tried(project, "python", "-c", "pass")
    run = create(1)
    project.begin(run)
    project.until_moved(run)
    create(2)
    assert project.found(run).state is RunState.UNKNOWN

    made = planned(project, graces=GracePeriods())

    assert decided(made) == {(Action.COMPLETE, Rule.RUN_ENDED_WELL)}
    assert became(applied(project, made)) == {"complete done"}
    assert project.found(run).state is RunState.SUCCEEDED


def test_a_run_whose_command_failed_fails_with_its_class(project: KubernetesProject) -> None:
    run = project.create("python", "-c", "raise SystemExit(3)")
    project.begin(run)
    project.until_moved(run)

    assert became(reconciled(project)) == {"fail done"}

    ended = project.found(run)
    assert (ended.error_class, ended.exit_code) == (ErrorClass.USER, 3)


def test_a_run_whose_pod_was_deleted_fails_and_says_that_its_outputs_are_lost(project: KubernetesProject) -> None:
    run = project.create(*SLEEP)
    project.begin(run)
    assert planned(project).items == []
    project.cluster.delete_pod(project.name, f"run-{run.id}", str(project.found(run).fence))
    until_gone(project, f"run-{run.id}")

    made = planned(project)
    assert decided(made) == {(Action.FAIL, Rule.RUN_POD_GONE)}
    applied(project, made)

    ended = project.found(run)
    assert (ended.state, ended.error_class) == (RunState.FAILED, ErrorClass.PLATFORM)
    assert "its outputs" in str(ended.cause)


def test_a_finished_pod_is_removed_only_after_its_run_is_on_record(project: KubernetesProject) -> None:
    run = project.create("python", "-c", "pass")
    pod_run = project.begin(run)
    project.until_moved(run)
    assert not [item for item in planned(project).items if item.action is Action.REMOVE]
    pod_run.end()

    made = planned(project)

    assert decided(made) == {(Action.REMOVE, Rule.POD_OF_ENDED_RUN)}
    assert became(applied(project, made)) == {"remove done"}
    until_gone(project, f"run-{run.id}")
    removed = events(project, str(project.found(run).fence))
    assert [event.action for event in removed] == ["pod.removed"]
    assert removed[0].content["run"] == str(run.id)
    assert became(applied(project, made)) == {"remove moot"}


@pytest.mark.parametrize("point", [None, "recorded", "touched"])
def test_a_superseded_run_is_canceled_and_its_pod_removed_wherever_the_pass_is_killed(
    point: str | None, project: KubernetesProject
) -> None:
    create = tried(project, *SLEEP)
    run = create(1)
    project.begin(run)
    newer = create(2)
    made = planned(project, graces=GracePeriods(start_s=3600))
    assert decided(made) == {(Action.CANCEL, Rule.RUN_SUPERSEDED)}

    if point is not None:
        with pytest.raises(KeyboardInterrupt):
            applied(project, made, probe=_killed_at(point))
        made = planned(project, graces=GracePeriods(start_s=3600))
    assert became(applied(project, made)) == {"cancel done"}

    until_gone(project, f"run-{run.id}")
    ended = project.found(run)
    assert ended.state is RunState.CANCELED
    assert str(newer.id) in str(ended.cause)
    assert [event.action for event in events(project, str(ended.fence))] == ["pod.removed"]


@pytest.mark.parametrize("point", ["recorded", "touched"])
def test_a_pass_that_was_killed_over_a_pod_comes_to_the_same_end_when_repeated(
    point: str, project: KubernetesProject
) -> None:
    forged = forge(project, project.create(*SLEEP), metadata={"name": "miner"})
    uid = forged["metadata"]["uid"]
    for after in (timedelta(), LATER):
        made = planned(project, after, GracePeriods(start_s=3600))
        with pytest.raises(KeyboardInterrupt):
            applied(project, made, probe=_killed_at(point))
        again = planned(project, after, GracePeriods(start_s=3600))
        assert {outcome.became for outcome in applied(project, again)} <= {"done", "moot"}
    until_gone(project, "miner")
    assert [event.action for event in events(project, uid)] == ["pod.quarantined", "pod.removed"]


def _killed_at(point: str) -> Callable[[str], None]:
    def probe(reached: str) -> None:
        if reached == point:
            raise KeyboardInterrupt

    return probe


def test_a_pod_that_says_it_has_been_in_quarantine_for_long_gets_the_time_on_record(project: KubernetesProject) -> None:
    forged = forge(
        project,
        project.create(*SLEEP),
        metadata={"name": "miner", "annotations": {QUARANTINED_ANNOTATION: "2020-01-01T00:00:00+00:00"}},
        labels={QUARANTINED_LABEL: "true"},
    )

    made = planned(project, graces=GracePeriods())

    assert decided(made) == {(Action.REMOVE, Rule.POD_QUARANTINE_OVER)}
    assert became(applied(project, made)) == {"remove moot"}
    found = project.cluster.find_pod(project.name, "miner")
    assert found is not None
    assert not found["metadata"]["annotations"][QUARANTINED_ANNOTATION].startswith("2020")
    assert [event.action for event in events(project, forged["metadata"]["uid"])] == ["pod.quarantined"]
    assert planned(project, graces=GracePeriods()).items == []


def test_an_sre_reconciles_with_the_reconcilers_rights_and_no_others(
    project: KubernetesProject, platform: Platform
) -> None:
    user = f"reconciler-{secrets.token_hex(4)}"
    project.governance.projects.bind_role(project.name, RoleBindingRequest(subject=f"user:{user}", role=Role.SRE))
    project.plane.prepare(project.name, reconcilers=(f"user:{user}",))
    mine: dict[str, Any] = {
        "governance": platform.governance(Caller(f"user:{user}")),
        "cluster": Cluster(project.plane.cluster.api(project.plane.cluster.kubeconfig_for(user))),
    }
    well = project.create("python", "-c", WRITE, outputs={"model": "model.bin"})
    project.begin(well)
    project.until_moved(well)
    forge(project, well, metadata={"name": "miner"})

    assert became(applied(project, planned(project, **mine), **mine)) == {"quarantine done", "complete done"}
    assert became(applied(project, planned(project, LATER, **mine), **mine)) == {"remove done"}
    until_gone(project, "miner")
    assert project.found(well).state is RunState.SUCCEEDED


@pytest.mark.parametrize("missing", ["get namespaces", "list pods", "patch pods", "delete pods"])
def test_a_right_that_is_missing_is_named(missing: str, project: KubernetesProject) -> None:
    verb, _, resource = missing.partition(" ")
    user = f"reconciler-{secrets.token_hex(4)}"
    project.plane.prepare(project.name, reconcilers=(f"user:{user}",))
    role = project.plane.cluster.kubectl(
        "get", "role", "holdfast-reconciler", f"--namespace={project.name}", "-o", "json"
    )
    kept = _without(role, resource, verb)
    project.plane.cluster.kubectl("replace", "-f", "-", input=kept)
    cluster = Cluster(project.plane.cluster.api(project.plane.cluster.kubeconfig_for(user)))
    forge(project, project.create(*SLEEP), metadata={"name": "miner"})
    if verb == "delete":
        applied(project, planned(project, graces=GracePeriods(start_s=3600)))
        made = planned(project, LATER, GracePeriods(start_s=3600), cluster=cluster)
    else:
        made = planned(project, graces=GracePeriods(start_s=3600), cluster=cluster)

    if verb in ("get", "list"):
        assert made.items == []
        assert made.projects == []
        said = made.unread[0].why
    else:
        outcome = applied(project, made, cluster=cluster)[0]
        assert outcome.became == "failed"
        said = outcome.says
    assert f"does not allow to {missing}" in said


def test_a_run_is_not_failed_for_a_right_that_its_reconciler_lacks(project: KubernetesProject) -> None:
    user = f"reconciler-{secrets.token_hex(4)}"
    project.plane.prepare(project.name, reconcilers=(f"user:{user}",))
    role = project.plane.cluster.kubectl(
        "get", "role", "holdfast-reconciler", f"--namespace={project.name}", "-o", "json"
    )
    kept = _without(_without(role, "pods/exec", "create"), "pods/exec", "get")
    project.plane.cluster.kubectl("replace", "-f", "-", input=kept)
    cluster = Cluster(project.plane.cluster.api(project.plane.cluster.kubeconfig_for(user)))
    run = project.create("python", "-c", "pass")
    project.begin(run)
    project.until_moved(run)

    outcome = applied(project, planned(project, cluster=cluster), cluster=cluster)[0]

    assert outcome.became == "failed"
    assert 'resource "pods/exec"' in outcome.says
    assert project.found(run).state is RunState.RUNNING
    assert project.pod(run) is not None
    assert became(reconciled(project)) == {"complete done"}


def test_a_run_whose_outputs_are_not_what_it_declared_fails_as_its_users(project: KubernetesProject) -> None:
    run = project.create("python", "-c", "pass", outputs={"model": "model.bin"})
    project.begin(run)
    project.until_moved(run)
    assert became(reconciled(project)) == {"complete done"}
    ended = project.found(run)
    assert (ended.state, ended.error_class) == (RunState.FAILED, ErrorClass.USER)


def _without(role: str, resource: str, verb: str) -> str:
    document = json.loads(role)
    for rule in document["rules"]:
        if rule["resources"] == [resource]:
            rule["verbs"] = [each for each in rule["verbs"] if each != verb] or ["watch"]
    return json.dumps(document)


def test_a_plan_is_applied_where_it_was_made_and_while_it_is_fresh(project: KubernetesProject) -> None:
    forge(project, project.create(*SLEEP), metadata={"name": "miner"})
    made = planned(project, graces=GracePeriods())
    place = made.projects[0]
    made = ReconcilePlan.model_validate_json(made.model_dump_json())

    def refused(changed: ReconcilePlan, now: datetime | None = None) -> str:
        with pytest.raises((InvalidRequest, StateConflict)) as refusal:
            list(apply(project.governance, project.cluster, changed, now or made.made_at))
        return str(refusal.value)

    elsewhere = place.model_copy(update={"namespace_uid": str(uuid4())})
    assert "another cluster" in refused(made.model_copy(update={"projects": [elsewhere]}))
    other = place.model_copy(update={"id": uuid4()})
    assert "another installation" in refused(made.model_copy(update={"projects": [other]}))
    assert "was made at" in refused(made, made.made_at + timedelta(hours=1))
    smuggled = made.items[0].model_copy(update={"namespace": "kube-system"})
    assert "not its Project's" in refused(made.model_copy(update={"items": [smuggled]}))
    assert "has not looked" in refused(made.model_copy(update={"projects": []}))
    found = project.cluster.find_pod(project.name, "miner")
    assert found is not None
    assert QUARANTINED_LABEL not in found["metadata"]["labels"]


def test_a_namespace_that_is_not_the_projects_is_left_alone(project: KubernetesProject) -> None:
    name = f"p{secrets.token_hex(4)}"
    project.governance.projects.create(
        ProjectRequest(name=name, owner="tests", data_plane="kubernetes", namespace="kube-system")
    )
    found = project.governance.projects.get(name)

    made = plan(
        project.governance,
        project.cluster,
        [found],
        datetime.now(UTC),
        agent_images=[project.plane.agent],
        graces=AT_ONCE,
    )

    assert (made.items, made.projects, made.pods) == ([], [], 0)
    assert "no Project's" in made.unread[0].why


def test_what_went_on_after_the_plan_is_not_undone(project: KubernetesProject) -> None:
    run = project.create("python", "-c", "pass")
    pod_run = project.begin(run)
    project.until_moved(run)
    made = planned(project)
    pod_run.end()
    assert became(applied(project, made)) == {"complete moot"}
    assert project.found(run).state is RunState.SUCCEEDED


def test_the_command_line_plans_keeps_the_plan_and_applies_it_over_the_api(
    project: KubernetesProject, platform: Platform, tmp_path: Path
) -> None:
    forged = forge(project, project.create(*SLEEP), metadata={"name": "miner"})
    kubeconfig = f"--kubeconfig={project.plane.cluster.kubeconfig}"
    with serve(platform) as url:
        cli = Cli(
            {
                "HOLDFAST_API_URL": url,
                "HOLDFAST_PROJECT": project.name,
                "HOLDFAST_TOKEN": "system:tests",
                "HOLDFAST_AGENT_IMAGE": project.plane.agent,
            }
        )
        assert "pod.of-no-run" in cli.table("reconcile", "plan", kubeconfig)
        kept = tmp_path / "plan.json"
        kept.write_text(json.dumps(cli.json("reconcile", "plan", kubeconfig)))
        [outcome] = cli.json("reconcile", "apply", kept, kubeconfig)["items"]
        assert (outcome["became"], outcome["item"]["pod"]) == ("done", "miner")
        assert cli.json("reconcile", "apply", kept, kubeconfig)["items"][0]["became"] == "moot"
        assert cli.json("reconcile", "apply", kubeconfig)["items"] == []
        tagged = replace(cli, environment={**cli.environment, "HOLDFAST_AGENT_IMAGE": "agent:latest"})
        assert "'agent:latest' is not named by digest" in tagged.refused(2, "reconcile", "plan", kubeconfig)
        assert "no agent's image" in replace(cli, environment={**cli.environment, "HOLDFAST_AGENT_IMAGE": ""}).refused(
            2, "reconcile", "plan", kubeconfig
        )
        document = json.loads(kept.read_text())
        document["projects"][0]["namespace_uid"] = str(uuid4())
        kept.write_text(json.dumps(document))
        assert "another cluster" in cli.refused(2, "reconcile", "apply", kept, kubeconfig)
        kept.write_text(json.dumps({**document, "made_at": "2026-01-01T00:00:00Z"}))
        assert "was made at" in cli.refused(4, "reconcile", "apply", kept, kubeconfig)
        project.plane.cluster.kubectl("label", "namespace", project.name, "holdfast/project-")
        result = cli.run("reconcile", "plan", kubeconfig)
        assert (result.exit_code, "no Project's" in result.stderr) == (7, True)
    assert [event.action for event in events(project, forged["metadata"]["uid"])] == ["pod.quarantined"]


def test_the_manifests_bind_the_reconciler_to_rights_of_its_own(project: KubernetesProject, platform: Platform) -> None:
    with serve(platform) as url:
        cli = Cli({"HOLDFAST_API_URL": url, "HOLDFAST_PROJECT": project.name, "HOLDFAST_TOKEN": "system:tests"})
        words = ("cluster", "manifests", "--object-store", "10.0.0.5/32:443", "--worker", "airflow/worker")
        items = cli.json(*words, "--reconciler", "holdfast-system/reconciler")["items"]
    bound = {
        item["roleRef"]["name"]: [subject["name"] for subject in item["subjects"]]
        for item in items
        if item["kind"] == "RoleBinding"
    }
    assert bound == {"holdfast-worker": ["worker"], "holdfast-reconciler": ["reconciler"]}
