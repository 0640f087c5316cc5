"""Audit events: the closed list of actions, the content of an event, and the commitment to it."""

import hashlib
from enum import StrEnum

SALT_SIZE_BYTES = 32


class AuditAction(StrEnum):
    """What happened, `subject.verb`; the only values an event's `action` takes."""

    PROJECT_CREATED = "project.created"
    PROJECT_ARCHIVED = "project.archived"
    ROLE_BOUND = "role.bound"
    ROLE_UNBOUND = "role.unbound"
    TOKEN_CREATED = "token.created"  # noqa: S105 - an action's name
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - an action's name
    ENVIRONMENT_LOCKED = "environment.locked"
    POLICY_DEFINED = "policy.defined"
    POLICY_SNAPSHOT_TAKEN = "policy_snapshot.taken"
    DATASET_SOURCE_GRANTED = "dataset_source.granted"
    DATASET_VERSION_REGISTERED = "dataset_version.registered"
    PIPELINE_RUN_CREATED = "pipeline_run.created"
    PIPELINE_RUN_CHANGED = "pipeline_run.changed"
    RUN_CREATED = "run.created"
    RUN_STARTED = "run.started"
    RUN_CHANGED = "run.changed"
    RUN_FINISHED = "run.finished"
    SECRET_USED = "secret.used"  # noqa: S105 - an action's name
    POD_QUARANTINED = "pod.quarantined"
    POD_REMOVED = "pod.removed"
    ARTIFACT_REGISTERED = "artifact.registered"
    MODEL_VERSION_REGISTERED = "model_version.registered"
    MODEL_VERSION_CHANGED = "model_version.changed"
    PROMOTION_REQUESTED = "promotion.requested"
    PROMOTION_APPROVED = "promotion.approved"
    PROMOTION_REJECTED = "promotion.rejected"
    PROMOTION_VOIDED = "promotion.voided"
    PROMOTION_EXECUTED = "promotion.executed"
    ALIAS_MOVED = "alias.moved"
    AUDIT_EVENTS_READ = "audit_event.read"
    ROLE_BINDINGS_READ = "role_binding.read"
    TOKENS_READ = "token.read"
    ARTIFACT_GRANTED = "artifact.granted"
    RUN_STAGED = "run.staged"
    CALL_DENIED = "call.denied"
    DAG_REFUSED = "dag.refused"
    ANONYMOUS_CALL_RECEIVED = "anonymous_call.received"
    LOGIN_ATTEMPTED = "login.attempted"
    AIRFLOW_CALL_RECEIVED = "airflow_call.received"
    AIRFLOW_CALL_ANSWERED = "airflow_call.answered"
    AIRFLOW_COMMAND_STARTED = "airflow_command.started"
    AIRFLOW_COMMAND_ENDED = "airflow_command.ended"
    AIRFLOW_CHANGE_ANNOUNCED = "airflow_change.announced"
    AIRFLOW_CHANGE_ENDED = "airflow_change.ended"
    AIRFLOW_OBJECT_READ = "airflow_object.read"
    EXPORT_SINK_ADDED = "export_sink.added"
    EXPORT_SINK_PAUSED = "export_sink.paused"
    EXPORT_SINK_RESUMED = "export_sink.resumed"
    EXPORT_SINK_REPLAYED = "export_sink.replayed"
    LOG_KEYS_CHANGED = "log_keys.changed"
    AUDIT_RETENTION_DEFINED = "audit_retention.defined"
    AUDIT_SEGMENT_SEALED = "audit_segment.sealed"
    AUDIT_SEGMENT_DISPOSED = "audit_segment.disposed"
    AUDIT_EVENT_ERASED = "audit_event.erased"
    STORE_PROBED = "store.probed"
    RETENTION_POLICY_PROPOSED = "retention_policy.proposed"
    RETENTION_POLICY_APPROVED = "retention_policy.approved"
    RETENTION_POLICY_REJECTED = "retention_policy.rejected"
    RETENTION_POLICY_WITHDRAWN = "retention_policy.withdrawn"
    RETENTION_PLAN_MADE = "retention_plan.made"
    RETENTION_PLAN_APPROVED = "retention_plan.approved"
    RETENTION_PLAN_REJECTED = "retention_plan.rejected"
    RETENTION_PLAN_WITHDRAWN = "retention_plan.withdrawn"
    RETENTION_PLAN_ITEM_KEPT = "retention_plan.item_kept"
    RETENTION_PLAN_CERTIFIED = "retention_plan.certified"
    ARTIFACT_PURGED = "artifact.purged"
    DATASET_VERSION_PURGED = "dataset_version.purged"
    LEGAL_HOLD_PLACED = "legal_hold.placed"
    LEGAL_HOLD_EXTENDED = "legal_hold.extended"
    LEGAL_HOLD_RELEASE_REQUESTED = "legal_hold.release_requested"
    LEGAL_HOLD_RELEASE_REJECTED = "legal_hold.release_rejected"
    LEGAL_HOLD_RELEASED = "legal_hold.released"
    LEGAL_HOLD_LOCKED = "legal_hold.locked"
    LEGAL_HOLD_UNLOCKED = "legal_hold.unlocked"
    LEGAL_HOLD_MENDED = "legal_hold.mended"


