"""Loaded by Airflow in each of its processes as an entry point of `airflow.policy`, which is the only place that its command line has.

This is the one module whose import does something. In Airflow's own processes that is nothing, and neither is anything imported there;
elsewhere it hands callbacks and listeners over, and opens nothing.
"""

from holdfast_plugins.airflow_changes.process import has_governance_settings, is_component, shows_secrets, words


def _begin() -> None:
    if is_component() or not (words() or has_governance_settings()):
        return
    from airflow.utils.cli_action_loggers import register_post_exec_callback, register_pre_exec_callback

    from holdfast_plugins.airflow_changes.changes import WATCH
    from holdfast_plugins.airflow_changes.commands import Commands, record_read, recorder_of_process

    commands = Commands()
    register_pre_exec_callback(commands.before)
    register_post_exec_callback(commands.after)
    WATCH.begin(recorder_of_process)
    if shows_secrets():
        record_read(words())


_begin()
