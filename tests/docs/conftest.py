from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.markdown import Page, pages

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def all_pages() -> list[Page]:
    return pages(ROOT)
