"""One installation for the whole suite. What takes time is triggered at its beginning, all at once; the tests then look how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.airflow import Installation, installation


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("installation") / "state") as place:
        yield place


@pytest.fixture(scope="session", autouse=True)
def begun(place: Installation) -> dict[str, str]:
    """Run ids by scenario."""
    rows = place.directory("failures") / "rows"
    rows.mkdir()
    (rows / "rows.csv").write_text("1,2\n")
    supplies = place.directory("supplied")
    _write(supplies / "a model.bin", supplies / "papers" / "a.txt", supplies / "papers" / "deep" / "b.txt")
    source = (place.state.root / "landing" / "tumours").as_uri()
    return {
        "expired": place.trigger("decisions", policy="brief"),
        "rejected": place.trigger("decisions", policy="clinical"),
        "failures": place.trigger("failures", work=str(rows.parent)),
        "again": place.trigger("again"),
        "example": place.trigger("tumour_classifier", source=source),
        "heard": place.trigger("heard", work=str(place.directory("heard"))),
        "partial": place.trigger("partial"),
        "nosy": place.trigger("nosy"),
        "supplied": place.trigger("supplied", work=str(supplies)),
        "loose": place.trigger("loose"),
        "vault": place.trigger("vault_bound", work=str(rows)),
    }


def _write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
