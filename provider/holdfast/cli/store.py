"""`holdfast store`: the object store."""

from datetime import timedelta

import typer

from holdfast.cli.session import Session, direct_caller, engine_at, group, session_of
from holdfast.cli.show import Output, columns
from holdfast.core.errors import IntegrityViolation, InvalidRequest
from holdfast.core.probe import RuleOutcome
from holdfast.ports import StoreCheck
from holdfast.wire.store import StoreStanding
from holdfast.wire.types import Page, Wire

commands = group("The object store, by the service's own settings and credentials.")


class _Finding(Wire):
    check: str
    state: str
    found: str
    remedy: str


_RULES = columns("rule", "outcome", "says")
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


@commands.command()
def probe(context: typer.Context) -> None:
    """Try on canaries in the object store what a dishonest store would let happen, and write down whether it keeps its locks.

    The settings come from the environment (HOLDFAST_S3_BUCKET, HOLDFAST_DATABASE_URL), the credentials from where
    boto3 finds them. Small objects stay under retention for two minutes; the next probe removes them. What would change the whole bucket is tried in a bucket of
    the probe's own, named like the real one with -probe behind it, which stays. Ends with exit code 6 when the store breaks a rule, and
    with 2 when one that is needed could not be tried.
    """
    from holdfast.ops.store_probe import probe_store
    from holdfast.settings import BucketSettings, open_bucket

    session, settings = session_of(context), BucketSettings.load()
    bucket, limit = open_bucket(settings), timedelta(seconds=settings.store_probe_limit_s)
    with engine_at(settings.database_url) as engine:
        standing = probe_store(engine, direct_caller(), bucket, limit, session.present.progress("rules"))
    _show(session, standing)
    if standing.probe is None or standing.probe.is_honest:
        return
    if broken := standing.probe.named(RuleOutcome.BROKEN):
        raise IntegrityViolation(
            f"the store {standing.place} does not keep its locks: it breaks {', '.join(broken)}",
            remedy="Holds are `database only` until it does; see docs/how-to/probe-the-store.md",
        )
    raise InvalidRequest(
        f"the store {standing.place} could not be probed: {', '.join(standing.probe.named(RuleOutcome.UNTRIED))}",
        remedy="Holds are `database only` until it can; the table says what is missing",
    )


@commands.command()
def show(context: typer.Context) -> None:
    """Say what a hold is worth in the object store: `object lock` while its newest probe is good and young, else `database only`."""
    session = session_of(context)
    with session.governance() as governance:
        _show(session, governance.store.show())


def _show(session: Session, standing: StoreStanding) -> None:
    present, probe = session.present, standing.probe
    if present.output is Output.JSON:
        present.record(standing)
        return
    present.fact(f"hold level: {standing.hold_level}\n{standing.why}\n{standing.place}")
    if probe is not None:
        present.fact(f"probed at {probe.probed_at:%Y-%m-%dT%H:%M:%SZ} by {probe.probed_by}, version {probe.version}\n")
        present.rows(probe.findings, _RULES, None)
    if probe is not None and probe.leftovers:
        present.note(f"{len(probe.leftovers)} canaries are still locked; the next probe removes them")


def _finding(one: StoreCheck) -> _Finding:
    state = "failed" if one.error else "warning" if one.warning else "good"
    return _Finding(check=one.name, state=state, found=one.found, remedy=one.error.remedy if one.error else "")
