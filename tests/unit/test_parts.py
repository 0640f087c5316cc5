"""How a file is cut into parts, by the service and by the agent."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from holdfast.core import parts
from holdfast.dataplane.agent import files
from holdfast.wire.run import OutputFile

MIB = 1 << 20
LARGEST = 5 << 40


@given(st.one_of(st.integers(0, LARGEST), st.integers(0, 11_000).map(lambda n: n * parts.PART_BYTES)))
def test_the_parts_are_the_whole_and_few_enough_and_both_sides_cut_alike(size: int) -> None:
    sizes = parts.part_sizes(size)
    assert sum(sizes) == size
    assert 1 <= len(sizes) <= parts.MOST_PARTS
    assert all(part == sizes[0] and part >= parts.PART_BYTES for part in sizes[:-1])
    assert (len(sizes) == 1) == (size <= parts.PART_BYTES)
    assert files.part_sizes(size) == sizes


def test_each_part_has_the_digest_of_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART_BYTES", 3 * MIB)
    body = b"".join(bytes([n]) * MIB for n in range(7)) + b"!"
    (tmp_path / "file").write_bytes(body)
    digest, size, found = files.digest_output(tmp_path / "file")
    cut = [body[: 3 * MIB], body[3 * MIB : 6 * MIB], body[6 * MIB :]]
    assert found == ["sha256:" + hashlib.sha256(part).hexdigest() for part in cut]
    assert (digest, size) == ("sha256:" + hashlib.sha256(body).hexdigest(), len(body))
    (tmp_path / "file").write_bytes(body[: 3 * MIB])
    assert files.digest_output(tmp_path / "file")[2] == []


@pytest.mark.parametrize(("size", "count"), [(1, 1), (64 * MIB, 1), (64 * MIB + 1, 1), (64 * MIB + 1, 3)])
def test_a_list_of_parts_that_does_not_make_the_file_is_refused(size: int, count: int) -> None:
    digest = "sha256:" + "0" * 64
    with pytest.raises(ValidationError, match="parts"):
        OutputFile(name="model", digest=digest, size_bytes=size, parts=[digest] * count)
    assert OutputFile(name="model", digest=digest, size_bytes=64 * MIB + 1, parts=[digest] * 2).parts
