"""Writes the reference pages that follow from the code: `make reference`.

A page is a pure function of what the code declares, so that a test can say which committed page is not what the code says.
"""

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.main import get_command

from holdfast.cli.main import EXIT_CODES, app
from holdfast.core.access import GRANTS, TOKEN_PERMISSIONS, Permission, Role
from holdfast.core.audit import AuditAction, class_of
from holdfast.export.config import FilesSettings, SinkSettings, SyslogSettings, WebhookSettings
from holdfast.export.ocsf import ACCESS, ACTIVITIES, ENTITY_MANAGEMENT, OTHER, USER_ACCESS_MANAGEMENT, VERBS
from holdfast.export.ocsf import VERSION as OCSF_VERSION
from holdfast.export.rfc5424 import LOG_AUDIT
from holdfast.export.webhook import FORMAT as BATCH_FORMAT
from holdfast.ports import MAX_LIMIT
from holdfast.settings import DisposerSettings, ExportSettings, LedgerSettings, OwnerSettings, Settings
from holdfast_plugins.airflow_changes.tables import TABLES
from holdfast_plugins.app import MOUNT, describe
from holdfast_plugins.openapi import document
from holdfast_provider.get_provider_info import get_provider_info

ROOT = Path(__file__).parents[1]

ROLES: Mapping[Role, str] = {
    Role.VIEWER: "reads within its Projects",
    Role.PROJECT_MAINTAINER: "creates and runs within its Projects, requests promotions, proposes retention policies",
    Role.SRE: "looks after the installation: reads, audit included, and reconciles",
    Role.SECURITY_OFFICER: "places and releases legal holds, approves promotions where a policy says so, defines policies, "
    "approves retention policies, reads audit",
    Role.PLATFORM_OWNER: "creates and archives Projects, binds roles",
}
PERMISSIONS: Mapping[Permission, str] = {
    Permission.PROJECT_READ: "read everything of a Project except its audit events, its tokens and the bytes of Artifacts",
    Permission.PROJECT_CREATE: "create a Project",
    Permission.PROJECT_ARCHIVE: "make a Project read-only, for good",
    Permission.BINDING_WRITE: "give a role to a subject and take it back",
    Permission.TOKEN_WRITE: "make, list and revoke service tokens",
    Permission.ENVIRONMENT_WRITE: "lock an environment",
    Permission.POLICY_WRITE: "define a promotion policy, or its next version",
    Permission.DATASET_WRITE: "register a DatasetVersion; get grants to read the S3 sources of the Project",
    Permission.RUN_WRITE: "create, start, change and finish PipelineRuns and Runs",
    Permission.RUN_RECONCILE: "end Runs by evidence, and quarantine and remove pods: what `holdfast reconcile apply` does",
    Permission.ARTIFACT_WRITE: "attach an Artifact to an open Run",
    Permission.ARTIFACT_CONTENT: "get a grant to read an Artifact's bytes",
    Permission.MODEL_WRITE: "register a ModelVersion",
    Permission.PROMOTION_REQUEST: "request a promotion",
    Permission.PROMOTION_DECIDE: "approve or reject a promotion",
    Permission.PROMOTION_EXECUTE: "execute an approved promotion",
    Permission.AUDIT_READ: "read audit events",
    Permission.EXPORT_OPERATE: "add, pause and resume sinks of the export, and replay to them: what `holdfast export` does",
    Permission.STORE_PROBE: "write down what a probe of the object store found: what `holdfast store probe` does",
    Permission.RETENTION_PROPOSE: "propose a version of a retention policy, or its end, and withdraw a proposal",
    Permission.RETENTION_DECIDE: "approve or reject a proposed version of a retention policy",
    Permission.RETENTION_PLAN: "make a retention plan, and withdraw one that nobody has decided on",
    Permission.RETENTION_PLAN_DECIDE: "approve or reject a retention plan that another person has made",
    Permission.LEGAL_HOLD_READ: "read legal holds, on the platform: their matters, their custodians and what they cover",
    Permission.LEGAL_HOLD_PLACE: "place a legal hold, on the platform",
    Permission.LEGAL_HOLD_RELEASE: "ask for the release of a legal hold, and decide on what another person has asked for",
}
ACTIONS: Mapping[AuditAction, str] = {
    AuditAction.PROJECT_CREATED: "A Project was created.",
    AuditAction.PROJECT_ARCHIVED: "A Project became read-only, for good.",
    AuditAction.ROLE_BOUND: "A subject was given a role, in a Project or on the platform.",
    AuditAction.ROLE_UNBOUND: "A role was taken back.",
    AuditAction.TOKEN_CREATED: "A service token was made; the event holds its scope and expiry, never its secret.",
    AuditAction.TOKEN_REVOKED: "A service token became useless.",
    AuditAction.ENVIRONMENT_LOCKED: "An EnvironmentLock was made.",
    AuditAction.POLICY_DEFINED: "A promotion policy, or its next version, was defined.",
    AuditAction.POLICY_SNAPSHOT_TAKEN: "The rules' decisions on a Run were stored; once for each different content.",
    AuditAction.DATASET_SOURCE_GRANTED: "Leave was given to read a page of an S3 source, to hash it; the event has its first and its last path.",
    AuditAction.DATASET_VERSION_REGISTERED: "A DatasetVersion was registered.",
    AuditAction.PIPELINE_RUN_CREATED: "An Airflow DagRun was recorded.",
    AuditAction.PIPELINE_RUN_CHANGED: "A PipelineRun took another state.",
    AuditAction.RUN_CREATED: "A Run was created with all its bindings and its seal.",
    AuditAction.RUN_STARTED: "User code was about to start, under a fence.",
    AuditAction.RUN_CHANGED: "A Run was queued, lost sight of, or is being reconciled; the event has cause and owner.",
    AuditAction.SECRET_USED: "A Run was started that reads a secret of its namespace; the event names the secret and the variable, never its value.",
    AuditAction.RUN_FINISHED: "A Run ended; the event has its state, and for a failure its class and cause.",
    AuditAction.POD_QUARANTINED: "A pod that is no Run's own was about to be quarantined; the event names pod, UID, namespace, node and rule, and the Run whose name it has.",
    AuditAction.POD_REMOVED: "A pod was about to be removed, out of quarantine or after its Run; the event names the same.",
    AuditAction.ARTIFACT_REGISTERED: "An Artifact was registered with digest and size.",
    AuditAction.MODEL_VERSION_REGISTERED: "A ModelVersion was registered.",
    AuditAction.MODEL_VERSION_CHANGED: "A ModelVersion took another state.",
    AuditAction.PROMOTION_REQUESTED: "A promotion was requested; its evidence is fixed from here on.",
    AuditAction.PROMOTION_APPROVED: "Somebody approved, or tried to: then the outcome is `refused`.",
    AuditAction.PROMOTION_REJECTED: "Somebody rejected, or tried to: then the outcome is `refused`.",
    AuditAction.PROMOTION_VOIDED: "Something under an approval had changed, so that the approval is void.",
    AuditAction.PROMOTION_EXECUTED: "An approved promotion was carried out.",
    AuditAction.ALIAS_MOVED: "An alias points at another ModelVersion; the event has both.",
    AuditAction.AUDIT_EVENTS_READ: "Somebody read a page of audit events.",
    AuditAction.ROLE_BINDINGS_READ: "Somebody read who has which role.",
    AuditAction.TOKENS_READ: "Somebody read which service tokens there are.",
    AuditAction.ARTIFACT_GRANTED: "Leave was given to read an Artifact's bytes.",
    AuditAction.RUN_STAGED: "Leave was given to a Run's agent to read its inputs; the event names them.",
    AuditAction.CALL_DENIED: "A call was answered with 401 or 403, or with 404 because the caller may not know what is there. `claimed` is a token that was shown and is not good.",
    AuditAction.ANONYMOUS_CALL_RECEIVED: "Somebody who has not shown who it is asked Airflow for a change; recorded before Airflow decides.",
    AuditAction.DAG_REFUSED: "A policy refused a Dag; once for each content of its file.",
    AuditAction.LOGIN_ATTEMPTED: "Somebody logged in to Airflow, or tried to: then the outcome is `refused`. A name that no user has is a keyed digest.",
    AuditAction.AIRFLOW_CALL_RECEIVED: "A user asked Airflow for a change, over REST or on a page; recorded before Airflow does it.",
    AuditAction.AIRFLOW_CALL_ANSWERED: "What Airflow answered to it; `call` is the same as in the event before.",
    AuditAction.AIRFLOW_COMMAND_STARTED: "A command of `airflow` that may change something was given; recorded before it runs.",
    AuditAction.AIRFLOW_COMMAND_ENDED: "That command ended.",
    AuditAction.AIRFLOW_CHANGE_ANNOUNCED: "A row of Airflow is about to be changed: which, what it was before and will be after, and by which call or command.",
    AuditAction.AIRFLOW_CHANGE_ENDED: "Airflow's transaction with these changes committed, or did not: then the outcome is `refused`.",
    AuditAction.AIRFLOW_OBJECT_READ: "Somebody, or a task, read Airflow's connections, variables, configuration, users, roles or event log.",
    AuditAction.EXPORT_SINK_ADDED: "Events go to one more sink; the event has its kind, its format and the index it begins with.",
    AuditAction.EXPORT_SINK_PAUSED: "A sink gets no events until it is resumed; the event has the index that is next.",
    AuditAction.EXPORT_SINK_RESUMED: "A paused sink gets events again; the event has the index that is next.",
    AuditAction.EXPORT_SINK_REPLAYED: "Events were about to be sent to a sink once more; the event has the ranges of their indexes.",
    AuditAction.LOG_KEYS_CHANGED: "Other keys than before sign the log from now on; the event has both.",
    AuditAction.AUDIT_RETENTION_DEFINED: "It was said for how long events of a class are kept; the event has the period and the quota.",
    AuditAction.AUDIT_SEGMENT_SEALED: "A segment of the audit trail takes no more events, and each of them is as it is in the log; the event has "
    "their number, their indexes and their root.",
    AuditAction.AUDIT_SEGMENT_DISPOSED: "The events of a segment have gone: the certificate, with their number, their indexes, their root and "
    "the rule.",
    AuditAction.STORE_PROBED: "The object store was probed: whether it keeps its locks; the event names the rules that it breaks, and those that "
    "could not be tried.",
    AuditAction.AUDIT_EVENT_ERASED: "What an event says, and about whom, has gone; the event has its index, its action and its commitment.",
    AuditAction.RETENTION_POLICY_PROPOSED: "A version of a retention policy was proposed, or its end; the event has its whole content.",
    AuditAction.RETENTION_POLICY_APPROVED: "A Security Officer approved a version, which is in force from here on, or tried to: then the outcome is `refused`.",
    AuditAction.RETENTION_POLICY_REJECTED: "A Security Officer rejected a version, or tried to: then the outcome is `refused`.",
    AuditAction.RETENTION_POLICY_WITHDRAWN: "A proposal was taken back before anybody decided on it.",
    AuditAction.RETENTION_PLAN_MADE: "A plan was made of what may go; the event has the root over exactly its items.",
    AuditAction.RETENTION_PLAN_APPROVED: "A Security Officer approved a plan over its root, or tried to: then the outcome is `refused`.",
    AuditAction.RETENTION_PLAN_REJECTED: "A Security Officer rejected a plan, or tried to: then the outcome is `refused`.",
    AuditAction.RETENTION_PLAN_WITHDRAWN: "A plan was taken back before anybody decided on it.",
    AuditAction.RETENTION_PLAN_ITEM_KEPT: "An object of an approved plan was kept; the event has what was in the way.",
    AuditAction.RETENTION_PLAN_CERTIFIED: "A plan was carried out; the event has the digest of the certificate, and the root over what "
    "became of each item. It is never disposed of.",
    AuditAction.ARTIFACT_PURGED: "An Artifact's bytes have gone, every version, by an approved plan; `refused` where the store still has "
    "some. It is never disposed of.",
    AuditAction.DATASET_VERSION_PURGED: "A DatasetVersion has gone by an approved plan; its bytes are at their source. It is never disposed of.",
    AuditAction.LEGAL_HOLD_PLACED: "A legal hold was placed; the event has its matter, its custodians, its scope and how many objects it covers.",
    AuditAction.LEGAL_HOLD_EXTENDED: "A legal hold covers what was just written, too; the event names the first hundred objects.",
    AuditAction.LEGAL_HOLD_RELEASE_REQUESTED: "Somebody asked for the release of a legal hold; `refused` where that could not be.",
    AuditAction.LEGAL_HOLD_RELEASE_REJECTED: "The release of a legal hold was rejected; the hold stays.",
    AuditAction.LEGAL_HOLD_RELEASED: "A second person approved the release of a legal hold; `refused` where that could not be.",
    AuditAction.LEGAL_HOLD_LOCKED: "The object store locked versions that a legal hold covers, and said so when it was read back.",
    AuditAction.LEGAL_HOLD_UNLOCKED: "The object store let go of versions that no legal hold covers any more.",
    AuditAction.LEGAL_HOLD_MENDED: "The object store had lost the lock of versions that are under legal hold; the event names them.",
}


