"""Waits for the decision on a promotion without holding a worker."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from holdfast_provider.operators.task import HoldfastOperator

_GOES_ON = ("approved", "executed")


class PromotionDecisionSensor(HoldfastOperator):
    """Ends when a promotion is approved; fails, without retry, when it is rejected, voided or expired. Deferrable always.

    Args:
        promotion: a promotion's id.
        poll_interval_s: seconds between two looks.
    """

    template_fields: Sequence[str] = (*HoldfastOperator.template_fields, "promotion")

    def __init__(self, *, promotion: Any, poll_interval_s: float = 5.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.promotion = promotion
        self.poll_interval_s = poll_interval_s

    def execute(self, context: Any) -> str:
        """Look once, and defer while nobody has decided."""
        from holdfast_provider._errors import task_errors
        from holdfast_provider.triggers.promotion import PromotionTrigger, decided_state

        hook = self.hook()
        with task_errors(), hook.get_conn() as governance:
            project = hook.project(self.project)
            state = decided_state(governance, project, self.promotion)
        if state is not None:
            return self.resume(context, {"state": state})
        trigger = PromotionTrigger(self.promotion, project, self.conn_id, self.poll_interval_s)
        return self.defer(trigger=trigger, method_name="resume")  # type: ignore[no-any-return]

    def resume(self, context: Any, event: dict[str, str]) -> str:
        """Return the state that lets the Dag go on; raises AirflowFailException for every other."""
        del context
        if "error" in event:
            raise AirflowFailException(f"promotion {self.promotion} cannot be read: {event['error']}")
        if event["state"] not in _GOES_ON:
            raise AirflowFailException(
                f"promotion {self.promotion} is {event['state']}; request another when there is a better ModelVersion"
            )
        return event["state"]
