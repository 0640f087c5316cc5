"""Runs in pods: what they are given, what they give, and what becomes of them when something goes wrong."""

from __future__ import annotations

import json

import pytest

from holdfast.dataplane.kubernetes.cluster import END_LINE
from holdfast.dataplane.kubernetes.manifest import USER
from holdfast.dataplane.plane import StepFailed
from tests.support.kubernetes.project import KubernetesProject

WRITE = """
import json, os, pathlib
outputs = pathlib.Path(os.environ["HOLDFAST_OUTPUTS"])
parameters = json.loads(pathlib.Path(os.environ["HOLDFAST_PARAMETERS"]).read_text())
(outputs / "model.bin").write_bytes(b"a model of depth %d" % parameters["depth"])
(outputs / "metrics.json").write_text(json.dumps({"accuracy": 0.9}))
(outputs / "plots").mkdir()
(outputs / "plots" / "roc.svg").write_text("<svg/>")
print("written")
"""


def test_a_run_is_laid_out_executed_and_recorded_with_what_it_made(project: KubernetesProject) -> None:
    run = project.create(
        "python",
        "-c",
        WRITE,
        parameters={"depth": 4},
        outputs={"model": "model.bin", "metrics": "metrics.json", "plots": "plots/"},
    )

    ended = project.succeed(run)

    assert ended.exit_code == 0
    assert ended.metrics == {"accuracy": 0.9}
    pod = project.pod(run)
    assert pod is not None
    assert ended.fence == pod["metadata"]["uid"]
    assert ended.observed is not None
    assert ended.observed.node == pod["spec"]["nodeName"]
    assert ended.observed.image_digest == project.plane.user.rpartition("@")[2]
    names = {artifact.name: artifact for artifact in project.governance.artifacts.list(project.name, run=run.id).items}
    assert set(names) == {"model", "metrics", "plots/roc.svg"}
    assert json.dumps(pod).count("X-Amz") == 0


def test_what_a_command_has_said_ends_with_a_line_that_is_read_and_not_shown(project: KubernetesProject) -> None:
    run = project.create("python", "-c", "import sys; print('one'); sys.stderr.write('two')")

    project.succeed(run)

    name = f"run-{run.id}"
    assert sorted(project.cluster.log(project.name, name, USER)) == ["one", "two"]
    raw = project.plane.cluster.kubectl("logs", name, f"--namespace={project.name}", "--container", USER)
    assert raw.splitlines().count(END_LINE.decode()) == 2


def test_what_a_run_has_used_stands_on_it(project: KubernetesProject) -> None:
    burn = "import time; x = bytearray(100 << 20); end = time.process_time() + 1\nwhile time.process_time() < end: pass"

    ended = project.succeed(project.create("python", "-c", burn))

    assert ended.observed is not None
    assert 100 << 20 <= (ended.observed.peak_memory_bytes or 0) <= 400 << 20
    assert 1 <= (ended.observed.cpu_seconds or 0) <= 10


def test_a_command_that_forges_what_its_launcher_says_changes_nothing_that_counts(project: KubernetesProject) -> None:
    forge = "open('/dev/termination-log', 'w').write('{\"not_started\": \"x\"}'); raise SystemExit(126)"
    run = project.create("python", "-c", forge)
    project.begin(run)
    project.until_moved(run)

    with pytest.raises(StepFailed) as failure:
        project.pod_run(run).progress()

    assert (failure.value.error_class, failure.value.exit_code) == ("user", 126)
