from __future__ import annotations

import pytest

from holdfast.core.access import Caller
from holdfast.settings import Platform
from tests.support.story import Story


@pytest.fixture(scope="module")
def story(platform: Platform) -> Story:
    return Story.begin(lambda principal: platform.governance(Caller(principal)), platform.objects)
