"""What Airflow knows of the provider and the plugin, and the connection that a person makes by the form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from demo.platform import PROJECT

from tests.support.airflow import VAULT

if TYPE_CHECKING:
    from tests.support.airflow import Installation


def test_the_plugin_is_loaded_with_its_app_and_its_listener(place: Installation) -> None:
    owner = place.airflow("owner")
    assert owner.call("GET", "/plugins/importErrors")["import_errors"] == []
    [plugin] = [plugin for plugin in owner.call("GET", "/plugins")["plugins"] if plugin["name"] == "holdfast"]
    assert [(app["name"], app["url_prefix"]) for app in plugin["fastapi_apps"]] == [("Holdfast", "/holdfast/api")]
    assert plugin["listeners"] == ["holdfast_plugins.marked.Marked"]


def test_the_provider_is_listed(place: Installation) -> None:
    found = place.airflow("owner").call("GET", "/providers?limit=200")["providers"]
    assert [item["description"] for item in found if item["package_name"] == "holdfast"] == [
        "Runs, Artifacts and Model promotion under audit"
    ]


def test_the_connection_form_asks_for_what_the_hook_reads(place: Installation) -> None:
    headers = {"Authorization": f"Bearer {place.airflow('owner').token}"}
    reply = httpx.get(f"{place.url}/ui/connections/hook_meta", headers=headers, timeout=30, trust_env=False)
    [meta] = [entry for entry in reply.json() if entry["connection_type"] == "holdfast"]
    assert meta["hook_name"] == "Holdfast"
    fields = meta["standard_fields"]
    assert {name for name, field in fields.items() if field and field["hidden"]} == {"url_schema", "port", "login"}
    assert (fields["host"]["title"], fields["password"]["title"]) == ("API URL", "Service token")
    assert {name: field["schema"]["title"] for name, field in meta["extra_fields"].items()} == {
        "project": "Project",
        "data_roots": "Data roots",
    }


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({}, True, f"reaches Project {PROJECT}"),
        ({"extra": None}, True, f"reaches Project {PROJECT}"),
        ({"extra": f'{{"project": "{VAULT}"}}'}, False, f"there is no Project '{VAULT}' for token:"),
        ({"password": "hft_nonsense"}, False, "this is not a service token"),
        ({"password": f"hft_{'0' * 32}_{'A' * 43}"}, False, "the service token is unknown"),
        ({"password": None}, False, "lacks the API's URL or the service token"),
        ({"host": "http://127.0.0.1:9/holdfast/api/v1"}, False, "does not answer"),
        ({"host": "{url}/api/v2"}, False, "without a problem document"),
    ],
)
def test_the_connection_test_says_what_is_wrong(
    place: Installation, changes: dict[str, Any], status: bool, message: str
) -> None:
    body = {
        "connection_id": "tested",
        "conn_type": "holdfast",
        "host": place.api_url,
        "password": place.tokens[PROJECT],
        "extra": f'{{"project": "{PROJECT}"}}',
        **changes,
    }
    body["host"] = body["host"].replace("{url}", place.url)
    reply = place.airflow("owner").call("POST", "/connections/test", body)
    assert reply["status"] is status
    assert message in reply["message"]
    assert place.tokens[PROJECT] not in reply["message"]
