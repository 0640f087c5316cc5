"""`holdfast store`: the object store."""

import typer

from holdfast.cli.session import group, session_of
from holdfast.cli.show import columns
from holdfast.ports import StoreCheck
from holdfast.wire.types import Page, Wire

commands = group("The object store, by the service's own settings and credentials.")


class _Finding(Wire):
    check: str
    state: str
    found: str
    remedy: str


_LIST = columns("check", "state", "found", "remedy")


@commands.command()
def check(context: typer.Context) -> None:
    """Say whether the object store does what it has to: bucket, credentials, clock, versions, Object Lock, grants.

    It is what the service does when it starts. Nothing is left in the store.
    """
    from holdfast.settings import Settings, open_store

    checks = open_store(Settings.load()).check()
    session_of(context).present.page(Page[_Finding](items=[_finding(one) for one in checks]), _LIST)
    for one in checks:
        if one.error is not None:
            raise one.error


def _finding(one: StoreCheck) -> _Finding:
    state = "failed" if one.error else "warning" if one.warning else "good"
    return _Finding(check=one.name, state=state, found=one.found, remedy=one.error.remedy if one.error else "")
