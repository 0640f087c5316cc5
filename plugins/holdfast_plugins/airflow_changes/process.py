"""What this process is, by its command line and environment alone: every Airflow process asks, so it costs nothing."""

import os
import sys
from pathlib import Path

COMPONENTS = frozenset(
    {"api-server", "scheduler", "dag-processor", "triggerer", "standalone", "celery", "edge", "kerberos"}
)
"""Commands that are Airflow's own processes; what the api-server does for people, its calls say."""

_SECRETS = frozenset({"connections", "variables", "config", "users", "roles"})
_SHOWING = frozenset({"get", "list", "export", "get-value"})


def arguments() -> list[str]:
    """Return what stands behind `airflow` on this process's command line; nothing where it is another program.

    While Airflow is being imported by `python -m airflow`, `sys.argv` does not say so yet.
    """
    return airflow_arguments(sys.orig_argv)


def airflow_arguments(line: list[str]) -> list[str]:
    """Return what stands behind `airflow` on a command line of Python; nothing where the program is another one."""
    rest = iter(line[1:])
    for word in rest:
        if word in ("-X", "-W"):
            next(rest, None)
        elif word == "-m":
            return list(rest) if next(rest, "") in ("airflow", "airflow.__main__") else []
        elif word == "-c":
            return []
        elif not word.startswith("-"):
            path = Path(word)
            is_airflow = path.name == "airflow" or path.parts[-2:] == ("airflow", "__main__.py")
            return list(rest) if is_airflow else []
    return []


def words() -> list[str]:
    """Return the names of the command that was given, without its options."""
    given = arguments()[:2]
    return given[:1] if len(given) > 1 and given[1].startswith("-") else given


def is_component() -> bool:
    """Whether this process is one of Airflow's own, and not a command that a person gives."""
    return bool(named := words()) and named[0] in COMPONENTS


def shows_secrets() -> bool:
    """Whether this process was asked by `airflow` to show connections, variables, configuration, users or roles."""
    named = words()
    return len(named) == 2 and named[0] in _SECRETS and named[1] in _SHOWING and not {"-h", "--help"} & {*arguments()}


def has_governance_settings() -> bool:
    """Whether this process was given the governance database."""
    return any(os.environ.get(name) for name in ("HOLDFAST_DATABASE_URL", "HOLDFAST_DATABASE_URL_FILE"))
