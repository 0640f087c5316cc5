from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from holdfast.settings import Platform
from tests.support.export import ExportPlace
from tests.support.tls import Authority

_numbers = itertools.count()


@pytest.fixture(scope="module")
def place(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> ExportPlace:
    return ExportPlace.make(platform.engine, tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def named() -> Callable[[], str]:
    """Names for sinks, each of which is begun once."""
    return lambda: f"sink-{next(_numbers)}"
