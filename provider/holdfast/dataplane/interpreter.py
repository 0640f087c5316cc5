"""What is installed in an interpreter, asked of the interpreter itself."""

import json
import subprocess

from holdfast.core.errors import InvalidRequest

_QUESTION = (
    "import json, importlib.metadata as m;"
    "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions() if d.metadata['Name']}))"
)
_TIMEOUT_S = 60


def installed_distributions(interpreter: str) -> dict[str, str]:
    """Return name → version of every distribution installed in a Python, by its path.

    Raises:
        InvalidRequest: there is no Python that answers.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the caller names
            [interpreter, "-I", "-c", _QUESTION],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
            env={},
        )
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        found = None
    if not isinstance(found, dict):
        raise InvalidRequest(
            f"{interpreter!r} is not a Python that runs here", remedy="Give the absolute path of an interpreter"
        )
    return {str(name): str(version) for name, version in found.items()}
