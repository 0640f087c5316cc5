"""One change, one transaction: authorise, replay or apply, record, commit. Nothing else in the service opens a transaction.

A change that records no event does not commit (unless it says that nothing changed), and an event cannot outlive its change: both are
in the same transaction. Faults are injected at the named points through `probe`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Connection, Engine, text

from holdfast.core.access import Access, Bearer, Caller, Permission
from holdfast.core.audit import AuditAction, Outcome
from holdfast.core.digest import of, text_of
from holdfast.core.errors import HoldfastError, InvalidRequest, PolicyViolation, StateConflict, Unavailable
from holdfast.core.hold import name_of
from holdfast.service.event import event_row, new_id
from holdfast.service.refusals import translate
from holdfast.store.engine import read_only, take_covered
from holdfast.store.prepared import Prepared
from holdfast.store.queries.access import Authorisation, authorise
from holdfast.store.record import write_record
from holdfast.wire.canonical import dumps_json

Reply = TypeVar("Reply", bound=BaseModel)
Probe = Callable[[str], None]

PROBE_POINTS = ("authorised", "applied", "recorded", "committed")
_MAX_KEY_LENGTH = 200
__all__ = ["PROBE_POINTS", "Change", "Probe", "Transactions", "new_id", "no_probe"]
_SERIALISE = Prepared(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"))


@dataclass(slots=True)
class Change:
    """A change while it is being applied."""

    connection: Connection
    found: Authorisation
    events: list[dict[str, object]] = field(default_factory=list)
    is_unchanged: bool = False

    @property
    def access(self) -> Access:
        """What the caller may do there."""
        return self.found.access

    @property
    def project_id(self) -> UUID | None:
        """The Project's id, None for the platform."""
        return self.found.project_id

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self.access.caller

    @property
    def project(self) -> UUID:
        """The Project's id, for changes inside one."""
        if self.project_id is None:
            raise RuntimeError("this change is not inside a Project")
        return self.project_id

    def record(
        self,
        action: AuditAction,
        target_type: str,
        target_id: UUID | str,
        content: Mapping[str, object],
        *,
        reason: str = "",
        outcome: Outcome = Outcome.SUCCEEDED,
        project: str | None = None,
    ) -> None:
        """Add an event to this transaction; it names everything by value."""
        place = project if project is not None else self.access.project
        target = (target_type, str(target_id))
        self.events.append(event_row(self.caller, place, action, target, content, reason=reason, outcome=outcome))

    def serialise(self, kind: str, name: str) -> None:
        """Wait until no other transaction works under this name, and make others wait until this one ends.

        Where that is known before anything is read, it is the change's `turn`.
        """
        _SERIALISE.all(self.connection, {"name": f"{kind}/{self.project_id}/{name}"})

    def nothing_changed(self) -> None:
        """Say that what was asked for was already so; no event is owed."""
        self.is_unchanged = True

    def refuse(self, refusal: HoldfastError) -> NoReturn:
        """Commit what was recorded so far, and then raise the refusal to the caller."""
        raise _RefusedAndRecorded(refusal)


