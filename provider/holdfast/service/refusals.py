"""What PostgreSQL refuses, said politely: one table from SQLSTATE and constraint to the six errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from holdfast.core.errors import (
    HoldfastError,
    IntegrityViolation,
    InvalidRequest,
    PolicyViolation,
    StateConflict,
    Unavailable,
)
from holdfast.core.hold import held

# Classes and codes of a server that cannot serve now: connection, resources, intervention, system error, read-only standby, session
# ended for idling.
_GONE = ("08", "53", "57", "58", "25006", "25P03")
_CANNOT_RECORD = {
    "42501": "the governance database does not let the service write what has to be written ({})",
    "42P01": "the governance database is not what this version needs ({}); `holdfast db upgrade` makes it so",
    "53100": "the governance database has no space left, so that nothing can be recorded",
}
_NOTHING_WAS_CHANGED = (
    "Nothing was changed; once the database takes events again, repeat the call with the same idempotency key"
)
_CREATOR_IS_NOT_APPROVER = "promotion_decision_creator_is_not_approver_ck"
_PROPOSER_IS_NOT_APPROVER = "retention_policy_decision_proposer_is_not_approver_ck"
_PLANNER_IS_NOT_APPROVER = "retention_plan_decision_planner_is_not_approver_ck"
_TWO_PEOPLE = "legal_hold_release_two_people_ck"


@contextmanager
def translate() -> Iterator[None]:
    """Turn what the driver raises into the six errors; the transaction has been rolled back by then.

    A connection that is lost while the commit is under way leaves the caller without an answer: `Unavailable`, and the same
    idempotency key tells what happened.
    """
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(
            "all connections to the governance database are in use", remedy="Try again with the same idempotency key"
        ) from error
    except (InterfaceError, DisconnectionError) as error:
        raise _unavailable() from error
    except DBAPIError as error:
        raise _refusal(error) from error


def _unavailable() -> Unavailable:
    return Unavailable(
        "the governance database does not answer",
        remedy="Check that PostgreSQL runs; a change is repeated with the same idempotency key",
    )


def _refusal(error: DBAPIError) -> Exception:  # noqa: C901, PLR0912 - a table
    state = getattr(error.orig, "sqlstate", None) or ""
    diagnosis = getattr(error.orig, "diag", None)
    constraint = getattr(diagnosis, "constraint_name", None) or ""
    message = getattr(diagnosis, "message_primary", None) or ""
    match state:
        case "23505":
            return StateConflict(
                f"something with the same identity exists already ({constraint})",
                remedy="Read it, or choose another name",
            )
        case "23503":
            return InvalidRequest(
                f"a reference names what is not in this Project ({constraint})",
                remedy="References never cross Projects; name something in it",
            )
        case "23514" if constraint == _CREATOR_IS_NOT_APPROVER:
            return _policy(
                "who made a ModelVersion or asked for its promotion may not decide on it",
                "promotion.creator-is-not-approver",
            )
        case "23514" if constraint == _PROPOSER_IS_NOT_APPROVER:
            return _policy(
                "who proposed a retention policy may not decide on it", "retention_policy.proposer-is-not-approver"
            )
        case "23514" if constraint == _PLANNER_IS_NOT_APPROVER:
            return _policy("who made a retention plan may not decide on it", "retention_plan.planner-is-not-approver")
        # An event's segment was read as the open one and has gone before the row came to it: closed, sealed and disposed of in that moment.
        case "23514" if not constraint and getattr(diagnosis, "table_name", None) == "audit_event":
            return Unavailable(
                "the open segment of the audit trail went at the same moment", remedy=_NOTHING_WAS_CHANGED
            )
        case "23514" if constraint == _TWO_PEOPLE:
            return _policy(
                "who asked for the release of a legal hold may not approve it", "legal_hold.two-people-release"
            )
        # Of class 22, and what the driver refuses before the server is asked: U+0000 in a text, a number that no column can hold.
        case _ if state in ("23514", "23502") or isinstance(error, DataError):
            return InvalidRequest(
                f"the database refuses the value ({constraint or message or 'U+0000 in a text, or out of range'})",
                remedy="Correct the request",
            )
        case "HF001" | "HF002" | "HF005":
            return StateConflict(message, remedy="Read it again; what is recorded does not change")
        case "HF003":
            return _policy(message, "project.archived-is-read-only")
        case "HF004":
            return _policy(message, "promotion.needs-approval")
        case "HF006":
            return StateConflict(message, remedy="It may go later; `holdfast ledger segments` says what keeps it")
        case "HF007":
            return IntegrityViolation(message, remedy="`holdfast audit verify` says what else is not as it was")
        case "HF008":
            return held(message)
        case "HF009":
            return _policy(message, "legal_hold.two-people-release")
        case "HF010":
            return InvalidRequest(
                message, remedy="See what it would cover by --dry-run; name less, or say by --yes that this is meant"
            )
        case "HF011":
            return InvalidRequest(message, remedy="Name what is there; --dry-run says what a hold would cover")
        case "HF012":
            return StateConflict(
                message, remedy="Nothing has gone by this; `holdfast retention plan show` says where the plan is"
            )
        case "HF013":
            return Unavailable(message, remedy="It takes a second where `holdfast ledger run` runs; then run it again")
        case "HF014":
            return StateConflict(message, remedy="`holdfast retention explain` says what keeps an object")
        case "40001" | "40P01" | "55P03":
            return StateConflict("another call changed the same thing at the same time", remedy="Try again")
        case "42501" | "42P01" | "53100":
            return Unavailable(_CANNOT_RECORD[state].format(message), remedy=_NOTHING_WAS_CHANGED)
        case _ if isinstance(error, OperationalError) or error.connection_invalidated or state.startswith(_GONE):
            return _unavailable()
        case _:
            return error


def _policy(message: str, rule: str) -> HoldfastError:
    return PolicyViolation(
        message,
        remedy=f"Rule {rule}, held by the database",
        details={"rule": rule, "version": 1, "changed_by": "nobody"},
    )
