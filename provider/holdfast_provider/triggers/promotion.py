"""Waits in the triggerer until somebody has decided on a promotion."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from holdfast.core.errors import HoldfastError, Unavailable
from holdfast.core.promotion import PromotionState
from holdfast_provider.hooks.holdfast import HoldfastHook


class PromotionTrigger(BaseTrigger):
    """Fires once, when a promotion is no longer pending; an API that does not answer is waited for."""

    def __init__(self, promotion: str, project: str | None, conn_id: str, poll_interval_s: float) -> None:
        super().__init__()
        self.promotion, self.project, self.conn_id, self.poll_interval_s = promotion, project, conn_id, poll_interval_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes the same trigger in another process."""
        return (
            "holdfast_provider.triggers.promotion.PromotionTrigger",
            {
                "promotion": self.promotion,
                "project": self.project,
                "conn_id": self.conn_id,
                "poll_interval_s": self.poll_interval_s,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: the promotion's state, or what made it impossible to read."""
        while True:
            try:
                state = await sync_to_async(self._state)()
            except Unavailable as error:
                self.log.warning("%s", error)
            except HoldfastError as error:
                yield TriggerEvent({"error": str(error)})
                return
            else:
                if state is not None:
                    yield TriggerEvent({"state": state})
                    return
            await asyncio.sleep(self.poll_interval_s)

    def _state(self) -> str | None:
        hook = HoldfastHook(self.conn_id)
        with hook.get_conn() as governance:
            return decided_state(governance, hook.project(self.project), self.promotion)


def decided_state(governance: Any, project: str, promotion: str) -> str | None:
    """Return a promotion's state once somebody has decided, `expired` when nobody did in time, None before."""
    from datetime import UTC, datetime

    found = governance.promotions.get(project, UUID(promotion))
    if found.state is not PromotionState.PENDING:
        return str(found.state.value)
    return "expired" if found.expires_at <= datetime.now(UTC) else None
