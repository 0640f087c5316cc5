"""The agent's image as a site builds it: the checkout's agent, nothing else of Holdfast, the same bytes each time, and Runs end on it."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.dataplane.agent import pod
from holdfast.dataplane.kubernetes.manifest import AGENT, STAGE, USER_ID
from holdfast.settings import Platform
from tests.support.kubernetes.data_plane import DataPlane, agent_image
from tests.support.kubernetes.dockerfile import CHECKOUT, Builder, BuildFailed, builder, compiler_image
from tests.support.kubernetes.images import Image, Images
from tests.support.kubernetes.machine import PYTHON_LIBRARY
from tests.support.kubernetes.project import KubernetesProject

PACKAGE = Path("provider/holdfast")
LAUNCHER = str(pod.LAUNCHER.relative_to("/"))
WRITE = "import os, pathlib; pathlib.Path(os.environ['HOLDFAST_OUTPUTS'], 'model.bin').write_bytes(b'a model')"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return Images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def engine() -> Iterator[Builder]:
    with builder() as running:
        yield running


@pytest.fixture(scope="module")
def arguments(engine: Builder, images: Images) -> dict[str, str]:
    """What a site gives to the build."""
    return {
        "COMPILER_IMAGE": engine.add_base(compiler_image(images)),
        "PYTHON_IMAGE": engine.add_base(images.python()),
        "REVISION": "0123456789abcdef0123456789abcdef01234567",
    }


@pytest.fixture(scope="module")
def built(engine: Builder, arguments: dict[str, str]) -> Image:
    return engine.build("agent", arguments)


def added(image: Image) -> dict[str, tuple[bytes, int]]:
    """Return what the image adds to its base: content and mode of every file, which are all the root's."""
    with tarfile.open(image.layers[-1].path) as layer:
        members = [member for member in layer.getmembers() if not member.isdir()]
        assert {(member.type, member.uid, member.gid) for member in members} == {(tarfile.REGTYPE, 0, 0)}
        return {member.name: (layer.extractfile(member).read(), member.mode & 0o7777) for member in members}


def config_of(image: Image) -> dict[str, Any]:
    return json.loads(image.config)["config"]


def test_it_has_the_agent_of_the_checkout_and_nothing_else(built: Image, images: Images) -> None:
    files = added(built)

    launcher, mode = files.pop(LAUNCHER)
    assert (launcher[:4], mode) == (b"\x7fELF", 0o555)
    modules = [PACKAGE / "__init__.py", PACKAGE / "dataplane" / "__init__.py"]
    modules += [path.relative_to(CHECKOUT) for path in (CHECKOUT / PACKAGE / "dataplane" / "agent").glob("*.py")]
    assert files == {
        f"{PYTHON_LIBRARY}/holdfast/{path.relative_to(PACKAGE)}": ((CHECKOUT / path).read_bytes(), 0o444)
        for path in modules
    }
    below = images.python()
    assert json.loads(built.config)["rootfs"]["diff_ids"][:-1] == [layer.digest for layer in below.layers]


def test_the_image_that_other_tests_run_on_has_the_same_files(built: Image, images: Images) -> None:
    assert added(agent_image(images)) == added(built)


def test_it_says_what_it_is_and_runs_as_nobody(built: Image, arguments: dict[str, str]) -> None:
    config = config_of(built)
    assert config["User"] == f"{USER_ID}:{USER_ID}"
    assert config["Entrypoint"] == ["python", "-I", "-m", "holdfast.dataplane.agent.pod"]
    prefix = "org.opencontainers.image"
    labels = {name: value for name, value in config["Labels"].items() if name.startswith(prefix)}
    assert labels.pop(f"{prefix}.description")
    assert labels == {
        f"{prefix}.title": "holdfast-agent",
        f"{prefix}.licenses": "Apache-2.0",
        f"{prefix}.version": holdfast.__version__,
        f"{prefix}.revision": arguments["REVISION"],
        f"{prefix}.base.name": arguments["PYTHON_IMAGE"],
    }


def test_another_checkout_of_the_commit_makes_the_same_bytes(
    engine: Builder, built: Image, arguments: dict[str, str], tmp_path: Path
) -> None:
    # Elsewhere, at another time, with another umask, and with more lying about.
    shutil.copytree(CHECKOUT / PACKAGE, tmp_path / PACKAGE, copy_function=shutil.copyfile)
    for name in ("Dockerfile", ".dockerignore", "tools/agent_image.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(CHECKOUT / name, tmp_path / name)
    (tmp_path / PACKAGE / "dataplane" / "agent" / "notes.txt").write_text("not ours")
    for path in tmp_path.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)

    assert engine.build("agent", arguments, tmp_path).digest == built.digest


@pytest.mark.parametrize("missing", ["COMPILER_IMAGE", "PYTHON_IMAGE"])
def test_a_build_without_a_base_says_which_is_missing(missing: str, engine: Builder, arguments: dict[str, str]) -> None:
    given = {name: value for name, value in arguments.items() if name != missing}
    with pytest.raises(BuildFailed, match=f"GIVE_BUILD_ARG_{missing}_BY_DIGEST"):
        engine.build("agent", given)


def test_a_build_on_a_tag_is_refused(engine: Builder, arguments: dict[str, str]) -> None:
    by_tag = arguments["PYTHON_IMAGE"].partition("@")[0]
    engine.tag(arguments["PYTHON_IMAGE"], by_tag)
    with pytest.raises(BuildFailed, match=f"PYTHON_IMAGE is '{by_tag}', and a tag can move: give NAME@sha256:DIGEST"):
        engine.build("agent", arguments | {"PYTHON_IMAGE": by_tag})


def test_a_run_comes_to_its_end_on_it(built: Image, platform: Platform, plane: DataPlane, tmp_path: Path) -> None:
    real = replace(plane, agent=plane.cluster.load(built))
    assert real.agent != plane.agent
    project = KubernetesProject.make(platform, real, tmp_path)

    ended = project.succeed(project.create("python", "-c", WRITE, outputs={"model": "model.bin"}))

    (model,) = project.governance.artifacts.list(project.name, run=ended.id).items
    assert (model.name, model.size_bytes) == ("model", len(b"a model"))
    # Which the launcher has said.
    assert ended.observed is not None
    assert (ended.observed.peak_memory_bytes or 0) > 0
    made = project.pod(ended)
    assert made is not None
    status = {
        each["name"]: each for each in (*made["status"]["initContainerStatuses"], *made["status"]["containerStatuses"])
    }
    assert {status[name]["imageID"].rpartition("@")[2] for name in (STAGE, AGENT)} == {built.digest}