class _RefusedAndRecorded(Exception):
    def __init__(self, refusal: HoldfastError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def no_probe(_point: str) -> None:
    """Do nothing at a named point."""


@dataclass(frozen=True, slots=True)
class Transactions:
    """Opens transactions on behalf of one caller."""

    engine: Engine
    caller: Caller | Bearer
    probe: Probe = no_probe

    @contextmanager
    def reading(self, project: str | None) -> Iterator[tuple[Connection, Authorisation]]:
        """Yield a connection and what the caller is; the reader itself leaves out what is not for the caller."""
        with translate(), read_only(self.engine) as connection:
            yield connection, authorise(connection, self.caller, project)

    @contextmanager
    def read(
        self, permission: Permission, project: str | None, *others: Permission
    ) -> Iterator[tuple[Connection, Authorisation]]:
        """Yield a connection and the authorisation for reading; raises what `Access.require` raises."""
        with self.reading(project) as (connection, found):
            found.access.require(permission, *others)
            yield connection, found

    @contextmanager
    def disclose(self, permission: Permission, project: str | None, *others: Permission) -> Iterator[Change]:
        """Yield a transaction for reading what is sensitive; who has read it is on record before anything is returned.

        Raises:
            HoldfastError: nothing was disclosed; what was read meanwhile is not to be returned.
        """
        with translate(), self.engine.begin() as connection:
            found = authorise(connection, self.caller, project)
            found.access.require(permission, *others)
            yield (disclosure := Change(connection, found))
            self._record(disclosure, None)

    def change(
        self,
        operation: str,
        permission: Permission,
        project: str | None,
        request: BaseModel | None,
        key: str | None,
        reply: type[Reply],
        apply: Callable[[Change], Reply],
        *,
        or_by: tuple[Permission, ...] = (),
        turn: str | None = None,
        keeps_reply: bool = True,
    ) -> Reply:
        """Apply a change once for its key and return its reply, the stored one when it was applied before.

        Args:
            operation: name of the function and everything its path names; part of what the key is bound to.
            permission: what the caller needs.
            project: the Project's name, None for the platform.
            request: the request's body.
            key: the idempotency key, 1 to 200 characters, or None.
            reply: the reply's type.
            apply: makes the change and records its events.
            or_by: permissions that let the caller in as well.
            turn: changes of a Project with the same turn are made one after the other, as where numbers are given.
            keeps_reply: False where the reply holds a secret; a repeated key is then refused.

        Raises:
            HoldfastError: nothing was changed, unless the message says what was recorded.
        """
        if key is not None and not (0 < len(key) <= _MAX_KEY_LENGTH and key.isprintable()):
            raise InvalidRequest(
                "the idempotency key is empty, too long or not printable", remedy="Use 1 to 200 printable characters"
            )
        digest = _digest(operation, project, request) if key is not None else b""
        is_authorised = False
        try:
            with translate(), self.engine.begin() as connection:
                # The lock comes with what is read first, which is the round trip that there is anyway.
                found = authorise(connection, self.caller, project, key, turn=f"{turn}/{project}" if turn else None)
                found.access.require(permission, *or_by)
                is_authorised = True
                if found.reply is not None:
                    return _replayed(key, digest, found.reply, reply)
                self._check_archived(found, permission)
                self.probe("authorised")
                change = Change(connection, found)
                take_covered(connection)  # of a transaction that was rolled back
                refusal, result = None, None
                try:
                    result = apply(change)
                except _RefusedAndRecorded as refused:
                    refusal = refused.refusal
                    if key is not None and authorise(connection, self.caller, project, key).reply is not None:
                        # Refused because of what the same call, under way at the same time, has just done: that is no event.
                        raise refusal from None
                self.probe("applied")
                kept = _kept(change, key, digest, result if keeps_reply else None) if key and result else None
                self._record(change, kept)
                self.probe("recorded")
            self.probe("committed")
        except Unavailable:
            raise
        except HoldfastError:
            # Two calls with one key at the same time: the second failed on what the first has just committed.
            if is_authorised and key is not None and (stored := self._stored(key, project)) is not None:
                return _replayed(key, digest, stored, reply)
            raise
        if result is None:
            raise refusal or RuntimeError("a change gave no reply")
        return result

    @staticmethod
    def _record(change: Change, reply: dict[str, object] | None) -> None:
        for covered in take_covered(change.connection):
            content = {**covered, "hold": name_of(covered["number"]), "project": change.access.project}
            change.record(AuditAction.LEGAL_HOLD_EXTENDED, "legal_hold", covered["hold"], content)
        if not change.events and not change.is_unchanged:
            raise RuntimeError("a change without an audit event does not commit")
        write_record(change.connection, change.events, reply)

    def _stored(self, key: str, project: str | None) -> tuple[bytes, dict[str, object] | None] | None:
        with translate(), read_only(self.engine) as connection:
            return authorise(connection, self.caller, project, key).reply

    @staticmethod
    def _check_archived(found: Authorisation, permission: Permission) -> None:
        if found.is_archived and permission not in (
            Permission.TOKEN_WRITE,
            Permission.BINDING_WRITE,
            Permission.PROJECT_ARCHIVE,
            Permission.RUN_RECONCILE,
            Permission.RETENTION_PROPOSE,
            Permission.RETENTION_DECIDE,
            Permission.RETENTION_PLAN,
            Permission.RETENTION_PLAN_DECIDE,
        ):
            raise PolicyViolation(
                f"Project {found.access.project!r} is archived and read-only",
                remedy="Use another Project; archiving is not undone",
                details={"rule": "project.archived-is-read-only", "version": 1, "changed_by": "nobody"},
            )


def _kept(change: Change, key: str, digest: bytes, result: BaseModel | None) -> dict[str, object]:
    return {
        "principal": change.caller.principal,
        "key": key,
        "request_digest": digest,
        "reply": result.model_dump_json() if result is not None else None,
    }


def _digest(operation: str, project: str | None, request: BaseModel | None) -> bytes:
    """Return what an idempotency key is bound to."""
    document = request.model_dump(mode="json") if request else None
    return of(dumps_json({"operation": operation, "project": project, "request": document}).encode())


def _replayed(
    key: str | None, digest: bytes, stored: tuple[bytes, dict[str, object] | None], reply: type[Reply]
) -> Reply:
    before, document = stored
    if before != digest:
        raise StateConflict(
            f"idempotency key {key!r} was used with another request",
            remedy="Use a new key for a new request",
            details={"recorded_digest": text_of(before), "request_digest": text_of(digest)},
        )
    if document is None:
        raise StateConflict(
            "this request was answered before, and its secret is shown once", remedy="Revoke it and make a new one"
        )
    return reply.model_validate(document)
