"""Every `holdfast …` that a page or an error message tells the reader to type is a command with these options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import typer

from holdfast.cli import main as cli
from tests.support.commands import Misunderstood, check_command
from tests.support.markdown import Page, commands

_IN_A_MESSAGE = re.compile(r"`holdfast ([^`\n]+)`")


def complaints(named: list[tuple[str, list[str], bool]]) -> Iterator[str]:
    root = typer.main.get_command(cli.app)
    for place, words, is_whole in named:
        try:
            check_command(words, root, is_whole=is_whole)
        except Misunderstood as complaint:
            yield f"{place}: holdfast {' '.join(words)}: {complaint}"


def test_every_command_that_a_page_names_exists(all_pages: list[Page]) -> None:
    named = [(page.path.name, words, is_whole) for page in all_pages for words, is_whole in commands(page, "holdfast")]
    assert len(named) > 20
    assert list(complaints(named)) == []


def test_every_command_that_a_message_names_exists(here: Path) -> None:
    sources = [path for tree in ("provider", "plugins", "demo") for path in sorted((here / tree).rglob("*.py"))]
    named = [
        (path.name, shlex.split(text), False) for path in sources for text in _IN_A_MESSAGE.findall(path.read_text())
    ]
    assert len(named) > 5
    assert list(complaints(named)) == []
