"""The rules a Run must meet to be created, and the record of each decision with its reason."""

from dataclasses import dataclass
from enum import StrEnum

from holdfast.core.canonical import Json
from holdfast.core.errors import PolicyViolation


class ProjectClass(StrEnum):
    """How strict a Project is."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class DataPlaneKind(StrEnum):
    """Where a Project's user code runs."""

    LOCAL = "local"
    KUBERNETES = "kubernetes"


class EnvironmentKind(StrEnum):
    """What an EnvironmentLock locks."""

    IMAGE = "image"
    INTERPRETER = "interpreter"


@dataclass(frozen=True, slots=True)
class Decision:
    """One rule applied to one Run."""

    rule: str
    version: int
    allowed: bool
    reason: str

    def document(self) -> dict[str, Json]:
        """Return the decision as it stands in a PolicySnapshot."""
        return {"rule": self.rule, "version": self.version, "allowed": self.allowed, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the rules look at."""

    project_class: ProjectClass
    data_plane: DataPlaneKind
    has_commit: bool
    environment_kind: EnvironmentKind
    has_inputs: bool
    is_scheduled: bool


RULES_VERSION = 1


def decide_run(facts: RunFacts) -> tuple[Decision, ...]:
    """Return every rule's decision; a production Project needs every binding and isolation."""
    strict = facts.project_class is ProjectClass.PRODUCTION
    checks = (
        (
            "run.code-commit",
            facts.has_commit,
            "code is bound to a commit",
            "the Run names no commit (its Dag bundle is not versioned)",
        ),
        (
            "run.isolation",
            facts.data_plane is not DataPlaneKind.LOCAL,
            "user code is isolated by the data plane",
            "the local data plane has no isolation",
        ),
        (
            "run.environment-digest",
            facts.environment_kind is EnvironmentKind.IMAGE,
            "the environment is an image by digest",
            "the environment is an interpreter, not an image by digest",
        ),
        (
            "run.inputs-bound",
            facts.has_inputs,
            "at least one input is bound",
            "the Run binds no DatasetVersion and no Artifact",
        ),
        (
            "run.pipeline-run",
            facts.is_scheduled,
            "the Run belongs to a PipelineRun",
            "the Run belongs to no PipelineRun",
        ),
    )
    return tuple(
        Decision(
            rule,
            RULES_VERSION,
            holds or not strict,
            yes if holds else f"{no}; {'refused' if strict else 'tolerated'} in a {facts.project_class} Project",
        )
        for rule, holds, yes, no in checks
    )


def check_run(project: str, decisions: tuple[Decision, ...]) -> None:
    """Return when every rule allows the Run.

    Raises:
        PolicyViolation: names the first rule that refuses, its version and who may change it.
    """
    for decision in decisions:
        if not decision.allowed:
            raise PolicyViolation(
                f"Project {project!r} refuses the Run: {decision.reason}",
                remedy=f"Rule {decision.rule} v{decision.version}; a Platform Owner may change the Project's class",
                details={"rule": decision.rule, "version": decision.version, "changed_by": "platform_owner"},
            )


def snapshot_document(project: str, facts: RunFacts, decisions: tuple[Decision, ...]) -> dict[str, Json]:
    """Return the content of the PolicySnapshot; its digest is part of the Run's seal."""
    return {
        "format": "holdfast.policy-snapshot/1",
        "subject": "run",
        "project": project,
        "project_class": facts.project_class.value,
        "data_plane": facts.data_plane.value,
        "decisions": [decision.document() for decision in decisions],
    }
