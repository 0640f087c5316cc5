"""Images made on the spot are the same bytes each time, and what their digests say they are."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from tests.support import go_program
from tests.support.kubernetes import binary
from tests.support.kubernetes.images import Images
from tests.support.kubernetes.tree import Directory, File, Link, copy_of_modules


def images(directory: Path) -> Images:
    directory.mkdir()
    return Images(directory)


def test_the_same_content_has_the_same_digest_wherever_it_is_made(tmp_path: Path) -> None:
    first, second = images(tmp_path / "first"), images(tmp_path / "second")
    assert first.python().reference == second.python().reference
    tree = {"b": File(b"2"), "a": Link("b"), "c": Directory(0o1777)}
    assert first.layer(tree).digest == second.layer(dict(reversed(tree.items()))).digest
    assert first.layer(tree).digest != first.layer(tree | {"b": File(b"2", mode=0o755)}).digest


def test_an_archive_is_an_oci_layout_whose_digests_hold(tmp_path: Path) -> None:
    making = images(tmp_path / "images")
    image = making.image("small", [making.layer({"etc/word": File(b"word")})], {"User": "65532"})
    image.write_archive(tmp_path / "small.tar")
    with tarfile.open(tmp_path / "small.tar") as archive:
        content = {name: archive.extractfile(name).read() for name in archive.getnames()}
    assert json.loads(content.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    (descriptor,) = json.loads(content.pop("index.json"))["manifests"]
    assert {hashlib.sha256(blob).hexdigest(): name.rpartition("/")[2] for name, blob in content.items()} == {
        name.rpartition("/")[2]: name.rpartition("/")[2] for name in content
    }
    manifest = json.loads(content[f"blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}"])
    config = json.loads(content[f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}"])
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    assert descriptor["annotations"]["io.containerd.image.name"] == f"localhost/holdfast/small@{descriptor['digest']}"


def test_modules_are_copied_without_what_was_compiled_from_them(tmp_path: Path) -> None:
    (tmp_path / "inner" / "__pycache__").mkdir(parents=True)
    (tmp_path / "inner" / "__pycache__" / "one.pyc").touch()
    (tmp_path / "inner" / "one.py").write_text("ONE = 1\n")
    assert set(copy_of_modules(tmp_path, "opt/inner")) == {"opt/inner/inner/one.py"}


def test_without_go_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(go_program, "_USUAL", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"no `go` on PATH.*HOLDFAST_TEST_KUBECONFIG"):
        binary.programs()


def test_a_build_that_fails_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "go").write_text("#!/bin/sh\necho no space >&2; exit 1\n")
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(RuntimeError, match=r"the build of Kubernetes v\S+ failed: no space"):
        binary.programs()
    assert list((tmp_path / "cache" / "holdfast").iterdir()) == []


def test_a_build_is_kept_by_what_it_was_made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands for Go, which takes minutes: it writes what it was told to.
    (tmp_path / "go").write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done; echo built > "$2"\n')
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    programs = binary.programs()
    assert {(programs / name).read_text() for name in binary.PROGRAMS} == {"built\n"}
    (tmp_path / "go").unlink()
    assert binary.programs() == programs
    assert list(programs.parent.iterdir()) == [programs]


def test_a_program_has_the_version_of_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("main.go", "go.sum"):
        (tmp_path / name).touch()
    (tmp_path / "go.mod").write_text("module here\n\nrequire example.test/other v1.2.3\n")
    with pytest.raises(RuntimeError, match=r"go.mod names no version of example.test/this"):
        go_program.GoProgram("This", tmp_path, "example.test/this").directory()
