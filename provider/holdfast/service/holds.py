"""Legal holds: placed, released by two people after a while, and read.

What a hold covers, and that it is not let go, is the database's work: here its refusals become polite, and its changes get their events.
"""

from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import Row, func, insert, select, text, update

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction, Outcome
from holdfast.core.errors import HoldfastError, InvalidRequest, StateConflict
from holdfast.core.hold import Decision, HoldState, check_approval, check_person, name_of
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.transaction import Change, Transactions, new_id
from holdfast.store.queries.holds import (
    HOLDS,
    OBJECTS,
    coverage_of,
    covered_of,
    hold_by_name,
    hold_of,
    summary_of,
)
from holdfast.store.queries.page import page_of
from holdfast.store.tables import LegalHoldObjectRow, LegalHoldReleaseRow, LegalHoldRow, ProjectRow
from holdfast.wire.hold import (
    CoveredObject,
    HoldCoverage,
    HoldRequest,
    HoldScope,
    HoldSummary,
    LegalHold,
    ReleaseDecision,
    ReleaseRequest,
)
from holdfast.wire.types import Page

COOLING_OFF_S = 86_400
_HOLD = "legal_hold"
_PLACE = text("SELECT place_hold(:hold, CAST(:types AS text[]), CAST(:ids AS uuid[]), CAST(:most AS bigint))")


