"""A Merkle tree over a log's entries: its root, and proofs that an entry is in it and that it only grew. Pure.

A node is named by (level, index): the hash of the 2^level entries from index · 2^level on, all of which are there. Whoever asks for a
root or a proof gives a function that returns such nodes, from wherever they are kept.
Source: RFC 9162 section 2.1; the trees and proofs are those of RFC 6962, too.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from holdfast.core.errors import IntegrityViolation

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

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

    def root(self) -> bytes:
        """Return the hash of the whole tree."""
        return _folded(self.hashes) if self.hashes else EMPTY_ROOT


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
    """Return the root of the tree of a size that has this leaf at this index, by its proof (RFC 9162, 2.1.3.2).

    Raises:
        IntegrityViolation: there is no such leaf, or the proof has another length.
    """
    if not 0 <= index < size:
        raise IntegrityViolation(f"a tree of size {size} has no leaf {index}")
    last, found = size - 1, leaf
    for sibling in path:
        if last == 0:
            raise IntegrityViolation("the inclusion proof is too long")
        if index & 1 or index == last:
            found = node_hash(sibling, found)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        index, last = index >> 1, last >> 1
    if last:
        raise IntegrityViolation("the inclusion proof is too short")
    return found


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """Return when the tree with the new root begins with the tree with the old one (RFC 9162, 2.1.4.2).

    Raises:
        IntegrityViolation: it does not, or the proof is not one for these sizes.
    """
    refusal = IntegrityViolation(f"the tree of size {new} does not begin with the tree of size {old}")
    if old > new or (old in (0, new) and path):
        raise refusal
    if old in (0, new):
        if (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise refusal
        return
    rest = list(path)
    if old & (old - 1) == 0:
        rest.insert(0, old_root)
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    if not rest:
        raise refusal
    of_old = of_new = rest[0]
    for sibling in rest[1:]:
        if last == 0:
            raise refusal
        if first & 1 or first == last:
            of_old, of_new = node_hash(sibling, of_old), node_hash(sibling, of_new)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            of_new = node_hash(of_new, sibling)
        first, last = first >> 1, last >> 1
    if last or of_old != old_root or of_new != new_root:
        raise refusal


def _range_hash(begin: int, end: int, nodes: Nodes) -> bytes:
    return _folded([nodes(level, index) for level, index in full_subtrees(begin, end)])


def _folded(hashes: Sequence[bytes]) -> bytes:
    found = hashes[-1]
    for left in reversed(hashes[:-1]):
        found = node_hash(left, found)
    return found


def _split(count: int) -> int:
    """Return the largest power of two below a number of leaves, 2 or more."""
    return 1 << ((count - 1).bit_length() - 1)
