"""What a page tells the reader to type or to call is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated

import pytest
import typer

from holdfast_plugins.app import describe
from tests.support.commands import Misunderstood, check_command
from tests.support.markdown import Page, commands

_CALL = re.compile(r"\b(GET|POST|PUT) (/v1/[^\s?\"'`]*)")
_GET = re.compile(r"^get [\"']?(/[^\s?\"']*)", re.MULTILINE)


def targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def unknown_targets(page: Page, known: set[str]) -> list[str]:
    named = (next((word for word in words if "=" not in word), None) for words, _ in commands(page, "make"))
    return [target for target in named if target is not None and target not in known]


def calls(page: Page) -> Iterator[tuple[str, str]]:
    """Yield every call of the REST API that a page names, as (method, path below the mount)."""
    for text in (*page.words, *(text for _, text in page.blocks)):
        yield from ((method, path) for method, path in _CALL.findall(text))
        yield from (("GET", f"/v1{path}") for path in _GET.findall(text))


@cache
def routes() -> list[tuple[str, re.Pattern[str]]]:
    return [
        (method.upper(), re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))))
        for path, operations in describe().openapi()["paths"].items()
        for method in operations
    ]


def unknown_calls(page: Page) -> list[str]:
    return [
        f"{method} {path}"
        for method, path in calls(page)
        if not any(method == known and route.fullmatch(path) for known, route in routes())
    ]


def page_with(tmp_path: Path, text: str) -> Page:
    path = tmp_path / "page.md"
    path.write_text(text)
    return Page.read(path)


def test_every_make_target_that_a_page_names_exists(all_pages: list[Page], here: Path) -> None:
    known = targets((here / "Makefile").read_text())
    assert [(page.path.name, target) for page in all_pages for target in unknown_targets(page, known)] == []
    readme = next(page for page in all_pages if page.path == here / "README.md")
    assert {"demo", "test"} <= {words[0] for words, is_whole in commands(readme, "make") if is_whole}


def test_a_make_target_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = page_with(tmp_path, "run `make demo ONCE=1` or `make clean`\n\n```sh\nA=1 make B=2 nothing && ls\n```\n")
    assert unknown_targets(page, {"demo"}) == ["nothing", "clean"]


def test_every_rest_call_that_a_page_names_exists(all_pages: list[Page]) -> None:
    assert sum(len(list(calls(page))) for page in all_pages) > 50
    assert [(page.path.name, call) for page in all_pages for call in unknown_calls(page)] == []


def test_a_rest_call_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = page_with(
        tmp_path,
        '`PUT /v1/projects` `GET /v1/projects/oncology`\n\n```sh\nget "/projects/$P/runs?limit=1"\nget /people\n```\n',
    )
    assert unknown_calls(page) == ["PUT /v1/projects", "GET /v1/people"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("thing --output json run show 7 --deep", None),
        ("thing run show 7 --label=a --label b", None),
        ("thing walk", "has no command 'walk'"),
        ("thing run stop", "has no command 'stop'"),
        ("thing run show 7 --far", "show has no option --far"),
        ("thing --colour red run show 7", "has no option --colour"),
        ("thing run show", "show lacks identity"),
        ("thing run show 7 8", "show takes fewer arguments than 2"),
        ("thing run list", "list lacks state"),
        ("thing run list --state", "lacks its value"),
        ("thing run", "run lacks its command"),
    ],
)
def test_a_command_that_an_application_does_not_understand_is_found(
    line: str, complaint: str | None, tmp_path: Path
) -> None:
    app, runs = typer.Typer(), typer.Typer()
    app.add_typer(runs, name="run")

    @app.callback()
    def main(output: str = "table") -> None: ...

    @runs.command()
    def show(identity: str, deep: bool = False, label: Annotated[list[str] | None, typer.Option()] = None) -> None: ...

    @runs.command("list")
    def list_runs(state: Annotated[str, typer.Option()]) -> None: ...

    page = page_with(tmp_path, f"```sh\nTOKEN=x .venv/bin/{line} | head  # as it is\n```\n")
    ((words, is_whole),) = commands(page, "thing")
    root = typer.main.get_command(app)
    if complaint is None:
        check_command(words, root, is_whole=is_whole)
    else:
        with pytest.raises(Misunderstood, match=complaint):
            check_command(words, root, is_whole=is_whole)


def test_a_command_inside_a_sentence_may_end_anywhere(tmp_path: Path) -> None:
    app, runs = typer.Typer(), typer.Typer()
    app.add_typer(runs, name="run")

    @runs.command()
    def show(identity: str) -> None: ...

    named = list(commands(page_with(tmp_path, "`thing run show`, `thing run` and `thing …`\n"), "thing"))
    assert len(named) == 3
    for words, is_whole in named:
        check_command(words, typer.main.get_command(app), is_whole=is_whole)