@dataclass(frozen=True)
class HoldService:
    """Implements `ports.Holds`.

    Attributes:
        transactions: of the caller.
        cooling_off_s: how long the release of a hold that is placed now has to be asked for before it can be approved.
    """

    transactions: Transactions
    cooling_off_s: int = COOLING_OFF_S

    def place(self, request: HoldRequest, *, key: str | None = None) -> LegalHold:
        """Place a legal hold; from its commit on nothing that it covers can go, whoever is about to let it go.

        Raises:
            InvalidRequest: it would cover nothing, or more than it says, or an object is not there; names it.
            StateConflict: others wrote to the Project for too long at the same time.
        """

        def apply(change: Change) -> LegalHold:
            identity = new_id()
            scope = _scope(change.connection, request)
            number = change.connection.scalar(
                insert(LegalHoldRow)
                .values(
                    id=identity,
                    matter=request.matter,
                    custodians=request.custodians,
                    reason=request.reason,
                    is_expanded=request.is_expanded,
                    cooling_off_s=self.cooling_off_s,
                    placed_by=change.caller.principal,
                    query_type=scope["query_type"],
                    query_project_id=scope["query_project_id"],
                    query_kind=scope["kind"],
                    query_label=scope["label"],
                    query_name=scope["name"],
                    query_after=scope["after"],
                    query_before=scope["before"],
                )
                .returning(LegalHoldRow.number)
            )
            given = {"hold": identity, "types": scope["types"], "ids": scope["ids"], "most": request.at_most}
            count = change.connection.scalar(_PLACE, given)
            content = {
                "name": name_of(number or 0),
                "matter": request.matter,
                "custodians": request.custodians,
                "scope": request.model_dump(mode="json", include={"objects", "query", "is_expanded"}),
                "covered": count,
                "cooling_off_s": self.cooling_off_s,
            }
            change.record(AuditAction.LEGAL_HOLD_PLACED, _HOLD, identity, content, reason=request.reason)
            return hold_of(change.connection, hold_by_name(change.connection, str(identity)))

        return self.transactions.change(
            "holds.place", Permission.LEGAL_HOLD_PLACE, None, request, key, LegalHold, apply
        )

    def coverage(self, request: HoldScope) -> HoldCoverage:
        """Return what a hold would cover; nothing is changed. Raises InvalidRequest where there is no such Project."""
        with self.transactions.read(Permission.LEGAL_HOLD_PLACE, None) as (connection, _):
            return coverage_of(connection, _scope(connection, request))

    def request_release(self, hold: str, request: ReleaseRequest, *, key: str | None = None) -> LegalHold:
        """Ask for the release of a hold; another person may approve it once it has cooled off.

        Raises:
            NotFound: there is no such hold.
            StateConflict: it is released, or its release is asked for already.
            PolicyViolation: who asks is no person; this refusal is recorded.
        """

        def apply(change: Change) -> LegalHold:
            row = hold_by_name(change.connection, hold, lock=True)
            name, principal = name_of(row.number), change.caller.principal
            content: dict[str, object] = {"name": name, "matter": row.matter, "cooling_off_s": row.cooling_off_s}
            try:
                check_person(principal, name)
                _check_state(row, HoldState.PLACED)
            except HoldfastError as refusal:
                _refuse(change, AuditAction.LEGAL_HOLD_RELEASE_REQUESTED, row, content, refusal)
            release = new_id()
            asked = {"id": release, "hold_id": row.id, "requested_by": principal, "reason": request.reason}
            change.connection.execute(insert(LegalHoldReleaseRow).values(asked))
            action, content = AuditAction.LEGAL_HOLD_RELEASE_REQUESTED, {**content, "release": str(release)}
            change.record(action, _HOLD, row.id, content, reason=request.reason)
            return hold_of(change.connection, hold_by_name(change.connection, str(row.id)))

        return self.transactions.change(
            f"holds.request_release/{hold}", Permission.LEGAL_HOLD_RELEASE, None, request, key, LegalHold, apply
        )

    def decide_release(self, hold: str, request: ReleaseDecision, *, key: str | None = None) -> LegalHold:
        """Approve the release of a hold, which then is released for good, or reject it; nothing that it covered is deleted.

        Raises:
            NotFound: there is no such hold.
            StateConflict: no release is asked for, it is another one, or it has not cooled off; that is recorded.
            PolicyViolation: the caller asked for the release, or is no person; this refusal is recorded.
        """
        approves = request.decision == Decision.APPROVE.value
        action = AuditAction.LEGAL_HOLD_RELEASED if approves else AuditAction.LEGAL_HOLD_RELEASE_REJECTED

        def apply(change: Change) -> LegalHold:
            row = hold_by_name(change.connection, hold, lock=True)
            principal, name = change.caller.principal, name_of(row.number)
            content: dict[str, object] = {"name": name, "matter": row.matter, "release": str(request.release)}
            try:
                check_person(principal, name)
                _check_state(row, HoldState.RELEASE_REQUESTED)
                asked = _asked(change, row, request.release)
                if approves:
                    check_approval(
                        name, asked.requested_by, asked.requested_at, row.cooling_off_s, principal, asked.now
                    )
            except HoldfastError as refusal:
                _refuse(change, action, row, content, refusal)
            decided = {
                "decision": request.decision,
                "decided_by": principal,
                "decided_at": func.now(),
                "decision_reason": request.reason,
            }
            here = LegalHoldReleaseRow.id == request.release
            change.connection.execute(update(LegalHoldReleaseRow).where(here).values(decided))
            if approves:
                released = update(LegalHoldRow).where(LegalHoldRow.id == row.id).values(released_at=func.now())
                change.connection.execute(released)
            content |= {"requested_by": asked.requested_by, "requested_at": asked.requested_at.isoformat()}
            change.record(action, _HOLD, row.id, content, reason=request.reason)
            return hold_of(change.connection, hold_by_name(change.connection, str(row.id)))

        return self.transactions.change(
            f"holds.decide_release/{hold}", Permission.LEGAL_HOLD_RELEASE, None, request, key, LegalHold, apply
        )

    def get(self, hold: str) -> LegalHold:
        """Return a hold with what it covers, counted, and its releases; raises NotFound."""
        with self.transactions.read(Permission.LEGAL_HOLD_READ, None) as (connection, _):
            return hold_of(connection, hold_by_name(connection, hold))

    def list(
        self, *, is_released: bool | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[HoldSummary]:
        """Return holds, the newest first."""
        with self.transactions.read(Permission.LEGAL_HOLD_READ, None) as (connection, _):
            statement = HOLDS
            if is_released is not None:
                statement = statement.where(LegalHoldRow.released_at.is_not(None) == is_released)
            return page_of(connection, statement, LegalHoldRow.id, summary_of, limit=limit, cursor=cursor)

    def objects(self, hold: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[CoveredObject]:
        """Return what a hold covers, by id; raises NotFound."""
        with self.transactions.read(Permission.LEGAL_HOLD_READ, None) as (connection, _):
            row = hold_by_name(connection, hold)
            statement = OBJECTS.where(LegalHoldObjectRow.hold_id == row.id)
            key = LegalHoldObjectRow.object_id
            return page_of(connection, statement, key, covered_of, limit=limit, cursor=cursor, newest_first=False)


def _scope(connection: Any, request: HoldScope) -> dict[str, Any]:
    query = request.query
    project = None
    if query is not None:
        project = connection.scalar(select(ProjectRow.id).where(ProjectRow.name == query.project))
        if project is None:
            raise InvalidRequest(f"there is no Project {query.project!r}", remedy="`holdfast project list` names them")
    return {
        "types": [one.type.value for one in request.objects],
        "ids": [one.id for one in request.objects],
        "query_type": query.type.value if query else None,
        "query_project_id": project,
        "kind": query.kind if query else None,
        "label": query.label if query else None,
        "name": query.name if query else None,
        "after": query.created_after if query else None,
        "before": query.created_before if query else None,
        "expanded": request.is_expanded,
    }


def _check_state(row: Row[Any], wanted: HoldState) -> None:
    state = summary_of(row).state
    if state is wanted:
        return
    remedy = {
        HoldState.PLACED: "Ask for its release first, with `holdfast hold request-release`",
        HoldState.RELEASE_REQUESTED: "Decide on that release first; `holdfast hold show` says who asked for it",
        HoldState.RELEASED: "A released hold does not come back; place another one",
    }[state]
    raise StateConflict(f"legal hold {name_of(row.number)} is {state}, not {wanted}", remedy=remedy)


def _asked(change: Change, row: Row[Any], release: UUID) -> Any:
    statement = select(
        LegalHoldReleaseRow.id,
        LegalHoldReleaseRow.requested_by,
        LegalHoldReleaseRow.requested_at,
        func.now().label("now"),
    )
    asked = change.connection.execute(
        statement.where(LegalHoldReleaseRow.hold_id == row.id, LegalHoldReleaseRow.decision.is_(None))
    ).one()
    if asked.id != release:
        raise StateConflict(
            f"the release of legal hold {name_of(row.number)} that waits is {asked.id}, not {release}",
            remedy="Read the hold again, and decide on the release that it shows",
        )
    return asked


def _refuse(
    change: Change, action: AuditAction, row: Row[Any], content: dict[str, object], refusal: HoldfastError
) -> NoReturn:
    change.record(action, _HOLD, row.id, content, reason=str(refusal), outcome=Outcome.REFUSED)
    change.refuse(refusal)
