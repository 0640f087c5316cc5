"""OCSF 1.3.0: an event as Entity Management or, where a role is given or taken, as User Access Management. Pure.

What the mapping leaves behind is not lost: `raw_data` is the event as it was recorded, and the evidence is that text alone.
Source: schema.ocsf.io, version 1.3.0; `docs/reference/ocsf-1.3.0.schema.json` is what is used of it.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from holdfast.core.audit import AuditAction, Outcome
from holdfast.export.plain import ascii_line
from holdfast.export.record import Record

VERSION = "1.3.0"
CATEGORY = 3
ENTITY_MANAGEMENT = 3004
USER_ACCESS_MANAGEMENT = 3005
CREATE, READ, UPDATE, DELETE, OTHER = 1, 2, 3, 4, 99
ACTIVITIES = {CREATE: "Create", READ: "Read", UPDATE: "Update", DELETE: "Delete"}

ACCESS = {
    AuditAction.ROLE_BOUND.value: (1, "Assign Privileges"),
    AuditAction.ROLE_UNBOUND.value: (2, "Revoke Privileges"),
}
VERBS = {
    **dict.fromkeys(
        ("added", "created", "defined", "locked", "made", "placed", "proposed", "registered", "requested", "taken"),
        CREATE,
    ),
    **dict.fromkeys(("granted", "probed", "read", "replayed", "staged", "used"), READ),
    **dict.fromkeys(
        ("approved", "archived", "bound", "changed", "executed", "finished", "moved", "paused", "quarantined"), UPDATE
    ),
    **dict.fromkeys(("rejected", "resumed", "sealed", "started", "unbound", "voided", "withdrawn"), UPDATE),
    **dict.fromkeys(
        (
            "certified",
            "extended",
            "item_kept",
            "mended",
            "release_rejected",
            "release_requested",
            "released",
            "unlocked",
        ),
        UPDATE,
    ),
    **dict.fromkeys(("disposed", "erased", "purged", "removed", "revoked"), DELETE),
    **dict.fromkeys(("announced", "answered", "attempted", "denied", "ended", "received", "refused"), OTHER),
}
"""What the verb of an action is in OCSF; what is Other has its own name there, too."""
_USER_TYPES = {"user": (1, "User"), "system": (3, "System")}


def ocsf_json(record: Record) -> bytes:
    """Return the record as one line."""
    return ascii_line(orjson.dumps(ocsf_of(record)))


def ocsf_of(record: Record) -> dict[str, Any]:
    """Return the record as an OCSF event."""
    event = record.document
    action = str(event.get("action") or "")
    target = event.get("target") or {"type": "audit_event", "id": str(record.event)}
    found: dict[str, Any] = {
        "category_uid": CATEGORY,
        "category_name": "Identity & Access Management",
        "time": _milliseconds(record),
        "metadata": {
            "version": VERSION,
            "product": {"name": "Holdfast", "vendor_name": "Holdfast", "feature": {"name": "audit"}},
            "log_name": record.log,
            "sequence": record.index,
            "uid": str(record.event),
            "logged_time": _milliseconds(record),
        },
        "actor": _actor(str(event.get("initiator") or "unknown:")),
        "unmapped": {"ledger": record.ledger(), "project": event.get("project"), "trace_id": event.get("trace_id")},
        "message": f"{action or 'event'} of {target['type']} {target['id']}",
        **_outcome(event.get("outcome")),
    }
    if action:
        found["metadata"]["event_code"] = action
    if event.get("request_id"):
        found["metadata"]["correlation_uid"] = event["request_id"]
    if record.content is not None:
        found["raw_data"] = record.content
    return {**found, **_class_of(action, event, target)}


def _class_of(action: str, event: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    content = event.get("content") or {}
    if action in ACCESS and "subject" in content and "role" in content:
        number, name = ACCESS[action]
        return {
            "class_uid": USER_ACCESS_MANAGEMENT,
            "class_name": "User Access Management",
            "activity_id": number,
            "activity_name": name,
            "type_uid": USER_ACCESS_MANAGEMENT * 100 + number,
            "user": _user(str(content["subject"])),
            "privileges": [str(content["role"])],
        }
    verb = action.rpartition(".")[2]
    number = VERBS.get(verb, OTHER)
    return {
        "class_uid": ENTITY_MANAGEMENT,
        "class_name": "Entity Management",
        "activity_id": number,
        "activity_name": ACTIVITIES.get(number, verb or "Other"),
        "type_uid": ENTITY_MANAGEMENT * 100 + number,
        "entity": {"type": str(target["type"]), "uid": str(target["id"]), "data": content},
        **({"comment": event["reason"]} if event.get("reason") else {}),
    }


def _outcome(outcome: str | None) -> dict[str, Any]:
    match outcome:
        case Outcome.SUCCEEDED:
            return {"status_id": 1, "status": "Success", "severity_id": 1, "severity": "Informational"}
        case Outcome.REFUSED:
            return {"status_id": 2, "status": "Failure", "severity_id": 3, "severity": "Medium"}
        case _:
            return {"status_id": 0, "status": "Unknown", "severity_id": 1, "severity": "Informational"}


def _actor(initiator: str) -> dict[str, Any]:
    return {"user": _user(initiator), "app_name": "Holdfast"}


def _user(principal: str) -> dict[str, Any]:
    number, kind = _USER_TYPES.get(principal.partition(":")[0], (99, principal.partition(":")[0] or "Other"))
    return {"uid": principal, "name": principal.partition(":")[2] or principal, "type_id": number, "type": kind}


def _milliseconds(record: Record) -> int:
    return int(record.recorded_at.timestamp() * 1000)