def settings_page() -> str:
    """Return the page about what a service process and Airflow's side are told."""
    settings = [
        (f"`HOLDFAST_{name.upper()}`", _default(field), "yes" if _is_secret(field) else "", _meaning(name, field))
        for name, field in {
            **Settings.model_fields,
            **OwnerSettings.model_fields,
            **LedgerSettings.model_fields,
            **DisposerSettings.model_fields,
            **ExportSettings.model_fields,
        }.items()
    ]
    return f"""\
# Settings

{_origin("`holdfast.settings.Settings` and `holdfast_provider.get_provider_info`")}

A process that opens the governance database reads these variables once, when it starts: Airflow's api-server with the
plugin, `holdfast serve`, and `holdfast --direct`. `HOLDFAST_OWNER_URL` is read by `holdfast db` alone, which needs none
of the others. Workers, scheduler and triggerer need none of them.

A secret may stand in a file instead: `<variable>_FILE` names the file.

{_table(["variable", "default", "secret", "meaning"], settings)}

## Airflow's configuration

Section `[holdfast]` of Airflow's configuration, or `AIRFLOW__HOLDFAST__<OPTION>`.

{_table(["option", "default", "meaning"], _airflow_options())}

## The connection

Type `holdfast`. The host is the API's URL up to and including `/v1`, the password a service token. The extra may hold:

{_table(["key", "label", "meaning"], _connection_fields())}
"""


