"""The Merkle tree: the known roots, and every proof against the definition itself."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import IntegrityViolation
from holdfast.core.merkle import (
    EMPTY_ROOT,
    Frontier,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    root,
    root_from_inclusion,
    verify_consistency,
)
from tests.support.merkle import grown

# The vectors of Certificate Transparency's own implementation.
ENTRIES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LARGEST = 300


def mth(entries: list[bytes]) -> bytes:
    """Return the Merkle tree hash as RFC 9162 defines it, word for word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while 2 * k < len(entries):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


NODES = grown(b"%d" % number for number in range(LARGEST))


def node(level: int, index: int) -> bytes:
    return NODES[level, index]


def entries(size: int) -> list[bytes]:
    return [b"%d" % number for number in range(size)]


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_the_known_entries_have_the_known_roots(size: int) -> None:
    frontier = Frontier()
    for entry in ENTRIES[:size]:
        list(frontier.append(leaf_hash(entry)))
    assert frontier.root().hex() == ROOTS[size]


def test_a_tree_that_grows_has_the_defined_root_and_the_defined_nodes_at_every_size() -> None:
    frontier = Frontier()
    for size in range(LARGEST):
        expected = mth(entries(size))
        assert frontier.root() == root(size, node) == Frontier.of(size, node).root() == expected
        list(frontier.append(leaf_hash(b"%d" % size)))
    for (level, index), found in NODES.items():
        width = 1 << level
        assert found == mth(entries((index + 1) * width)[index * width :])


def test_every_leaf_of_every_tree_is_proved_and_no_other_leaf_by_its_proof() -> None:
    for size in range(1, 70):
        expected = mth(entries(size))
        for index in range(size):
            path = prove_inclusion(index, size, node)
            assert root_from_inclusion(leaf_hash(b"%d" % index), index, size, path) == expected
            for other in {0, index - 1, index + 1, size - 1} - {index, -1, size}:
                # Leaves side by side share most of a path: the proof of one is none of the other.
                assert not proves(leaf_hash(b"%d" % index), other, size, path, expected)
                assert not proves(leaf_hash(b"%d" % other), index, size, path, expected)


def proves(leaf: bytes, index: int, size: int, path: list[bytes], expected: bytes) -> bool:
    try:
        return root_from_inclusion(leaf, index, size, path) == expected
    except IntegrityViolation:
        return False


def test_every_tree_is_proved_to_begin_with_every_smaller_one() -> None:
    roots = [mth(entries(size)) for size in range(70)]
    for new in range(70):
        for old in range(new + 1):
            path = prove_consistency(old, new, node)
            verify_consistency(old, roots[old], new, roots[new], path)
            if 0 < old < new:
                refused(old, roots[old - 1], new, roots[new], path)
                refused(old, roots[old], new, roots[new - 1], path)
                refused(new, roots[new], old, roots[old], path)


def refused(old: int, old_root: bytes, new: int, new_root: bytes, path: list[bytes]) -> None:
    with pytest.raises(IntegrityViolation):
        verify_consistency(old, old_root, new, new_root, path)


@given(data=st.data(), size=st.integers(1, LARGEST))
def test_a_proof_of_which_anything_is_changed_proves_nothing(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    expected, leaf, path = root(size, node), leaf_hash(b"%d" % index), prove_inclusion(index, size, node)
    for changed in mutations(data, path):
        assert not proves(leaf, index, size, changed, expected)
    assert not proves(leaf, size, size, path, expected)


@given(data=st.data(), new=st.integers(2, LARGEST))
def test_a_consistency_proof_of_which_anything_is_changed_proves_nothing(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(1, new - 1))
    for changed in mutations(data, prove_consistency(old, new, node)):
        refused(old, root(old, node), new, root(new, node), changed)


def mutations(data: st.DataObject, path: list[bytes]) -> list[list[bytes]]:
    """Return proofs that are longer, shorter, in another order, or have one bit that is another."""
    changed = [[*path, bytes(32)], [bytes(32), *path]]
    if path:
        place, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
        flipped = (int.from_bytes(path[place], "big") ^ 1 << bit).to_bytes(32, "big")
        changed += [path[:-1], path[1:], [*path[:place], flipped, *path[place + 1 :]]]
    if len(path) > 1:
        changed.append(path[::-1])
    return changed


def test_an_empty_tree_proves_nothing_and_contradicts_nothing() -> None:
    verify_consistency(0, EMPTY_ROOT, 7, root(7, node), [])
    refused(0, bytes(32), 7, root(7, node), [])
    refused(0, EMPTY_ROOT, 7, root(7, node), [bytes(32)])
    with pytest.raises(ValueError, match="has no leaf"):
        prove_inclusion(0, 0, node)
    with pytest.raises(ValueError, match="does not begin"):
        prove_consistency(8, 7, node)
