"""The wheel is what people install: it holds everything, and passes the suites without the sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITES = (
    "tests/contract",
    "tests/migrations",
    "tests/cli/test_process.py::test_the_api_alone_answers_to_service_tokens_and_logs_no_grant",
)


@pytest.fixture(scope="module")
def wheel() -> Path:
    found = sorted((ROOT / "dist").glob("holdfast-*.whl"))
    assert len(found) == 1, "run `make wheel`, which builds it first"
    return found[0]


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and, by a path, the dependencies, but not the sources."""
    target = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", target], check=True)
    uv = shutil.which("uv") or str(ROOT / ".bootstrap" / "bin" / "uv")
    interpreter = target / "bin" / "python"
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", interpreter, wheel], check=True
    )
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = target / "lib" / version / "site-packages"
    # The directory alone: the file in it that leads to the sources is not read from here.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return interpreter


def run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [python, *arguments], cwd=cwd, capture_output=True, text=True, check=False, env=environment, timeout=280
    )


def test_the_wheel_holds_both_source_roots_the_migrations_and_the_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("provider/holdfast", "provider/holdfast_provider", "plugins/holdfast_plugins"):
        root = ROOT / folder
        sources = {f"{root.name}/{path.relative_to(root)}" for path in root.rglob("*.py")}
        assert sources <= names
    revisions = {f"holdfast/_migrations/versions/{path.name}" for path in (ROOT / "migrations/versions").glob("*.py")}
    assert revisions | {"holdfast/_migrations/env.py"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "demo/", "dags/")) or "__pycache__" in name]


def test_the_environment_has_the_wheel_and_not_the_sources(python: Path, tmp_path: Path) -> None:
    code = (
        "import holdfast, holdfast_plugins, holdfast_provider, holdfast.store.migrate as migrate, pathlib\n"
        "places = [*map(lambda m: m.__file__, (holdfast, holdfast_plugins, holdfast_provider)), str(migrate.scripts())]\n"
        "print('\\n'.join(places))"
    )
    done = run(python, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for place in done.stdout.splitlines():
        assert Path(place).is_relative_to(python.parents[1]), place


def test_airflow_finds_the_plugin_the_provider_and_the_policies_of_the_wheel(python: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.metadata import entry_points\n"
        "groups = {'airflow.plugins': 1, 'apache_airflow_provider': 1, 'airflow.policy': 2, 'holdfast.asgi': 1}\n"
        "for group, count in groups.items():\n"
        "    found = [e for e in entry_points(group=group) if e.value.startswith('holdfast')]\n"
        "    assert len(found) == count, (group, found)\n"
        "    assert all(e.load() is not None for e in found)\n"
    )
    done = run(python, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_suites_pass_on_the_wheel(python: Path) -> None:
    beside = ("-n", "auto", "--dist", "loadfile")
    done = run(python, "-m", "pytest", "-q", *beside, "-m", "not soak", *SUITES, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