def roles_page() -> str:
    """Return the page about who may do what."""
    grants = [
        (
            f"`{permission}`",
            PERMISSIONS[permission],
            *("yes" if permission in GRANTS[role] else "" for role in Role),
            "yes" if permission in TOKEN_PERMISSIONS else "",
        )
        for permission in Permission
    ]
    return f"""\
# Roles

{_origin("`holdfast.core.access`")}

Whatever is not granted here is refused. A role is bound to a subject, `user:<name>` or `group:<name>`, in one Project or
on the whole platform; the groups of an Airflow user are the user's Airflow roles.

{_table(["role", "who it is for"], ((f"`{role}`", ROLES[role]) for role in Role))}

## What each role grants

{_table(["permission", "to", *(f"`{role}`" for role in Role), "token"], grants)}

The last column is the most a service token may be scoped to. A token belongs to one Project and never decides on a
promotion, binds a role or makes a token.

Whoever took part in making or requesting a promotion may not decide on it, whatever the role: see
[ADR 0009](../adr/0009-an-approval-signs-a-digest.md).
"""


def audit_actions_page() -> str:
    """Return the page about what audit events say."""
    return f"""\
# Audit actions

{_origin("`holdfast.core.audit.AuditAction`")}

Every change is recorded in the transaction that makes it. These are all values of an event's `action`.

{_table(["action", "class", "what happened"], ((f"`{action}`", f"`{class_of(action)}`", ACTIONS[action]) for action in AuditAction))}

An event's `outcome` is `succeeded`, or `refused` for what was not let happen: a decision on a promotion that was not this
caller's to take, was about other evidence, or was given before; a denied call; a failed log-in; a change that Airflow did
not commit.

The *class* keeps events apart, so that many of one kind cannot crowd out the others.

## Rows of Airflow that are watched

Secret columns stand in events as keyed digests: equal secrets have equal digests, under `HOLDFAST_DIGEST_KEY`. A host with more
than a name and a port in it does, too. Of a user's roles and a role's permissions, `before` has those that were taken away and
`after` those that were added.

{_table(["table", "target type", "in clear", "as keyed digests", "only where people do it"], _watched())}

See [what is recorded, and what is not](../explanation/completeness.md).
"""


