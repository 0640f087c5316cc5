"""The connection to the Holdfast API."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from holdfast.core.errors import HoldfastError, InvalidRequest
from holdfast_provider._masking import written_forms

if TYPE_CHECKING:
    from holdfast.client import GovernanceClient


class HoldfastHook(BaseHook):
    """The governance functions of one connection.

    Args:
        holdfast_conn_id: a connection of type `holdfast`: host is the API's URL, password a service token of one Project; the extra may hold
            `project` and `data_roots`.
    """

    conn_name_attr = "holdfast_conn_id"
    default_conn_name = "holdfast_default"
    conn_type = "holdfast"
    hook_name = "Holdfast"

    def __init__(self, holdfast_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.conn_id = holdfast_conn_id

    @cached_property
    def _connection(self) -> Any:
        connection = self.get_connection(self.conn_id)
        if not connection.host or not connection.password:
            raise InvalidRequest(
                f"connection {self.conn_id!r} lacks the API's URL or the service token",
                remedy="Set its host and password; `holdfast token create` makes a token",
            )
        for form in written_forms(connection.password):
            mask_secret(form)
        return connection

    def get_conn(self) -> "GovernanceClient":
        """Return the governance functions over HTTP."""
        from holdfast.client import GovernanceClient

        return GovernanceClient(self.url, self._connection.password)

    @property
    def url(self) -> str:
        """The API's URL."""
        host = str(self._connection.host)
        return host if "://" in host else f"{self._connection.schema or 'http'}://{host}"

    @property
    def token(self) -> str:
        """The service token; a secret."""
        return str(self._connection.password)

    def project(self, named: str | None) -> str:
        """Return the Project that a task names, else the connection's; raises InvalidRequest where there is neither."""
        found = named or self._connection.extra_dejson.get("project")
        if not found:
            raise InvalidRequest(
                "the task names no Project, nor does its connection", remedy="Give the operator project=…"
            )
        return str(found)

    @property
    def data_roots(self) -> list[str]:
        """Directories below which the local data plane may read."""
        return [root for root in str(self._connection.extra_dejson.get("data_roots") or "").split(":") if root]

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the API answers to this token, and what it says."""
        from holdfast.client import GovernanceClient

        try:
            with GovernanceClient(self.url, self._connection.password, timeout_s=10, attempts=1) as governance:
                if named := self._connection.extra_dejson.get("project"):
                    return True, f"reaches Project {governance.projects.get(str(named)).name}"
                found = governance.projects.list(limit=1).items
        except HoldfastError as error:
            return False, str(error)
        return True, f"reaches Project {found[0].name}" if found else "reaches the API, and no Project"
