"""What Airflow loads. Every Airflow process imports this, so everything that costs is made when it is asked for."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

from holdfast_plugins.marked import Marked

if TYPE_CHECKING:
    from holdfast.settings import Platform


class HoldfastPlugin(AirflowPlugin):
    """Mounts REST API v1 in the api-server; a setting that is missing stops it, and so does a bucket that keeps no versions."""

    name = "holdfast"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The applications to mount; asked for by the api-server only."""
        from holdfast_plugins.airflow_access import authenticate_airflow_user
        from holdfast_plugins.app import MOUNT, create_app

        self._marked.platform = self._platform
        app = create_app(self._platform, authenticate_airflow_user)
        return [{"app": app, "url_prefix": MOUNT, "name": "Holdfast"}]

    @cached_property
    def fastapi_root_middlewares(self) -> list[dict[str, Any]]:
        """What stands before all of Airflow's own API and pages; asked for by the api-server only."""
        from holdfast_plugins.airflow_changes.calls import RecordCalls
        from holdfast_plugins.airflow_changes.changes import WATCH
        from holdfast_plugins.airflow_changes.recorder import Recorder

        recorder = Recorder(self._platform.settings, self._platform.engine)
        WATCH.begin(lambda: recorder)
        return [{"middleware": RecordCalls, "args": [], "kwargs": {"recorder": recorder}, "name": "Holdfast"}]

    @cached_property
    def listeners(self) -> list[Any]:
        """The listeners; asked for by every process."""
        return [self._marked]

    @cached_property
    def _platform(self) -> "Platform":
        from holdfast_plugins.app import start

        return start()

    @cached_property
    def _marked(self) -> Marked:
        return Marked()