def rest_api_page() -> str:
    """Return the page about the routes of the REST API."""
    routes: dict[str, list[tuple[str, ...]]] = {}
    for path, operations in describe().openapi()["paths"].items():
        for method, operation in operations.items():
            routes.setdefault(operation["tags"][0], []).append(_route(method, path, operation))
    head = ["call", "key", "what it does"]
    sections = "\n\n".join(f"## {tag.capitalize()}\n\n{_table(head, rows)}" for tag, rows in routes.items())
    return f"""\
# REST API

{_origin("the routes of `holdfast_plugins.app`")}

All paths are below `{MOUNT}`, in Airflow's api-server and with `holdfast serve`. The [OpenAPI document](openapi.json) has
every field.

- **Who calls.** `Authorization: Bearer` with a service token or, inside Airflow, an Airflow access token. A browser's
  Airflow session works, too, for calls from the site's own pages. `/v1/health` needs no caller; `/v1/objects/…` takes the
  grant in its URL and nothing else.
- **Changes** need an `Idempotency-Key` header where the table says *key*. The same key with the same body gives the same
  reply; with another body it is a state conflict.
- **Lists** take `limit` (1 to {MAX_LIMIT}) and `cursor`, and answer `{{"items": […], "next": …}}`; pass `next` as the next
  `cursor` until it is null.
- **Errors** are problem details (RFC 9457); see [errors](errors.md).

{sections}
"""


