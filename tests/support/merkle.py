"""A whole tree, kept in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.core.merkle import Frontier, leaf_hash

if TYPE_CHECKING:
    from collections.abc import Iterable


def grown(entries: Iterable[bytes]) -> dict[tuple[int, int], bytes]:
    """Return every full node of the tree of some entries, by level and index."""
    frontier, nodes = Frontier(), {}
    for entry in entries:
        for level, index, found in frontier.append(leaf_hash(entry)):
            nodes[level, index] = found
    return nodes
