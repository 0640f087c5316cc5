"""The wheel is what people install: it holds everything, and works without the sources."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel() -> Path:
    found = sorted((Path(__file__).parents[2] / "dist").glob("holdfast-*.whl"))
    assert len(found) == 1, "run `make wheel`, which builds it first"
    return found[0]


def test_the_wheel_holds_both_source_roots_the_migrations_and_the_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "holdfast/core/run.py",
        "holdfast/_migrations/env.py",
        "holdfast/_migrations/versions/0001_tables.py",
        "holdfast_provider/get_provider_info.py",
        "holdfast_plugins/app.py",
    ):
        assert name in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "demo/", "dags/")) or "__pycache__" in name]


def test_the_wheel_works_without_the_sources(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import holdfast, holdfast.store.migrate as migrate, holdfast_plugins.app as app, holdfast_provider.get_provider_info as info\n"
        "assert holdfast.__file__.startswith(sys.argv[1]), holdfast.__file__\n"
        "assert str(migrate.scripts()).startswith(sys.argv[1])\n"
        "assert app.describe().openapi()['paths'] and info.get_provider_info()['connection-types']\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
