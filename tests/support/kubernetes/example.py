"""The image that the example's steps run on: Python, and of this machine's environment what they import, with the libraries that it brings."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.kubernetes.machine import compiled, libraries
from tests.support.kubernetes.tree import Directory, File, Link

if TYPE_CHECKING:
    from tests.support.kubernetes.images import Image, Images

STEPS = ("scikit-learn", "skops", "matplotlib")
"""What dags/examples/steps import, by distribution."""

# Tests, what only compilers read, and programs.
_LEFT_OUT = re.compile(
    r"(^|/)(tests?|testing/data|sample_data|__pycache__|bin)/|\.(pyx|pxd|pxi|h|hpp|c|cpp|a|f|f90|pyi)$|^\.\."
)


def example_image(images: Images) -> Image:
    """Return the image; the same environment makes the same bytes."""
    return images.python("example", images.once("example", lambda: _tree(images.python_library)))


def _tree(target: str) -> dict[str, File | Link | Directory]:
    tree: dict[str, File | Link | Directory] = {}
    extensions: list[Path] = []
    for name in sorted(_closure(STEPS)):
        for file in distribution(name).files or ():
            path = Path(str(file.locate()))
            if _LEFT_OUT.search(str(file)) or not path.is_file():
                continue
            tree[f"{target}/{file}"] = File(path)
            if file.suffix == ".py":
                cached = PurePosixPath(file).parent / "__pycache__" / f"{file.stem}.{sys.implementation.cache_tag}.pyc"
                tree[f"{target}/{cached}"] = File(compiled(path))
            elif ".so" in file.name:
                extensions.append(path)
    return tree | libraries(extensions)


def _closure(names: tuple[str, ...]) -> set[str]:
    """Return these distributions and what they require, as far as it is here."""
    found: set[str] = set()
    wanted = list(names)
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in found:
            continue
        try:
            required = distribution(name).requires or []
        except PackageNotFoundError:
            raise RuntimeError(f"{name} is not installed; the example's steps need it: make install") from None
        found.add(name)
        requirements = map(Requirement, required)
        wanted += [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found
