"""The six errors that may cross a boundary. Each edge has one table that maps them to its own language."""

from collections.abc import Mapping


class HoldfastError(Exception):
    """What went wrong, to which object, and what the reader can do about it.

    The message and the details never contain a secret, a grant's URL or a connection string.

    Attributes:
        remedy: what the reader can do; one sentence, may be empty when the message already says it.
        details: facts for machines (rule, digests, bounds), JSON-compatible.
    """

    title = "error"

    def __init__(self, message: str, *, remedy: str = "", details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details: dict[str, object] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}".rstrip() if self.remedy else self.message


class InvalidRequest(HoldfastError):
    """The caller's input is wrong; nothing was changed."""

    title = "invalid request"


class NotFound(HoldfastError):
    """There is no such thing, or it is not for this caller; nothing was changed.

    Attributes:
        is_denial: the caller may not even know whether it is there; to the audit trail this is a denied call.
    """

    title = "not found"

    def __init__(
        self, message: str, *, remedy: str = "", details: Mapping[str, object] | None = None, is_denial: bool = False
    ) -> None:
        super().__init__(message, remedy=remedy, details=details)
        self.is_denial = is_denial


class StateConflict(HoldfastError):
    """True a moment ago; re-read and decide again. Nothing was changed."""

    title = "state conflict"


class PolicyViolation(HoldfastError):
    """Refused by a rule. The details name the rule, its version and who may change it. Nothing was changed."""

    title = "policy violation"


class IntegrityViolation(HoldfastError):
    """Bytes or history are not what was recorded. Nothing was changed by the call that found it."""

    title = "integrity violation"


class Unavailable(HoldfastError):
    """A dependency does not answer; the call may be repeated with the same idempotency key."""

    title = "unavailable"

    def __init__(self, message: str, *, remedy: str = "", retry_after_s: int = 2) -> None:
        super().__init__(message, remedy=remedy, details={"retry_after_s": retry_after_s})
        self.retry_after_s = retry_after_s


ERRORS: tuple[type[HoldfastError], ...] = (
    InvalidRequest,
    NotFound,
    StateConflict,
    PolicyViolation,
    IntegrityViolation,
    Unavailable,
)