def cli_page() -> str:
    """Return the page about the commands of `holdfast`."""
    root = get_command(app)
    sections = "\n\n".join(_command(" ".join(("holdfast", *words)), command) for words, command in _commands(root))
    codes = [(f"`{code}`", f"`{error.__name__}`", error.title) for error, code in EXIT_CODES.items()]
    return f"""\
# The command line

{_origin("`holdfast.cli`")}

The options of this table may stand anywhere on the line. The token comes from `HOLDFAST_TOKEN`, or from the file that
`HOLDFAST_TOKEN_FILE` names: never from an argument, which every user of the machine could read.

{_table(["option", "environment", "meaning"], _options(root))}

Results go to standard output, everything else to standard error. `--output json` writes what the REST API answers, an
error of the API too: `{{"error": {{"title": …, "detail": …, "remedy": …, "details": …}}}}`.

{_table(["exit code", "error", ""], codes)}

0 is success, 1 a question answered with no, 2 also a command line that is not understood, 130 an interruption.

{sections}
"""


def export_page() -> str:
    """Return the page about what a sink may be told, and what it gets."""
    kinds: dict[str, type[SinkSettings]] = {
        "Every sink": SinkSettings,
        "webhook": WebhookSettings,
        "syslog": SyslogSettings,
        "files": FilesSettings,
    }
    sinks = "\n\n".join(_sink_section(name, model) for name, model in kinds.items())
    verbs = [(f"`{action}`", *_in_ocsf(action)) for action in AuditAction]
    return f"""\
# Export

{_origin("`holdfast.export`")}

How to run it: [export the audit trail](../how-to/export-events.md).

## Sinks

The file that `HOLDFAST_EXPORT_SINKS` names is TOML: a table `[sinks.NAME]` for each sink.

{sinks}

## A record

As plain JSON (`json`) a record is one line: [export-record.schema.json](export-record.schema.json). Its part `ledger` stands in every format:

{_table(["key", "meaning"], _ledger_fields())}

The *leaf hash* is the one of RFC 9162: SHA-256 of a byte 0 and the leaf. The *commitment* in the leaf is the SHA-256 of the salt and the event in canonical
form (RFC 8785: keys sorted, no spaces, UTF-8). All three formats are in characters that no reader takes for the end of a line.

A webhook's body is `{{"format": "{BATCH_FORMAT}", "log", "first", "last", "replay", "checkpoint", "records": […]}}`: the first and last index, the replay's id or null,
the signed checkpoint under which the events lie, and the records, of CEF as strings.

A syslog message (RFC 5424) has facility {LOG_AUDIT}, severity 6 (5 where something was refused), the action as MSGID, the registered elements `origin` and
`meta` (`sequenceId` is the index + 1, modulo 2147483647), and the record as MSG.

## OCSF {OCSF_VERSION}

What is used of it: [ocsf-{OCSF_VERSION}.schema.json](ocsf-{OCSF_VERSION}.schema.json). The part `ledger` is in `unmapped`, the event in canonical form is `raw_data`.

{_table(["action", "class", "activity"], verbs)}

An action with another verb is *Other*, under its own name.

## CEF 0

What is used of it: [cef-0.keys.json](cef-0.keys.json). `cn1` is the index, `cs1` the log, `cs2` the leaf hash before, `cs3` the leaf hash; `HoldfastLeaf`,
`HoldfastSalt` and `HoldfastContent` (the event, in ASCII) are the evidence. Other values are cut to the standard's lengths, and what is not printable is replaced in
them.
"""


