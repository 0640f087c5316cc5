"""Making a plan among a million Artifacts, against SQL that somebody would write by hand for this one policy."""

from __future__ import annotations

import resource
import time
from typing import Any

from sqlalchemy import text
from tests.support.disposal import make_plan

from benchmarks.retention.place import PERIOD_DAYS, Place
from benchmarks.spread import spread

# The same rows with the same conditions, written into a table of the same columns: what is due, not held and not referred to.
_BY_HAND = f"""
    INSERT INTO by_hand SELECT gen_random_uuid(), row_number() OVER (ORDER BY o.id), o.project_id, 'artifact', o.id, o.object_key,
        o.version_id, o.digest, o.size_bytes, o.id, o.digest, 'delete', 'planned', '', NULL
    FROM artifact o WHERE o.state <> 'purged' AND o.created_at <= now() - interval '{PERIOD_DAYS} days'
    AND NOT EXISTS (SELECT FROM legal_hold_object l JOIN legal_hold h ON h.id = l.hold_id
        WHERE l.object_id = o.id AND h.released_at IS NULL)
    AND NOT EXISTS (SELECT FROM run_input i WHERE i.artifact_id = o.id)
    AND NOT EXISTS (SELECT FROM model_version_artifact m WHERE m.artifact_id = o.id)
"""


def measure(place: Place, due: int, rounds: int, say: Any) -> dict[str, Any]:
    """Return how long a plan of so many items takes, and how long the same by hand."""
    place.owner.execute(text("DROP TABLE IF EXISTS by_hand"))
    place.owner.execute(text("CREATE TABLE by_hand (LIKE retention_plan_item INCLUDING ALL)"))
    place.age(due)
    ours, floors, ratios = [], [], []
    for number in range(rounds):
        begin = time.perf_counter()
        plan = make_plan(place.story)
        ours.append(time.perf_counter() - begin)
        if plan.item_count != due:
            raise RuntimeError(f"the plan has {plan.item_count} items, not {due}")
        begin = time.perf_counter()
        count = place.owner.execute(text(_BY_HAND)).rowcount
        floors.append(time.perf_counter() - begin)
        if count != due:
            raise RuntimeError(f"by hand there are {count} items, not {due}")
        place.owner.execute(text("TRUNCATE by_hand"))
        ratios.append(ours[-1] / floors[-1])
        say(f"round {number}: {due} items: {ours[-1]:.2f} s, by hand {floors[-1]:.2f} s")
    return {
        "items": due,
        "plan_s": spread(ours),
        "by_hand_s": spread(floors),
        "ratio": spread(ratios),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
