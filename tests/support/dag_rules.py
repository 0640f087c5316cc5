"""What every Dag of ours keeps to, as a list of what a file does otherwise."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 80
ALLOWED = ("airflow.sdk", "holdfast_provider")
FORBIDDEN_TO_STEPS = ("airflow", "holdfast", "holdfast_provider", "holdfast_plugins")


def violations(path: Path) -> list[str]:
    """Return the rules that a file of a Dag directory breaks; a file below `steps` is user code and knows nothing of us."""
    text = path.read_text()
    names = _imported(ast.parse(text))
    if "steps" in path.parts:
        return [f"user code imports {name}" for name in names if _is_below(name, FORBIDDEN_TO_STEPS)]
    found = [f"a Dag imports {name}" for name in names if not _is_below(name, ALLOWED)]
    if (lines := len(text.splitlines())) > LONGEST:
        found.append(f"a Dag has {lines} lines; at most {LONGEST}")
    return found


def _imported(tree: ast.Module) -> list[str]:
    names = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names += [alias.name for alias in aliases]
            case ast.ImportFrom(module=module, level=level):
                names.append("." * level + (module or ""))
    return names


def _is_below(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
