from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from holdfast.cli.main import app
from holdfast.client import GovernanceClient
from holdfast.settings import Platform
from tests.support.server import serve
from tests.support.story import Story


@pytest.fixture(scope="module")
def url(platform: Platform) -> Iterator[str]:
    with serve(platform) as url:
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


@dataclass(frozen=True)
class Cli:
    """The command line in this process, with an environment of its own."""

    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: object, stdin: str = "") -> Result:
        # None removes: nothing of the machine's environment reaches the command.
        environment = dict.fromkeys(
            ("HOLDFAST_TOKEN", "HOLDFAST_TOKEN_FILE", "HOLDFAST_API_URL", "HOLDFAST_PROJECT", "HOLDFAST_OUTPUT")
        )
        return CliRunner().invoke(
            app, [str(a) for a in arguments], env={**environment, **self.environment}, input=stdin
        )

    def table(self, *arguments: object) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def json(self, *arguments: object) -> Any:
        return json.loads(self.table(*arguments, "--output", "json"))

    def refused(self, code: int, *arguments: object) -> str:
        """Return what is said of a refusal, whose remedy stands on a line of its own."""
        result = self.run(*arguments)
        assert (result.exit_code, result.stdout) == (code, ""), (result.exit_code, result.stdout, result.stderr)
        assert len(result.stderr.strip().splitlines()) >= 2, result.stderr
        assert "Traceback" not in result.stderr
        return result.stderr

    def as_(self, principal: str) -> Cli:
        return replace(self, environment={**self.environment, "HOLDFAST_TOKEN": principal})


@pytest.fixture(scope="module")
def cli(url: str, story: Story) -> Cli:
    """The command line of mia, who maintains the story's Project."""
    return Cli({"HOLDFAST_API_URL": url, "HOLDFAST_PROJECT": story.project, "HOLDFAST_TOKEN": "user:mia"})
