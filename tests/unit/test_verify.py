"""A log of more than one chunk is verified alike in one process and in several: every checkpoint's root, and every tile of every level."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from holdfast.core.tiles import WIDTH, bundle_path, packed, unpacked
from holdfast.ledger import verify
from holdfast.ledger.chunk import CHUNK
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.verify import Verification
from tests.support.ledger import log_of

SIZE = CHUNK + 2 * WIDTH + 7
KNOWN = (1, 255, 256, 257, 5000, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + WIDTH, CHUNK + WIDTH + 3, SIZE)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> FileSigner:
    return FileSigner.make("example.org/log", tmp_path_factory.mktemp("key") / "log.key")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, signer: FileSigner) -> tuple[Path, dict[str, str]]:
    """A log, and the checkpoints of some sizes that it has had on the way."""
    root = tmp_path_factory.mktemp("log")
    files, notes = log_of([b'{"number":%d}' % number for number in range(SIZE)], signer, KNOWN)
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root, {f"of {size}": note for size, note in notes.items()}


def opened(root: Path) -> tuple[DirectoryPlace, None]:
    return DirectoryPlace(root), None


@pytest.fixture(params=["one process", "several"])
def look(
    request: pytest.FixtureRequest, signer: FileSigner, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path, dict[str, str]], Verification]:
    monkeypatch.setattr(verify, "PARALLEL_FROM", 0)

    def verification(root: Path, known: dict[str, str]) -> Verification:
        again = partial(opened, root) if request.param == "several" else None
        return Verification(DirectoryPlace(root), [signer.key], is_signed, known=known, again=again)

    return verification


def test_every_checkpoint_on_the_way_is_the_root_of_its_size(
    made: tuple[Path, dict[str, str]], look: Callable[[Path, dict[str, str]], Verification]
) -> None:
    root, known = made
    verification = look(root, known)
    found = verification.verify()
    assert (found.findings, found.size, found.checkpoints) == ([], SIZE, len(KNOWN) + 1)


@pytest.mark.parametrize(
    ("path", "index"),
    [
        ("tile/0/100", 100 * WIDTH),
        ("tile/0/256", CHUNK),
        ("tile/0/258.p/7", CHUNK + 2 * WIDTH),
        ("tile/1/000", None),
        ("tile/1/001.p/2", None),
        ("tile/2/000.p/1", None),
    ],
)
def test_a_tile_of_any_level_that_was_changed_or_is_gone_is_named(
    path: str, index: int | None, made: tuple[Path, dict[str, str]], signer: FileSigner
) -> None:
    root, known = made
    file, content = root / path, (root / path).read_bytes()
    try:
        for change, said in (
            (lambda: file.write_bytes(os.urandom(len(content))), "is not the tile"),
            (file.unlink, "is not there"),
        ):
            change()
            verification = Verification(DirectoryPlace(root), [signer.key], is_signed, known=known)
            verification.verify()
            assert [(one.index, said in one.what, path in one.what) for one in verification.findings] == [
                (index, True, True)
            ]
    finally:
        file.write_bytes(content)


def test_an_entry_that_was_changed_is_named_and_every_checkpoint_that_holds_it(
    made: tuple[Path, dict[str, str]], look: Callable[[Path, dict[str, str]], Verification]
) -> None:
    root, known = made
    file = root / bundle_path(1)
    content = file.read_bytes()
    entries = unpacked(content)
    entries[44] = entries[44].replace(b"number", b"nomber")
    try:
        file.write_bytes(packed(entries))
        verification = look(root, known)
        verification.verify()
    finally:
        file.write_bytes(content)
    assert min(one.index for one in verification.findings if one.index is not None) == WIDTH + 44
    wrong = [one.what for one in verification.findings if "another root" in one.what]
    assert len(wrong) == 1 + sum(size > WIDTH + 44 for size in KNOWN)


def test_a_log_that_ends_too_early_lacks_what_its_checkpoints_say(
    made: tuple[Path, dict[str, str]], look: Callable[[Path, dict[str, str]], Verification]
) -> None:
    root, known = made
    file = root / bundle_path(CHUNK // WIDTH)
    content = file.read_bytes()
    try:
        file.unlink()
        verification = look(root, known)
        found = verification.verify()
    finally:
        file.write_bytes(content)
    assert found.size == CHUNK
    lacking = [one for one in verification.findings if "and the log has" in one.what]
    assert len(lacking) == 1 + sum(size > CHUNK for size in KNOWN)
    assert found.first_bad_index == CHUNK
