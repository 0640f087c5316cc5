"""A Merkle tree over a log's entries: its root, and proofs that an entry is in it and that it only grew. Pure.

A node is named by (level, index): the hash of the 2^level entries from index · 2^level on, all of which are there. Whoever asks for a
root or a proof gives a function that returns such nodes, from wherever they are kept.
Source: RFC 9162 section 2.1; the trees and proofs are those of RFC 6962, too.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from holdfast.core.errors import IntegrityViolation

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Result = TypeVar("Result")
Nodes = Callable[[int, int], bytes]
"""Returns the hash of the node of a level and an index; only asked for nodes that are full."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry as a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two nodes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """All of a tree that is needed to extend it: the roots of its full subtrees, the largest first.

    Attributes:
        size: number of leaves.
        hashes: one for each bit that is set in the size, from the highest.
    """

    size: int = 0
    hashes: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, size: int, nodes: Nodes) -> "Frontier":
        """Return the frontier of a tree that is kept somewhere."""
        return cls(size, [nodes(level, index) for level, index in full_subtrees(0, size)])

    def append(self, leaf: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Add a leaf by its hash and yield (level, index, hash) of each node that is full by it, the leaf first."""
        level, index, found = 0, self.size, leaf
        yield level, index, found
        while index & 1:
            found = node_hash(self.hashes.pop(), found)
            level, index = level + 1, index >> 1
            yield level, index, found
        self.hashes.append(found)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaves by their hashes, where nobody wants the nodes that are full by them."""
        for leaf in leaves:
            for _ in self.append(leaf):
                pass

    def root(self) -> bytes:
        """Return the hash of the whole tree."""
        return folded(self.hashes)


def full_subtrees(begin: int, end: int) -> list[tuple[int, int]]:
    """Return the nodes that together cover the leaves from begin to before end, as the tree over them is made, from the left.

    Args:
        begin: a multiple of the largest power of two that is at most end - begin.
        end: not less than begin.
    """
    nodes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        nodes.append((level, begin >> level))
        begin += 1 << level
    return nodes


def root(size: int, nodes: Nodes) -> bytes:
    """Return the hash of the tree of the first so many leaves."""
    return _range_hash(0, size, nodes) if size else EMPTY_ROOT


def prove_inclusion(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """Return the inclusion proof of a leaf in the tree of a size, from the leaf's sibling on (RFC 9162, 2.1.3.1).

    Args:
        index: of the leaf, from 0, below size.
        size: of the tree.
        nodes: of a tree that is at least as large.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of size {size} has no leaf {index}")
    begin, end, path = 0, size, []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(_range_hash(middle, end, nodes))
            end = middle
        else:
            path.append(_range_hash(begin, middle, nodes))
            begin = middle
    return path[::-1]


def prove_consistency(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """Return the proof that the tree of size new begins with the tree of size old (RFC 9162, 2.1.4.1).

    Args:
        old: 0 or more; for 0 and for new itself there is nothing to prove.
        new: not less than old.
        nodes: of a tree that is at least as large as new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of size {new} does not begin with one of size {old}")
    if old in (0, new):
        return []
    begin, end, path = 0, new, []
    while old < end:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(_range_hash(middle, end, nodes))
            end = middle
        else:
            path.append(_range_hash(begin, middle, nodes))
            begin = middle
    # The subtree that both end with is known to who knows the old tree, when it is the old tree.
    return ([] if begin == 0 else [_range_hash(begin, end, nodes)]) + path[::-1]


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root of the tree of a size that has this leaf at this index, by its inclusion proof.

    Raises:
        IntegrityViolation: there is no such leaf, or the proof has another length.
    """
    if not 0 <= index < size:
        raise IntegrityViolation(f"a tree of size {size} has no leaf {index}")

    def rebuilt(begin: int, end: int, siblings: Iterator[bytes]) -> bytes:
        if end - begin == 1:
            return leaf
        middle = begin + _split(end - begin)
        if index < middle:
            return node_hash(rebuilt(begin, middle, siblings), next(siblings))
        right = rebuilt(middle, end, siblings)
        return node_hash(next(siblings), right)

    return _used_up(path, lambda siblings: rebuilt(0, size, siblings), "inclusion")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """Return when the tree with the new root begins with the tree with the old one.

    Raises:
        IntegrityViolation: it does not, or the proof is not one for these sizes.
    """

    def rebuilt(begin: int, end: int, siblings: Iterator[bytes]) -> tuple[bytes, bytes]:
        if old == end:
            shared = old_root if begin == 0 else next(siblings)
            return shared, shared
        middle = begin + _split(end - begin)
        if old <= middle:
            of_old, of_new = rebuilt(begin, middle, siblings)
            return of_old, node_hash(of_new, next(siblings))
        of_old, of_new = rebuilt(middle, end, siblings)
        left = next(siblings)
        return node_hash(left, of_old), node_hash(left, of_new)

    if old == 0:
        found = _used_up(path, lambda _: (EMPTY_ROOT, new_root), "consistency")
    elif old <= new:
        found = _used_up(path, lambda siblings: rebuilt(0, new, siblings), "consistency")
    else:
        found = b"", b""
    if found != (old_root, new_root):
        raise IntegrityViolation(f"the tree of size {new} does not begin with the tree of size {old}")


def _used_up(path: Sequence[bytes], use: Callable[[Iterator[bytes]], Result], kind: str) -> Result:
    """Return what follows from a proof of which nothing is left."""
    siblings = iter(path)
    try:
        found = use(siblings)
    except StopIteration:
        raise IntegrityViolation(f"the {kind} proof is too short") from None
    if next(siblings, None) is not None:
        raise IntegrityViolation(f"the {kind} proof is too long")
    return found


def _range_hash(begin: int, end: int, nodes: Nodes) -> bytes:
    return folded([nodes(level, index) for level, index in full_subtrees(begin, end)])


def folded(hashes: Sequence[bytes]) -> bytes:
    """Return the hash of the tree whose full subtrees these are, the largest first."""
    if not hashes:
        return EMPTY_ROOT
    found = hashes[-1]
    for left in reversed(hashes[:-1]):
        found = node_hash(left, found)
    return found


def _split(count: int) -> int:
    """Return the largest power of two below a number of leaves, 2 or more."""
    return 1 << ((count - 1).bit_length() - 1)
