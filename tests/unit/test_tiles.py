"""Tiles: where they lie, which there are, and that the tree follows from them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.core.errors import IntegrityViolation
from holdfast.core.merkle import leaf_hash, prove_consistency, prove_inclusion, root
from holdfast.core.tiles import Edge, Tile, bundle_path, nodes_of, packed, tiles_between, tiles_of, unpacked
from tests.support.merkle import grown

SIZE = 70_000


NODES = grown(b"%d" % number for number in range(SIZE))


def written(tile: Tile) -> bytes:
    """Return a tile's bytes, taken from the nodes."""
    begin = tile.index * 256
    return b"".join(NODES[tile.level * 8, place] for place in range(begin, begin + tile.width))


def test_paths_are_those_of_the_specification() -> None:
    assert Tile(0, 1_234_067).path == "tile/0/x001/x234/067"
    assert Tile(3, 0, 1).path == "tile/3/000.p/1"
    assert Tile(1, 999).path == "tile/1/999"
    assert Tile(1, 1000).path == "tile/1/x001/000"
    assert bundle_path(273, 112) == "tile/entries/273.p/112"


def test_the_specifications_own_example_has_its_tiles() -> None:
    tiles = list(tiles_of(SIZE))
    assert [tile for tile in tiles if tile.level == 0] == [*(Tile(0, n) for n in range(273)), Tile(0, 273, 112)]
    assert [tile for tile in tiles if tile.level == 1] == [Tile(1, 0), Tile(1, 1, 17)]
    assert [tile for tile in tiles if tile.level == 2] == [Tile(2, 0, 1)]
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == []


@given(sizes=st.lists(st.integers(0, 70_000), min_size=1, max_size=5).map(sorted))
@example(sizes=[255, 256, 257])
def test_what_is_added_as_a_log_grows_is_all_that_it_has_in_the_end(sizes: list[int]) -> None:
    there: set[Tile] = set()
    before = 0
    for size in sizes:
        added = set(tiles_between(before, size))
        assert not added & there
        there |= added
        before = size
        assert set(tiles_of(size)) <= there


@given(size=st.integers(1, SIZE), data=st.data())
@example(size=65_536, data=None)
def test_roots_and_proofs_follow_from_tiles(size: int, data: st.DataObject | None) -> None:
    there = set(tiles_of(size))

    def read(tile: Tile) -> bytes:
        assert tile in there
        return written(tile)

    nodes = nodes_of(read, size)
    index = data.draw(st.integers(0, size - 1)) if data else 0
    assert root(size, nodes) == root(size, lambda level, place: NODES[level, place])
    assert prove_inclusion(index, size, nodes) == prove_inclusion(index, size, lambda *place: NODES[place])
    assert prove_consistency(index, size, nodes) == prove_consistency(index, size, lambda *place: NODES[place])


def test_an_edge_that_grows_and_is_loaded_again_writes_exactly_the_trees_tiles_and_has_its_root() -> None:
    edge, there = Edge(), {}
    sizes = sorted({*range(0, SIZE, 997), 1, 255, 256, 257, 65_535, 65_536, 65_537, SIZE})
    for begin, size in pairwise(sizes):
        there |= dict(edge.extend([leaf_hash(b"%d" % number) for number in range(begin, size)]))
        assert edge.size == size
        there |= dict(edge.partial())
        assert set(tiles_of(size)) <= there.keys()
        assert edge.root() == root(size, lambda *place: NODES[place])
        if size % 2:
            edge = Edge.load(there.__getitem__, size)
    assert all(content == written(tile) for tile, content in there.items())


def test_an_edge_is_not_loaded_from_a_tile_of_another_width() -> None:
    with pytest.raises(IntegrityViolation, match=r"tile/0/000\.p/3 has 64 bytes"):
        Edge.load(lambda _: bytes(64), 3)


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_a_bundle_gives_its_entries_back(entries: list[bytes]) -> None:
    assert unpacked(packed(entries)) == entries


@given(st.integers(0, 300).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), max_size=256)))
def test_a_bundle_gives_entries_of_one_length_back(entries: list[bytes]) -> None:
    assert unpacked(packed(entries)) == entries


@given(st.binary() | st.lists(st.sampled_from([b"\0\1a", b"\0\1b", b"\0\2ab", b"\0\0", b"\0"])).map(b"".join))
def test_what_a_bundle_gives_is_all_that_is_in_it(bundle: bytes) -> None:
    try:
        entries = unpacked(bundle)
    except IntegrityViolation:
        return
    assert packed(entries) == bundle


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_bundle_that_was_cut_is_refused(cut: int) -> None:
    for entries in ([b"first", b"ab"], [b"abc", b"abc"]):
        with pytest.raises(IntegrityViolation, match="within an entry"):
            unpacked(packed(entries)[:-cut])
