"""How a log's tree lies in files: tiles of 256 hashes of one level, and bundles of 256 entries. Names and sizes only; pure.

Source: C2SP tlog-tiles.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from holdfast.core.errors import IntegrityViolation
from holdfast.core.merkle import HASH_BYTES, Nodes, folded, full_subtrees, node_hash

WIDTH = 256
HEIGHT = 8
CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class Tile:
    """A run of hashes of one level of the tree.

    Attributes:
        level: of tiles: 0 holds the leaves, each hash of 1 covers a full tile of 0.
        index: of the tile in its level.
        width: number of hashes, 1 to 256.
    """

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it lies below the log's prefix."""
        return f"tile/{self.level}/{_numbered(self.index, self.width)}"


def bundle_path(index: int, width: int = WIDTH) -> str:
    """Return where so many entries from index · 256 on lie below the log's prefix."""
    return f"tile/entries/{_numbered(index, width)}"


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield every tile of a tree, level by level."""
    return tiles_between(0, size)


def tiles_between(old: int, new: int) -> Iterator[Tile]:
    """Yield the tiles that a tree of size new has, and one of size old, which it began as, has not, level by level."""
    level = 0
    while (count := new >> (HEIGHT * level)) > (before := old >> (HEIGHT * level)):
        for index in range(before // WIDTH, -(-count // WIDTH)):
            yield Tile(level, index, min(WIDTH, count - index * WIDTH))
        level += 1


def tile_holding(level: int, index: int, size: int) -> tuple[Tile, int]:
    """Return the tile from which the node (level, index) of a tree follows, and the place of the first hash that is under it."""
    tile_level, above = divmod(level, HEIGHT)
    number, place = divmod(index << above, WIDTH)
    count = size >> (HEIGHT * tile_level)
    return Tile(tile_level, number, min(WIDTH, count - number * WIDTH)), place


def node_in(hashes: bytes, level: int, place: int) -> bytes:
    """Return the node of a level, counted from the tile's own, whose first hash in the tile has this place."""
    if level == 0:
        return hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES]
    half = 1 << (level - 1)
    return node_hash(node_in(hashes, level - 1, place), node_in(hashes, level - 1, place + half))


def packed(entries: list[bytes]) -> bytes:
    """Return a bundle of entries.

    Args:
        entries: 1 to 256 of them, of up to 65 535 bytes each.
    """
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unpacked(bundle: bytes) -> list[bytes]:
    """Return the entries of a bundle; raises IntegrityViolation where it ends within one."""
    # Entries of one log differ in length by the digits of their indexes alone: nearly every bundle is cut into equal pieces.
    length = int.from_bytes(bundle[:2], "big")
    count, rest = divmod(len(bundle), 2 + length)
    if not rest and bundle[:: 2 + length] == bundle[:1] * count and bundle[1 :: 2 + length] == bundle[1:2] * count:
        return [bundle[start : start + length] for start in range(2, len(bundle) + 1, 2 + length)]
    entries, end = [], 0
    while end < len(bundle):
        start = end + 2
        end = start + int.from_bytes(bundle[end:start], "big")
        entries.append(bundle[start:end])
    if end > len(bundle):
        raise IntegrityViolation("a bundle of entries ends within an entry")
    return entries


def levels_of(leaves: list[bytes]) -> list[list[bytes]]:
    """Return the full nodes over the leaves of a tile, level by level, the leaves first."""
    levels = [leaves]
    while len(below := levels[-1]) > 1:
        # Written out for speed: this runs once for each event of a log that is verified.
        pairs = zip(below[::2], below[1::2], strict=False)
        levels.append([sha256(b"\x01" + left + right).digest() for left, right in pairs])
    return levels


class Edge:
    """The right edge of a tree in tiles: all that is needed to extend it, and its root.

    Attributes:
        size: number of leaves.
        levels: of each level of tiles the hashes in the one that is not full.
    """

    def __init__(self) -> None:
        self.size = 0
        self.levels: list[list[bytes]] = [[]]

    @classmethod
    def load(cls, read: Callable[[Tile], bytes], size: int) -> "Edge":
        """Return the edge of a tree of a size whose tiles somebody reads; raises IntegrityViolation for a tile of another width."""
        made, level = cls(), 0
        while count := size >> (HEIGHT * level):
            tile = Tile(level, count // WIDTH, count % WIDTH)
            hashes = read(tile) if tile.width else b""
            if len(hashes) != tile.width * HASH_BYTES:
                raise IntegrityViolation(f"{tile.path} has {len(hashes)} bytes, and not {tile.width} hashes")
            made._level(level).extend(hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES))
            level += 1
        made.size = size
        return made

    def extend(self, leaves: Sequence[bytes]) -> list[tuple[Tile, bytes]]:
        """Add leaves by their hashes and return each tile that is full by them, with its bytes."""
        full, level, added = list[tuple[Tile, bytes]](), 0, leaves
        while added:
            number = self.size >> (HEIGHT * (level + 1))
            hashes = [*self._level(level), *added]
            whole = len(hashes) - len(hashes) % WIDTH
            tiles = [hashes[at : at + WIDTH] for at in range(0, whole, WIDTH)]
            full += [(Tile(level, index), b"".join(tile)) for index, tile in enumerate(tiles, number)]
            self.levels[level] = hashes[whole:]
            added, level = [levels_of(tile)[-1][0] for tile in tiles], level + 1
        self.size += len(leaves)
        return full

    def partial(self) -> Iterator[tuple[Tile, bytes]]:
        """Yield the tiles that are not full, with their bytes."""
        for level, hashes in enumerate(self.levels):
            if hashes:
                yield Tile(level, self.size >> (HEIGHT * (level + 1)), len(hashes)), b"".join(hashes)

    def root(self, *after: bytes) -> bytes:
        """Return the hash of the whole tree, or of one that goes on with full subtrees, the largest first, of which each fits behind it."""
        subtrees = list[bytes]()
        for hashes in reversed(self.levels):
            nodes = levels_of(hashes)
            subtrees += [nodes[level][index] for level, index in full_subtrees(0, len(hashes))]
        return folded([*subtrees, *after])

    def _level(self, level: int) -> list[bytes]:
        if level == len(self.levels):
            self.levels.append([])
        return self.levels[level]


def nodes_of(read: Callable[[Tile], bytes], size: int) -> Nodes:
    """Return the nodes of a tree of a size whose tiles somebody reads; each tile is asked for as often as it is needed."""

    def node(level: int, index: int) -> bytes:
        tile, place = tile_holding(level, index, size)
        return node_in(read(tile), level % HEIGHT, place)

    return node


def _numbered(index: int, width: int) -> str:
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03}")
    return "/".join(reversed(parts)) + (f".p/{width}" if width < WIDTH else "")
