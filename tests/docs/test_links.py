"""A reader who follows a link arrives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.markdown import Page, broken_links, reachable


def test_every_relative_link_and_anchor_resolves(all_pages: list[Page], here: Path) -> None:
    assert len(all_pages) > 20
    assert [wrong for page in all_pages for wrong in broken_links(page, here)] == []


def test_every_page_can_be_reached_from_the_readme(all_pages: list[Page], here: Path) -> None:
    found = reachable(here / "README.md")
    assert [str(page.path.relative_to(here)) for page in all_pages if page.path.resolve() not in found] == []


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("gone.md", "leads nowhere"),
        ("../outside.md", "leads nowhere"),
        ("#no-such", "names no heading"),
        ("other.md#no-such", "names no heading"),
        ("data.json#one", "names no heading"),
    ],
)
def test_a_broken_link_is_found(link: str, complaint: str, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (tmp_path / "outside.md").write_text("# Outside\n")
    (root / "other.md").write_text("# Other\n")
    (root / "data.json").write_text("{}\n")
    page = root / "page.md"
    page.write_text(f"# Page\n\nsee [this]({link})\n")
    assert list(broken_links(Page.read(page), root)) == [f"page.md: {link} {complaint}"]


def test_links_in_code_are_no_links_and_headings_get_the_anchors_of_a_code_host(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The `run` of it, in short!\n\n## Twice\n\n## Twice\n\n`[a](gone.md)` [b](#the-run-of-it-in-short) [c](#twice-1)\n\n"
        "```\n[d](gone.md)\n```\n"
    )
    assert list(broken_links(Page.read(page), tmp_path)) == []
    assert Page.read(page).anchors == {"the-run-of-it-in-short", "twice", "twice-1"}


def test_a_page_that_nobody_links_to_is_found(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("[a](a.md)\n")
    (tmp_path / "a.md").write_text("[home](README.md#x) [there](https://example.com/b.md)\n")
    (tmp_path / "b.md").write_text("alone\n")
    assert reachable(tmp_path / "README.md") == {tmp_path / "README.md", tmp_path / "a.md"}
