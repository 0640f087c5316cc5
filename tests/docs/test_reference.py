"""The reference pages say what the code says."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo
from tools import reference

from holdfast.cli.main import EXIT_CODES
from holdfast.core.errors import ERRORS
from holdfast.dataplane.kubernetes.namespace import RECONCILER_RIGHTS, RIGHTS
from holdfast_plugins.errors import STATUS
from holdfast_provider._errors import RETRIED
from tests.support.markdown import Page


def test_every_generated_page_is_what_the_generator_writes(here: Path) -> None:
    assert reference.stale(here) == [], "run `make reference`"


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_that_was_changed_or_removed_is_found(name: str, here: Path, tmp_path: Path) -> None:
    for page in reference.PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(here / page, tmp_path / page)
    with (tmp_path / name).open("a") as file:
        file.write("and more\n")
    assert reference.stale(tmp_path) == [name]
    (tmp_path / name).unlink()
    assert reference.stale(tmp_path) == [name]


def test_a_setting_without_a_description_has_no_page() -> None:
    with pytest.raises(ValueError, match="'depth' has no description"):
        reference._meaning("depth", FieldInfo(annotation=int))


def table_rows(text: str, head: str) -> list[list[str]]:
    """Return the cells of the table that begins with a head."""
    lines = text[text.index(head) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


def test_the_errors_page_maps_as_the_edges_do(here: Path) -> None:
    rows = table_rows((here / "docs/reference/errors.md").read_text(), "| error |")
    assert [row[0] for row in rows] == [error.__name__ for error in ERRORS]
    for row, error in zip(rows, ERRORS, strict=True):
        assert int(row[2][:3]) == STATUS[error], row
        assert row[3].startswith("tried again") is (error in RETRIED), row
        assert int(row[4]) == EXIT_CODES[error], row


def test_the_cluster_page_lists_the_rights_that_the_manifests_give(here: Path) -> None:
    rows = table_rows((here / "docs/how-to/bring-your-cluster.md").read_text(), "| on | workers and triggerer |")
    for column, rights in ((1, RIGHTS), (2, RECONCILER_RIGHTS)):
        said = {row[0]: tuple(row[column].removesuffix(", its own alone").split(", ")) for row in rows if row[column]}
        assert said == rights


def test_every_dependency_has_its_line(here: Path) -> None:
    project = tomllib.loads((here / "pyproject.toml").read_text())
    groups = [*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()]
    wanted = [
        *project["project"]["dependencies"],
        *(item for group in groups for item in group if isinstance(item, str)),
    ]
    names = {re.split(r"[\[=><]", item)[0] for item in wanted}
    for locked in here.glob("tests/**/go.mod"):  # what is indirect says so at the end of its line
        module = locked.read_text()
        names |= set(re.findall(r"^\t(\S+) v\S+$", module, re.MULTILINE))
        indirect = re.findall(r"^\t(\S+) v\S+ // indirect$", module, re.MULTILINE)
        tools = re.findall(r"^tool (\S+)$", module, re.MULTILINE)  # a program that is asked for by itself is not
        names |= {name for name in indirect if any(tool.startswith(f"{name}/") for tool in tools)}
    text = (here / "docs/explanation/dependencies.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    listed = {name.strip() for cell in rows for name in cell.split(",")} - {"package", "---"}
    assert listed == names


def test_every_adr_says_when_a_change_violates_it(all_pages: list[Page], here: Path) -> None:
    adrs = [page for page in all_pages if page.path.parent == here / "docs/adr" and page.path.name[0].isdigit()]
    assert [page.path.name[:4] for page in adrs] == [f"{number:04}" for number in range(1, len(adrs) + 1)]
    for page in adrs:
        assert {"decision", "what-was-not-taken-and-its-price", "a-change-violates-this-when-it"} <= page.anchors, page