class Outcome(StrEnum):
    """How the action ended."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"


class EventClass(StrEnum):
    """What events are kept apart by, so that many of one kind cannot crowd out the others; what says that events have gone stays."""

    CHANGE = "change"
    AIRFLOW_CHANGE = "airflow_change"
    DENIAL = "denial"
    LOGIN = "login"
    READ = "read"
    DISPOSAL = "disposal"


_CLASSES = {
    AuditAction.AUDIT_EVENTS_READ: EventClass.READ,
    AuditAction.ROLE_BINDINGS_READ: EventClass.READ,
    AuditAction.TOKENS_READ: EventClass.READ,
    AuditAction.ARTIFACT_GRANTED: EventClass.READ,
    AuditAction.RUN_STAGED: EventClass.READ,
    AuditAction.AIRFLOW_OBJECT_READ: EventClass.READ,
    AuditAction.CALL_DENIED: EventClass.DENIAL,
    AuditAction.ANONYMOUS_CALL_RECEIVED: EventClass.DENIAL,
    AuditAction.DAG_REFUSED: EventClass.DENIAL,
    AuditAction.LOGIN_ATTEMPTED: EventClass.LOGIN,
    AuditAction.AIRFLOW_CALL_RECEIVED: EventClass.AIRFLOW_CHANGE,
    AuditAction.AIRFLOW_CALL_ANSWERED: EventClass.AIRFLOW_CHANGE,
    AuditAction.AIRFLOW_COMMAND_STARTED: EventClass.AIRFLOW_CHANGE,
    AuditAction.AIRFLOW_COMMAND_ENDED: EventClass.AIRFLOW_CHANGE,
    AuditAction.AIRFLOW_CHANGE_ANNOUNCED: EventClass.AIRFLOW_CHANGE,
    AuditAction.AIRFLOW_CHANGE_ENDED: EventClass.AIRFLOW_CHANGE,
    AuditAction.AUDIT_RETENTION_DEFINED: EventClass.DISPOSAL,
    AuditAction.AUDIT_SEGMENT_SEALED: EventClass.DISPOSAL,
    AuditAction.AUDIT_SEGMENT_DISPOSED: EventClass.DISPOSAL,
    AuditAction.AUDIT_EVENT_ERASED: EventClass.DISPOSAL,
    AuditAction.ARTIFACT_PURGED: EventClass.DISPOSAL,
    AuditAction.DATASET_VERSION_PURGED: EventClass.DISPOSAL,
    AuditAction.RETENTION_PLAN_CERTIFIED: EventClass.DISPOSAL,
}

_BY_NAME = {action.value: its_class for action, its_class in _CLASSES.items()}


def class_of(action: str) -> EventClass:
    """Return the class of events with this action; retention keeps each in segments of its own."""
    return _BY_NAME.get(action, EventClass.CHANGE)


def commitment(salt: bytes, canonical: bytes) -> bytes:
    """Return SHA-256(salt ‖ canonical): it binds the event and, while the salt is unknown, says nothing about it.

    Args:
        salt: 32 bytes from a cryptographic source, one salt an event.
        canonical: the event's content in canonical form.

    Raises:
        ValueError: the salt has another size.
    """
    if len(salt) != SALT_SIZE_BYTES:
        raise ValueError(f"a salt has {SALT_SIZE_BYTES} bytes, not {len(salt)}")
    return hashlib.sha256(salt + canonical).digest()