def _sink_section(name: str, model: type[SinkSettings]) -> str:
    meanings = _attributes(model)
    own = [field for field in model.model_fields if field in meanings]
    rows = [(f"`{field}`", _sink_default(model.model_fields[field]), meanings[field]) for field in own]
    if model is not SinkSettings:
        changed = [
            (f"`{field}`", _sink_default(info), "as for every sink")
            for field, info in model.model_fields.items()
            if field in SinkSettings.model_fields and info.default != SinkSettings.model_fields[field].default
        ]
        rows = [("`kind`", "", f"`{name}`"), *rows, *changed]
    return f"### {name if model is SinkSettings else f'`{name}`'}\n\n{_table(['key', 'default', 'meaning'], rows)}"


def _attributes(model: type) -> dict[str, str]:
    """Return what the docstring of a class says of its attributes; every field of its own has to be there."""
    text = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, meaning = line.strip().partition(": ")
        if colon and line.startswith("    ") and not line.startswith("        "):
            found[name] = meaning
        elif found and line.strip():
            found[next(reversed(found))] += f" {line.strip()}"
    return found


def _sink_default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    return "" if default in (None, "") else f"`{getattr(default, 'value', default)}`"


def _ledger_fields() -> Iterable[tuple[str, str]]:
    schema = json.loads((ROOT / "docs/reference/export-record.schema.json").read_text())
    for name, field in schema["$defs"]["ledger"]["properties"].items():
        yield f"`{name}`", field["description"]


