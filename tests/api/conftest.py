from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from holdfast.client import GovernanceClient
from holdfast.settings import Platform
from tests.support.server import serve
from tests.support.story import Story


@pytest.fixture(scope="module")
def url(platform: Platform) -> Iterator[str]:
    smaller = replace(platform, settings=platform.settings.model_copy(update={"body_limit_bytes": 64 << 10}))
    with serve(smaller) as url:
        platform.objects._api_url = url
        yield url


@pytest.fixture(scope="module")
def story(url: str, platform: Platform) -> Iterator[Story]:
    clients: dict[str, GovernanceClient] = {}
    yield Story.begin(
        lambda principal: clients.setdefault(principal, GovernanceClient(url, principal)), platform.objects
    )
    for client in clients.values():
        client.close()


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client
