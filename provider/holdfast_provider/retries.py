"""When Airflow tries a task again. Whether it does, `_errors` has decided by then: what is not worth another try never comes here."""

import random
from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from holdfast.core.backoff import LONGEST, back_off


class BackOff(RetryPolicy):
    """Bounded exponential back-off with jitter: `retry_delay` is the first delay, `max_retry_delay` bounds all of them."""

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Return the delay before the next try."""
        del max_tries
        task = context["task"] if context else None
        first = getattr(task, "retry_delay", None) or timedelta(0)
        longest = getattr(task, "max_retry_delay", None) or LONGEST
        delay = back_off(max(1, try_number), random.random(), first, longest)  # noqa: S311 - jitter, not a secret
        return RetryDecision.retry(
            delay, f"tried again in {delay.total_seconds():.0f} s after {type(exception).__name__}"
        )

    def serialize(self) -> dict[str, Any]:
        """Return what makes the same policy in another process."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> "BackOff":
        """Return the policy."""
        del data
        return cls()
