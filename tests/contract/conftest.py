"""One suite, two implementations: the service in this process, and the client over HTTP to a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from holdfast.client import GovernanceClient
from holdfast.core.access import Caller
from holdfast.ports import Governance
from holdfast.settings import Platform
from tests.support.server import serve
from tests.support.story import Story

ActAs = Callable[[str], Governance]


@pytest.fixture(scope="module", params=["service", "client"])
def act_as(request: pytest.FixtureRequest, platform: Platform) -> Iterator[ActAs]:
    if request.param == "service":
        yield lambda principal: platform.governance(Caller(principal))
        return
    with serve(platform) as url:
        # The grants must lead to the server that was just started.
        reachable = replace(platform, settings=platform.settings.model_copy(update={"api_url": url}))
        reachable.objects._api_url = url
        clients: dict[str, GovernanceClient] = {}

        def act(principal: str) -> Governance:
            if principal not in clients:
                clients[principal] = GovernanceClient(url, principal)
            return clients[principal]

        yield act
        for client in clients.values():
            client.close()


@pytest.fixture(scope="module")
def story(act_as: ActAs, platform: Platform) -> Story:
    return Story.begin(act_as, platform.objects)
