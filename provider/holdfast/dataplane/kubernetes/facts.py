"""What a reconciler has to know of a pod and of its Run, and nothing more: a page of pods is looked at and let go. Pure."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from holdfast.core.reconcile import PodFacts, PodStage, RunFacts
from holdfast.core.run import is_terminal
from holdfast.dataplane.kubernetes.likeness import differences_from_all
from holdfast.dataplane.kubernetes.manifest import (
    PROJECT_LABEL,
    QUARANTINED_ANNOTATION,
    QUARANTINED_LABEL,
    RUN_LABEL,
    PodSettings,
    forms_of,
)
from holdfast.dataplane.kubernetes.status import Broken, Ended, image_digest_of, made_at, progress_of, uid_of
from holdfast.dataplane.plane import StepFailed
from holdfast.wire.pod import RunStanding
from holdfast.wire.run import Run

Pod = dict[str, Any]
_NAME = re.compile(r"run-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_MOMENTS = ("startedAt", "finishedAt")


def run_named(pod: Pod) -> str | None:
    """Return the id of the Run whose name a pod has, None where it has no Run's."""
    match = _NAME.fullmatch(pod["metadata"]["name"])
    return match[1] if match else None


def run_facts(standing: RunStanding) -> RunFacts:
    """Return the facts of a Run."""
    run, newer = standing.run, standing.superseded_by
    return RunFacts(str(run.id), run.state, run.since, run.fence, str(newer) if newer else None)


def pod_facts(pod: Pod, project: str, run: Run | None, settings: Sequence[PodSettings]) -> PodFacts:
    """Return the facts of a pod in a Project's namespace.

    Args:
        pod: as the cluster shows it.
        project: the Project's name.
        run: the Run whose name it has, where the Project has that Run on Kubernetes.
        settings: a pod is as it is made when it is so for one of them; an upgrade has two.
    """
    metadata, labels = pod["metadata"], pod["metadata"].get("labels") or {}
    progress, named = progress_of(pod), run_named(pod)
    failure = progress.failure if isinstance(progress, Broken) else None
    seen = image_digest_of(pod) if run is not None else None
    bound = run.environment_reference.rpartition("@")[2] if run is not None else None
    return PodFacts(
        name=metadata["name"],
        uid=uid_of(pod),
        run=named,
        is_of_project=labels.get(PROJECT_LABEL) == project,
        forged=None if labels.get(RUN_LABEL) == named else f"its label names Run {labels.get(RUN_LABEL)}",
        difference=_difference(pod, run, settings) if run is not None else None,
        other_image=seen if seen != bound else None,
        stage=PodStage.ENDED_WELL if isinstance(progress, Ended) else PodStage.BROKEN if failure else PodStage.GOING,
        error_class=failure.error_class if failure else None,
        cause=str(failure) if failure else "",
        changed_at=_changed_at(pod),
        is_going_away=bool(metadata.get("deletionTimestamp")),
        is_over=pod.get("status", {}).get("phase") in ("Succeeded", "Failed"),
        quarantined_at=_quarantined_at(pod),
    )


def _difference(pod: Pod, run: Run, settings: Sequence[PodSettings]) -> str | None:
    # Of a Run that has ended only the pod under its fence is the question, and that is one for its UID.
    if is_terminal(run.state) and run.fence == uid_of(pod):
        return None
    found: list[str] = []
    for each in settings:
        if not (found := _differences(pod, run, each)):
            return None
    return found[0]


def made_with(pod: Pod, run: Run, settings: Sequence[PodSettings]) -> PodSettings | None:
    """Return the settings with which a pod was made for a Run, None where it is not as any of them makes it."""
    return next((each for each in settings if not _differences(pod, run, each)), None)


def _differences(pod: Pod, run: Run, settings: PodSettings) -> list[str]:
    try:
        return differences_from_all(forms_of(run, settings), pod)
    except StepFailed as refusal:
        return [str(refusal)]


def _changed_at(pod: Pod) -> datetime:
    """Return when a pod last came further, as far as it says."""
    status, metadata = pod.get("status", {}), pod["metadata"]
    said = [metadata.get("deletionTimestamp")]
    said += [condition.get("lastTransitionTime") for condition in status.get("conditions") or []]
    for container in (*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])):
        for state in (container.get("state") or {}).values():
            said += [state.get(moment) for moment in _MOMENTS]
    # Their common form sorts as text.
    latest = max(filter(None, said), default=None)
    return max(made_at(pod), datetime.fromisoformat(latest)) if latest else made_at(pod)


def _quarantined_at(pod: Pod) -> datetime | None:
    metadata = pod["metadata"]
    if QUARANTINED_LABEL not in (metadata.get("labels") or {}):
        return None
    try:
        found = datetime.fromisoformat((metadata.get("annotations") or {}).get(QUARANTINED_ANNOTATION, ""))
    except ValueError:
        return None
    return found if found.tzinfo else None
