"""What belongs together is written whole, however many rows it has: by one statement up to a few, by others beyond."""

from __future__ import annotations

import pytest

from holdfast.store.insert import TOGETHER
from holdfast.wire.model import ModelVersionRequest
from holdfast.wire.run import InputRef, RunFinish
from tests.support.story import Story, digest_of


@pytest.mark.parametrize("count", [1, 2, TOGETHER, TOGETHER + 1, 3 * TOGETHER])
def test_every_input_artifact_and_event_is_written_in_its_order(story: Story, count: int) -> None:
    names = [f"n{number:03}" for number in range(count)]
    data = story.register_dataset()
    run = story.start_run(inputs={name: InputRef(dataset_version=data) for name in names}, outputs={"plots": "plots/"})
    assert sorted(bound.name for bound in run.inputs) == names
    assert story.mia.runs.get(story.project, run.id).inputs == run.inputs

    content = {f"plots/{name}": name.encode() for name in names}
    ending = RunFinish(state="succeeded", fence="pod-1", exit_code=0, artifacts=story.store(run, content))
    story.mia.runs.finish(story.project, run.id, ending)
    made = story.mia.artifacts.list(story.project, run=run.id, limit=500).items
    assert {artifact.name: artifact.digest for artifact in made} == {
        name: digest_of(body) for name, body in content.items()
    }
    events = reversed(story.mia.audit.list(story.project, action="artifact.registered", limit=count).items)
    recorded = [event for event in events if event.content["run"] == str(run.id)]
    assert sorted(str(event.content["name"]) for event in recorded) == sorted(content)
    assert len({event.recorded_at for event in recorded}) == count

    model, *evidence = sorted(artifact.id for artifact in made)
    version = story.mia.models.register(
        story.project, f"m{count}", ModelVersionRequest(artifact=model, evidence=evidence)
    )
    assert sorted(bound.artifact for bound in version.artifacts) == [model, *evidence]
    assert story.mia.models.get_version(story.project, version.id) == version


def test_a_run_without_inputs_is_written_alone(story: Story) -> None:
    run = story.start_run(inputs={}, outputs={})
    assert story.mia.runs.get(story.project, run.id) == run