def _in_ocsf(action: AuditAction) -> tuple[str, str]:
    if action.value in ACCESS:
        return f"User Access Management ({USER_ACCESS_MANAGEMENT})", ACCESS[action.value][1]
    number = VERBS.get(action.value.rpartition(".")[2], OTHER)
    return f"Entity Management ({ENTITY_MANAGEMENT})", ACTIVITIES.get(number, "Other")


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterable[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def _command(title: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join([title, *(_metavar(a) if a.required else f"[{_metavar(a)}]" for a in arguments)])
    rows = [(f"`{_metavar(a)}`", "", a.help or "") for a in arguments] + _options(command)
    table = f"\n\n{_table(['', 'environment', 'meaning'], rows)}" if rows else ""
    return f"## {title}\n\n`{usage}`\n\n{command.help}{table}"


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _options(command: Any) -> list[tuple[str, str, str]]:
    rows = []
    for option in command.params:
        if option.param_type_name != "option" or option.name in ("help", "install_completion", "show_completion"):
            continue
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        default = "" if option.default in (None, False, [], ()) or option.required else f" Default: `{option.default}`."
        required = " Required." if option.required else ""
        rows.append((names, f"`{option.envvar}`" if option.envvar else "", f"{option.help}{required}{default}"))
    return rows


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/settings.md": settings_page,
    "docs/reference/roles.md": roles_page,
    "docs/reference/audit-actions.md": audit_actions_page,
    "docs/reference/rest-api.md": rest_api_page,
    "docs/reference/cli.md": cli_page,
    "docs/reference/export.md": export_page,
    "docs/reference/openapi.json": document,
}


def stale(root: Path) -> list[str]:
    """Return which generated pages below a root are missing, or are not what the generator writes."""
    return [name for name, page in PAGES.items() if not (root / name).is_file() or (root / name).read_text() != page()]


def _route(method: str, path: str, operation: Mapping[str, Any]) -> tuple[str, ...]:
    headers = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "header"}
    return f"`{method.upper()} {path}`", "key" if "idempotency-key" in headers else "", operation["description"]


def _airflow_options() -> Iterable[tuple[str, ...]]:
    for name, option in get_provider_info()["config"]["holdfast"]["options"].items():
        yield f"`{name}`", f"`{option['default']}`" if option["default"] else "empty", option["description"]


def _connection_fields() -> Iterable[tuple[str, ...]]:
    for kind in get_provider_info()["connection-types"]:
        for name, field in kind["conn-fields"].items():
            yield f"`{name}`", field["label"], field["description"]


def _watched() -> Iterable[tuple[str, ...]]:
    def named(columns: Iterable[str]) -> str:
        return ", ".join(f"`{column}`" for column in columns)

    for table, watched in TABLES.items():
        clear = dict.fromkeys((*watched.name, *watched.clear, *watched.place, *watched.relations))
        yield f"`{table}`", f"`{watched.kind}`", named(clear), named(watched.secret), "yes" if watched.by_people else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "none" if field.default is None else f"`{field.default}`"


def _is_secret(field: FieldInfo) -> bool:
    kinds = get_args(field.annotation) if isinstance(field.annotation, UnionType) else (field.annotation,)
    return SecretStr in kinds


def _meaning(name: str, field: FieldInfo) -> str:
    if not field.description:
        raise ValueError(f"the setting {name!r} has no description; give its Field one")
    bounds = {
        bound: getattr(one, bound)
        for one in field.metadata
        for bound in ("min_length", "ge", "le")
        if hasattr(one, bound)
    }
    words = {"min_length": "at least {} characters", "ge": "at least {}", "le": "at most {}"}
    return "; ".join([field.description, *(words[bound].format(value) for bound, value in bounds.items())])


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(head)
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _origin(source: str) -> str:
    return f"<!-- Written by `make reference` from {source}; do not edit. -->"


def main() -> int:
    """Write every page that is not what the code says, and name it."""
    for name in stale(ROOT):
        (ROOT / name).write_text(PAGES[name]())
        sys.stdout.write(f"wrote {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
