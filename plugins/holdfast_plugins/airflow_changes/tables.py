"""Which rows of Airflow's database are watched, and what an event may say of them: secrets never stand in it, only keyed digests."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from holdfast.core.keyed import KeyedDigests

_PLAIN_HOST = re.compile(r"(?:[a-z][a-z0-9+.\-]*://)?[A-Za-z0-9._\-]*(?::[0-9]{1,5})?/?")


@dataclass(frozen=True, slots=True)
class Watched:
    """A table whose rows are watched.

    Attributes:
        kind: the target's type in events.
        name: columns that name a row.
        clear: columns that stand in clear.
        secret: columns of which there are keyed digests.
        place: columns with an address, in clear where it is nothing but a host and a port.
        relations: attributes whose members are named by value.
        by_people: whether only what people do is recorded; Airflow itself changes such rows all the time.
        is_made_silently: whether new rows are Airflow's own doing and say nothing.
    """

    kind: str
    name: tuple[str, ...]
    clear: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    place: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    by_people: bool = False
    is_made_silently: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are looked at."""
        return tuple(dict.fromkeys((*self.name, *self.clear, *self.secret, *self.place)))


TABLES: Mapping[str, Watched] = {
    "connection": Watched(
        "airflow_connection",
        ("conn_id",),
        ("conn_type", "schema", "login", "port", "description", "team_name"),
        ("password", "extra"),
        ("host",),
    ),
    "variable": Watched("airflow_variable", ("key",), ("description", "team_name"), ("val",)),
    "slot_pool": Watched("airflow_pool", ("pool",), ("slots", "description", "include_deferred", "team_name")),
    "dag": Watched("airflow_dag", ("dag_id",), ("is_paused",), by_people=True, is_made_silently=True),
    "dag_run": Watched("airflow_dag_run", ("dag_id", "run_id"), ("state", "run_type"), ("conf",), by_people=True),
    "task_instance": Watched(
        "airflow_task_instance",
        ("dag_id", "run_id", "task_id", "map_index"),
        ("state",),
        by_people=True,
        is_made_silently=True,
    ),
    "backfill": Watched("airflow_backfill", ("dag_id", "id"), ("is_paused", "completed_at"), by_people=True),
    "hitl_detail": Watched(
        "airflow_decision", ("ti_id",), ("responded_at", "chosen_options"), ("params_input",), by_people=True
    ),
    "team": Watched("airflow_team", ("name",)),
    "ab_user": Watched(
        "airflow_user",
        ("username",),
        ("email", "first_name", "last_name", "active"),
        ("password",),
        relations=("roles", "groups"),
    ),
    "ab_role": Watched("airflow_role", ("name",), relations=("permissions",)),
    "ab_group": Watched("airflow_group", ("name",), ("label", "description"), relations=("roles", "users")),
    # As tables of their own only where somebody deletes from them by a statement.
    "ab_user_role": Watched("airflow_user_role", ("user_id", "role_id")),
    "ab_permission_view_role": Watched("airflow_role_permission", ("role_id", "permission_view_id")),
    "ab_group_role": Watched("airflow_group_role", ("group_id", "role_id")),
    "ab_user_group": Watched("airflow_user_group", ("user_id", "group_id")),
}


def values_of(watched: Watched, row: Mapping[str, Any], digests: KeyedDigests) -> dict[str, object]:
    """Return what an event says of a row's columns."""
    found: dict[str, object] = {}
    for column in watched.columns:
        value = row.get(column)
        if value is None or isinstance(value, bool):
            found[column] = value
        elif column in watched.secret:
            found[column] = digests.of(decrypted(value))
        elif column in watched.place and not _PLAIN_HOST.fullmatch(str(value)):
            found[column] = digests.of(str(value))
        else:
            found[column] = plain(value)
    return found


def name_of(watched: Watched, row: Mapping[str, Any]) -> str:
    """Return a row's name as the target of events."""
    return "/".join(str(plain(row.get(column))) for column in watched.name)[:500]


def plain(value: Any) -> object:
    """Return a column's value as an event may hold it."""
    match value:
        case None | bool():
            return value
        case int() if abs(value) < 2**53:
            return value
        case Enum():
            return str(value.value)
        case datetime():
            return value.isoformat()
        case list() | tuple():
            return [plain(item) for item in value[:50]]
        case _:
            return str(value)[:500].replace("\x00", "")


def decrypted(value: Any) -> str:
    """Return a secret in the form that equal secrets share: Airflow's encryption gives another text each time."""
    from airflow.models.crypto import get_fernet

    text = value if isinstance(value, str) else repr(value)
    try:
        return str(get_fernet().decrypt(text.encode()).decode())
    except Exception:  # noqa: BLE001 - not encrypted, or by a key that Airflow does not have: then it is taken as it stands
        return text
