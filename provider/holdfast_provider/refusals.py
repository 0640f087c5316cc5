"""Has it on record that a policy has refused a Dag: from where it is parsed, over the API, as everything that a worker says."""

import logging
from hashlib import sha256
from pathlib import Path

logger = logging.getLogger("holdfast.airflow")

_TIMEOUT_S = 5


def record_refusal(
    dag_id: str, file: Path, rule: str, reason: str, *, conn_id: str | None, project: str | None
) -> None:
    """Record a refusal once for each content of the file; where that is not possible now, the next parse tries again.

    Args:
        dag_id: the Dag's id.
        file: where it stands.
        rule: that refuses it.
        reason: in words.
        conn_id: connection of the task that is refused, None for the default one.
        project: the Project that it names; where the connection's token is for another one, the refusal is recorded there.
    """
    try:
        _record(dag_id, file, rule, reason, conn_id, project)
    except Exception as error:  # noqa: BLE001 - whatever it is, the Dag is refused, and by its policy
        logger.warning("the refusal of Dag %s is not on record yet: %s", dag_id, error)


def _record(dag_id: str, file: Path, rule: str, reason: str, conn_id: str | None, project: str | None) -> None:
    from holdfast.client import GovernanceClient
    from holdfast.core.errors import NotFound
    from holdfast.wire.dag import DagRefusalRequest
    from holdfast_provider.hooks.holdfast import HoldfastHook

    hook = HoldfastHook(conn_id or HoldfastHook.default_conn_name)
    digest = sha256(file.read_bytes()).hexdigest()
    request = DagRefusalRequest(
        dag_id=dag_id,
        rule=rule,
        reason=reason[:2000],
        file=file.name,
        file_digest=f"sha256:{digest}",
        named_project=project,
    )
    key = f"dag-refusal/{sha256(f'{dag_id}/{reason}/{digest}'.encode()).hexdigest()}"
    with GovernanceClient(hook.url, hook.token, timeout_s=_TIMEOUT_S, attempts=1) as governance:
        try:
            governance.dags.refuse(hook.project(project), request, key=key)
        except NotFound:
            governance.dags.refuse(hook.project(None), request, key=key)
