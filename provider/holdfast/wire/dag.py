"""Dags that Airflow was not let take."""

from typing import Annotated

from pydantic import Field

from holdfast.wire.run import AirflowId
from holdfast.wire.types import Digest, Text, Time, Wire


class DagRefusalRequest(Wire):
    """That a policy has refused a Dag, by which rule, and as it stood in which file."""

    dag_id: AirflowId
    rule: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z_]+\.[a-z-]+$")]
    reason: Text
    file: Annotated[str, Field(max_length=1024)]
    file_digest: Digest | None = None
    named_project: Annotated[str, Field(max_length=200)] | None = None


class DagRefusal(Wire):
    """What is on record of it."""

    dag_id: str
    project: str
    rule: str
    recorded_at: Time
