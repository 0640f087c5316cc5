"""Whether the clocks may be trusted by which it is decided that something goes; pure."""

from datetime import UTC, datetime, timedelta

from holdfast.core.errors import StateConflict


def check_clocks(
    clocks: dict[str, datetime], newest: datetime | None, most: timedelta = timedelta(minutes=5)
) -> datetime:
    """Return the time for which may be decided: the earliest of the clocks, where they agree.

    Args:
        clocks: what each clock shows, by its name.
        newest: the time of the newest thing on record, which no clock may be behind.
        most: by how much clocks may differ.

    Raises:
        StateConflict: they disagree by more, or one has gone back; nothing may be decided by them.
    """
    (early, first), (late, last) = (pick(clocks.items(), key=lambda clock: clock[1]) for pick in (min, max))
    if last - first > most:
        raise StateConflict(
            f"the clock of {early} shows {written(first)} and the clock of {late} {written(last)}",
            remedy="Set them by the same source of time; until then nothing is decided by them",
        )
    if newest is not None and newest - first > most:
        raise StateConflict(
            f"the clock of {early} shows {written(first)}, and what is on record is of {written(newest)}: it has gone back",
            remedy="Set it; until then nothing is decided by it",
        )
    return first


def written(at: datetime) -> str:
    """Return a time as people read it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
