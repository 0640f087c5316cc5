"""Looks at one chunk of a log: 65 536 entries from a multiple of that on, which are a full subtree, so that chunks are looked at apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import Engine

from holdfast.core.errors import IntegrityViolation, NotFound
from holdfast.core.merkle import HASH_BYTES, Frontier, full_subtrees
from holdfast.core.tiles import WIDTH, Tile, bundle_path, levels_of, unpacked
from holdfast.ledger.place import Place
from holdfast.ledger.rows import AT_ONCE, Found, Rows, compare_rows
from holdfast.wire.ledger import LedgerFinding

CHUNK = WIDTH * WIDTH


@dataclass(slots=True)
class Chunk:
    """What was seen of a chunk.

    Attributes:
        begin: index of its first entry.
        size: entries that could be read.
        subtrees: hashes of the full subtrees over them, the largest first.
        subtrees_at: the same for each size of a checkpoint that lies in it.
        rows: what was seen of the events' rows.
        findings: what does not fit.
    """

    begin: int
    size: int = 0
    subtrees: list[bytes] = field(default_factory=list)
    subtrees_at: dict[int, list[bytes]] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)
    findings: list[LedgerFinding] = field(default_factory=list)

    def found(self, index: int | None, what: str) -> None:
        """Add a finding."""
        self.findings.append(LedgerFinding(index=index, what=what))


def look_at(log: Place, engine: Engine | None, begin: int, end: int, sizes: Sequence[int]) -> Chunk:
    """Look at a chunk's entries, at the tiles that follow from them alone, and at the rows.

    Args:
        log: where it is read.
        engine: of the governance database; None for the files alone.
        begin: a multiple of CHUNK.
        end: of the chunk, or of the log where that is before.
        sizes: of checkpoints, above begin and up to end.
    """
    seen = Chunk(begin)
    parts = _entries(log, seen, end, sizes)
    if engine is not None:
        seen.rows = compare_rows(engine, begin, end, parts, seen.found)
    for _ in parts:  # the files alone
        pass
    return seen


def _entries(log: Place, seen: Chunk, end: int, sizes: Sequence[int]) -> Iterator[list[bytes]]:
    """Yield a chunk's entries part by part, each when its files have been looked at."""
    begin, tops, part = seen.begin, Frontier(), list[bytes]()
    full: list[bytes] = []  # the roots of full tiles
    due = sorted(sizes, reverse=True)
    for start in range(begin, end, WIDTH):
        width = min(WIDTH, end - start)
        bundle = _bundle(log, start, width, seen.found)
        levels = levels_of([sha256(b"\0" + entry).digest() for entry in bundle])
        if len(bundle) == width:
            compare_tile(log, Tile(0, start // WIDTH, width), b"".join(levels[0]), seen.found, start)
        while due and due[-1] <= start + len(bundle):
            size = due.pop()
            within = [levels[level][index] for level, index in full_subtrees(0, size - start)]
            seen.subtrees_at[size] = [*tops.hashes, *within]
        part += bundle
        seen.size += len(bundle)
        if len(bundle) < WIDTH:
            within = [levels[level][index] for level, index in full_subtrees(0, len(bundle))]
            seen.subtrees = [*tops.hashes, *within]
            break
        full.append(levels[-1][0])
        tops.extend(levels[-1])
        seen.subtrees = tops.hashes
        if len(part) == AT_ONCE:
            yield part
            part = []
    if part:
        yield part
    if full and seen.size == end - begin:
        compare_tile(log, Tile(1, begin // CHUNK, len(full)), b"".join(full), seen.found)


def compare_tile(log: Place, tile: Tile, content: bytes, found: Found, begin: int | None = None) -> None:
    """Compare a tile with what it has to hold.

    Args:
        log: where it is read.
        tile: which one.
        content: its hashes.
        found: told the index and what does not fit.
        begin: index of the tile's first leaf, of a tile of leaves; of a higher level, entries or the tiles below tell where.
    """
    try:
        shown = log.read(tile.path)
    except NotFound:
        shown = b""
    if shown == content:
        return
    what = f"{tile.path} is not the tile of the log's entries" if shown else f"{tile.path} is not there"
    first = next(
        place
        for place in range(tile.width)
        if shown[place * HASH_BYTES :][:HASH_BYTES] != content[place * HASH_BYTES :][:HASH_BYTES]
    )
    found(begin + first if begin is not None else None, what)


def _bundle(log: Place, start: int, width: int, found: Found) -> list[bytes]:
    """Return the entries of a bundle that can be read."""
    path = bundle_path(start // WIDTH, width)
    try:
        bundle = unpacked(log.read(path))
    except (NotFound, IntegrityViolation) as error:
        found(start, f"{path}: {error.message}")
        return []
    if len(bundle) != width:
        found(start + min(len(bundle), width), f"{path} has {len(bundle)} entries")
    return bundle[:width]
