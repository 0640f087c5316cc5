"""The seal of a Run: one digest that changes when anything the Run was bound to changes."""

from collections.abc import Mapping

from holdfast.core.canonical import Json

FORMAT = "holdfast.run-seal/1"


def seal_document(
    *,
    project: str,
    code: Mapping[str, Json] | None,
    environment_digest: str,
    command: list[str],
    inputs: Mapping[str, str],
    parameters: Mapping[str, Json],
    outputs: Mapping[str, str],
    resources: Mapping[str, Json],
    policy_digest: str,
) -> dict[str, Json]:
    """Return the document whose canonical form (RFC 8785) is hashed with SHA-256 into the seal.

    Args:
        project: the Project's name.
        code: repository, commit and path; None where the Project's class allows a Run without code.
        environment_digest: the EnvironmentLock's digest.
        command: the user command, argument by argument.
        inputs: name → digest of the DatasetVersion or Artifact.
        parameters: as the user code reads them.
        outputs: name → relative path.
        resources: cpu, memory and the like.
        policy_digest: the PolicySnapshot's digest.
    """
    return {
        "format": FORMAT,
        "project": project,
        "code": dict(code) if code is not None else None,
        "environment": environment_digest,
        "command": list(command),
        "inputs": dict(inputs),
        "parameters": dict(parameters),
        "outputs": dict(outputs),
        "resources": dict(resources),
        "policy": policy_digest,
    }
