"""The one table from the six errors to a task's end: failed for good, or worth another try."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.observability import stats
from pydantic import ValidationError

from holdfast.core.errors import HoldfastError, InvalidRequest, StateConflict, Unavailable
from holdfast.dataplane.plane import StepCanceled, StepFailed
from holdfast.dataplane.record import ending_of

RUN_FAILURES = "holdfast.run_failures"
"""A counter of Airflow's metrics, with the label `error_class`."""
RETRIED: tuple[type[HoldfastError], ...] = (StateConflict, Unavailable)


@contextmanager
def task_errors() -> Iterator[None]:
    """Turn the six errors into Airflow's: StateConflict and Unavailable are tried again, the others fail the task at once."""
    try:
        yield
    except HoldfastError as error:
        raise _end(f"{error.title}: {error}", retried=isinstance(error, RETRIED)) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _end(f"{InvalidRequest.title}: {place}: {first['msg']}", retried=False) from None
    except StepFailed as failure:
        raise _end(f"{failure.error_class} error: {failure}", retried=failure.error_class.is_retryable) from None
    except StepCanceled as canceled:
        # Airflow has decided already what becomes of the task; only where its worker shuts down, a retry is left to it.
        raise _end(str(canceled), retried=True) from None


@contextmanager
def run_errors() -> Iterator[None]:
    """Turn errors as `task_errors` does, and count each failure of a Run's task by its error class, as Airflow's metrics are set up."""
    with task_errors():
        try:
            yield
        except (HoldfastError, StepFailed) as error:
            stats.incr(RUN_FAILURES, tags={"error_class": str(ending_of(error).error_class)})
            raise


def _end(message: str, *, retried: bool) -> AirflowException:
    return AirflowException(message) if retried else AirflowFailException(message)
