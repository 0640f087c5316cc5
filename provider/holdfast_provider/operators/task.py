"""What every operator has: the connection, the Project, and the identity of the try that executes."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator

from holdfast.core.backoff import FIRST
from holdfast.core.run import idempotency_key
from holdfast_provider.hooks.holdfast import HoldfastHook


class HoldfastOperator(BaseOperator):
    """Base of the operators.

    Errors of the classes environment and platform are tried again as often as `retries` says, after ten seconds at first and later
    after up to ten minutes (`retry_delay`, `max_retry_delay`); all others fail the task at once.

    Args:
        project: the Project; the connection's when None.
        conn_id: connection of type `holdfast`.
    """

    template_fields: Sequence[str] = ("project",)
    ui_color = "#dbe9e4"

    def __init__(
        self, *, project: str | None = None, conn_id: str = HoldfastHook.default_conn_name, **kwargs: Any
    ) -> None:
        from holdfast_provider.retries import BackOff

        kwargs.setdefault("retry_policy", BackOff())
        kwargs.setdefault("retry_delay", FIRST)
        super().__init__(**kwargs)
        self.project = project
        self.conn_id = conn_id

    def hook(self) -> HoldfastHook:
        """Return the hook."""
        return HoldfastHook(self.conn_id)


def key_of_try(context: Any) -> str:
    """Return the idempotency key of the try that executes; the same try has the same key, whichever process computes it."""
    ti = context["ti"]
    return idempotency_key(
        ti.dag_id, ti.run_id, ti.task_id, ti.map_index if ti.map_index is not None else -1, ti.try_number
    )


def triggering_user(context: Any) -> str | None:
    """Return who triggered the DagRun, None for a schedule."""
    return getattr(context["dag_run"], "triggering_user_name", None)
