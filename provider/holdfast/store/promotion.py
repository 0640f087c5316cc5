"""Writes a promotion, each step together with what it moves: the ModelVersion it is about, the alias it is for."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CTE, Connection, Interval, Label, Text, bindparam, func, literal, select, update
from sqlalchemy.orm import aliased

from holdfast.core.promotion import ModelVersionState, PromotionState
from holdfast.store.insert import inserting
from holdfast.store.prepared import Prepared
from holdfast.store.tables import AliasAssignmentRow, ModelVersionRow, PromotionDecisionRow, PromotionRow


def insert_promotion(
    connection: Connection, row: Mapping[str, Any], lifetime: timedelta, *, on_behalf_of: str | None
) -> Any:
    """Insert a promotion and take its ModelVersion from draft to validated; return the row, with `moved`: how many versions that took.

    Its creators are everybody who had a part in what is to be promoted, and none of them may decide on it: `holdfast.creators_of` in the
    database knows them. The database refuses a promotion that leaves one of them out.

    Args:
        connection: with the transaction of the change.
        row: every column of `promotion` but its times and its creators.
        lifetime: from now until it expires.
        on_behalf_of: the person for whom a service token asks, None where a person asks.
    """
    more = {"lifetime": lifetime, "version": row["model_version_id"], "on_behalf_of": on_behalf_of}
    return _INSERT.one(connection, {**row, **more})


def insert_decision(connection: Connection, row: Mapping[str, Any]) -> datetime:
    """Insert a decision and return when it was given.

    Args:
        connection: with the transaction of the change.
        row: every column of `promotion_decision` but its time.
    """
    return cast("datetime", _DECIDE.scalar(connection, row))


def move_promotion(connection: Connection, promotion: UUID, state: PromotionState) -> None:
    """Take a promotion to a state."""
    _MOVE.all(connection, {"promotion": promotion, "becomes": state})


def execute_promotion(connection: Connection, promotion: UUID, version: UUID) -> bool:
    """Take a promotion to executed and its ModelVersion from validated to approved; return whether the version went there now."""
    return bool(_EXECUTE.scalar(connection, {"promotion": promotion, "version": version}))


def assign_alias(connection: Connection, row: Mapping[str, Any]) -> Any:
    """Insert an assignment of an alias and return the row, with `before`: the ModelVersion that the alias has pointed at.

    Args:
        connection: with the transaction of the change, which holds the alias's lock.
        row: every column of `alias_assignment` but its times.
    """
    return _ASSIGN.one(connection, {**row, "of_model": row["model_id"], "of_alias": row["alias"]})


def _version_moves(before: ModelVersionState, after: ModelVersionState) -> CTE:
    """Return a part of a statement that takes a ModelVersion from one state to another, if it is in that one."""
    moves = update(ModelVersionRow).where(ModelVersionRow.id == bindparam("version"))
    # Literals: a parameter named like the column is the statement's own.
    is_before = ModelVersionRow.state == literal(before.value)
    return moves.where(is_before).values(state=literal(after.value)).returning(ModelVersionRow.id).cte("moved")


def _count_of(moved: CTE) -> Label[int]:
    return select(func.count()).select_from(moved).scalar_subquery().label("moved")


def _columns_but(table: type[PromotionRow | PromotionDecisionRow | AliasAssignmentRow], *times: str) -> list[str]:
    return [column.name for column in table.__table__.c if column.name not in times]


_THIS = PromotionRow.id == bindparam("promotion")
_VALIDATED = _version_moves(ModelVersionState.DRAFT, ModelVersionState.VALIDATED)
_APPROVED = _version_moves(ModelVersionState.VALIDATED, ModelVersionState.APPROVED)
_INSERT = Prepared(
    inserting(PromotionRow, _columns_but(PromotionRow, "created_at", "expires_at", "creators"))
    .values(
        expires_at=func.now() + bindparam("lifetime", type_=Interval),
        creators=func.holdfast.creators_of(
            bindparam("version"), bindparam("requested_by", type_=Text), bindparam("on_behalf_of", type_=Text)
        ),
    )
    .add_cte(_VALIDATED)
    .returning(*PromotionRow.__table__.c, _count_of(_VALIDATED))
)
_DECIDE = Prepared(
    inserting(PromotionDecisionRow, _columns_but(PromotionDecisionRow, "created_at")).returning(
        PromotionDecisionRow.created_at
    )
)
_MOVE = Prepared(update(PromotionRow).where(_THIS).values(state=bindparam("becomes")))
_EXECUTE = Prepared(
    update(PromotionRow)
    .where(_THIS)
    .values(state=literal(PromotionState.EXECUTED.value))
    .add_cte(_APPROVED)
    .returning(_count_of(_APPROVED))
)
_earlier = aliased(AliasAssignmentRow)
_before = (
    select(_earlier.model_version_id)
    .where(_earlier.model_id == bindparam("of_model"), _earlier.alias == bindparam("of_alias"))
    .order_by(_earlier.valid_from.desc(), _earlier.recorded_at.desc())
    .limit(1)
    .scalar_subquery()
)
_ASSIGN = Prepared(
    inserting(AliasAssignmentRow, _columns_but(AliasAssignmentRow, "valid_from", "recorded_at")).returning(
        *AliasAssignmentRow.__table__.c, _before.label("before")
    )
)
