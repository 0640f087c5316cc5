"""Markdown pages as a reader uses them: anchors, links, blocks of code, and the commands in them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

SHELL = ("sh", "console")
_NOT_IN_A_SLUG = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        anchors: what a link to a heading of it may name, as code hosts derive it.
        links: every target, in order.
        blocks: (language, text) of every fenced block.
        words: every inline code.
    """

    path: Path
    anchors: frozenset[str]
    links: tuple[str, ...]
    blocks: tuple[tuple[str, str], ...]
    words: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Page:
        tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text())
        inline = [child for token in tokens for child in token.children or ()]
        return cls(
            path=path,
            anchors=frozenset(_anchors(tokens)),
            links=tuple(str(t.attrs["href"]) for t in inline if t.type == "link_open")
            + tuple(str(t.attrs["src"]) for t in inline if t.type == "image"),
            blocks=tuple((t.info.strip(), t.content) for t in tokens if t.type == "fence"),
            words=tuple(t.content for t in inline if t.type == "code_inline"),
        )

    def block(self, language: str, beginning: str) -> str:
        """Return the one block of a language that begins with a text."""
        (found,) = (text for kind, text in self.blocks if kind == language and text.startswith(beginning))
        return found


def pages(root: Path) -> list[Page]:
    """Return every page of the repository that git knows or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return [Page.read(root / name) for name in sorted(done.stdout.splitlines())]


def broken_links(page: Page, root: Path) -> Iterator[str]:
    """Yield what is wrong with each relative link: nothing there, outside the repository, or no such heading."""
    for link in page.links:
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = unquote(link).partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        if not path.is_relative_to(root.resolve()) or not path.exists():
            yield f"{page.path.relative_to(root)}: {link} leads nowhere"
        elif anchor and (path.suffix != ".md" or anchor not in Page.read(path).anchors):
            yield f"{page.path.relative_to(root)}: {link} names no heading"


def reachable(start: Path) -> set[Path]:
    """Return every page that a reader can get to from one page by its links."""
    found, waiting = set(), [start.resolve()]
    while waiting:
        path = waiting.pop()
        if path in found or path.suffix != ".md" or not path.is_file():
            continue
        found.add(path)
        targets = (unquote(link).partition("#")[0] for link in Page.read(path).links if "://" not in link)
        waiting += [(path.parent / target).resolve() for target in targets if target]
    return found


def commands(page: Page, program: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the words after a program's name wherever a page names it, and whether they are a whole command (in a shell block)."""
    for language, text in page.blocks:
        if language in SHELL:
            for line in text.replace("\\\n", " ").splitlines():
                if (words := _after(program, line)) is not None:
                    yield words, True
    for text in page.words:
        if (words := _after(program, text)) is not None:
            yield words, False


def _after(program: str, line: str) -> list[str] | None:
    words = shlex.split(line.removeprefix("$ "), comments=True)
    while words and (words[0] == "export" or re.match(r"[A-Z_]+=", words[0])):
        words.pop(0)
    if not words or words[0].rpartition("/")[2] != program:
        return None
    end = next((i for i, word in enumerate(words) if word in ("|", ">", "<", "&&", ";")), len(words))
    return words[1:end]


def _anchors(tokens: list[Token]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for before, token in pairwise(tokens):
        if before.type != "heading_open":
            continue
        text = "".join(child.content for child in token.children or () if child.type in ("text", "code_inline"))
        slug = _NOT_IN_A_SLUG.sub("", text.lower()).replace(" ", "-")
        yield f"{slug}-{seen[slug]}" if seen[slug] else slug
        seen[slug] += 1
