"""Retention plans: what exactly may go, by whose leave, and what is written of what became of it; pure.

A plan's root binds every one of its items, an approval names that root, and a certificate's root binds what became of each: so that a
single line of either can be shown without the others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from holdfast.core.canonical import Json
from holdfast.core.digest import parse, text_of
from holdfast.core.errors import IntegrityViolation, PolicyViolation, StateConflict
from holdfast.core.merkle import Frontier, leaf_hash, node_hash, prove_inclusion, root_from_inclusion
from holdfast.core.names import parse_numbered
from holdfast.core.retention.policy import Disposition, ObjectType

PLANNED = (ObjectType.ARTIFACT, ObjectType.DATASET_VERSION)
"""Of what plans are made; audit events go by whole segments."""
CARRIED_OUT = (Disposition.DELETE,)
"""What a plan can do to an object."""
APPROVAL_LIFETIME = timedelta(days=7)
"""How long after an approval a plan may still be carried out; the database holds the same bound."""
_PREFIX = "RP"


class ItemState(StrEnum):
    """What has become of an item of a plan."""

    PLANNED = "planned"
    PURGING = "purging"
    PURGED = "purged"
    KEPT = "kept"
    RESIDUAL = "residual"


class PlanState(StrEnum):
    """Where a plan is."""

    MADE = "made"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    CERTIFIED = "certified"


def name_of(number: int) -> str:
    """Return how people write a plan."""
    return f"{_PREFIX}-{number}"


def parse_plan(text: str) -> int | UUID:
    """Return the number or the id by which a plan is named; raises InvalidRequest where it is neither."""
    return parse_numbered(text, _PREFIX, "retention plan")


@dataclass(frozen=True, slots=True)
class Item:
    """An object that a plan lets go, exactly as it is on record.

    Attributes:
        object_key: of its bytes in the object store, with the version; None for a DatasetVersion, whose bytes are at their source.
        policy: the version of the policy that let it go, by its id and its digest.
    """

    object_type: ObjectType
    object_id: UUID
    object_key: str | None
    version_id: str | None
    digest: bytes
    size_bytes: int
    policy_id: UUID
    policy_digest: bytes
    disposition: Disposition

    def document(self, plan: UUID, index: int) -> dict[str, Json]:
        """Return what the plan says of it."""
        return {
            "format": "holdfast.retention-plan-item/1",
            "plan": str(plan),
            "index": index,
            "object_type": self.object_type.value,
            "object": str(self.object_id),
            "object_key": self.object_key,
            "version_id": self.version_id,
            "digest": text_of(self.digest),
            "size_bytes": self.size_bytes,
            "policy": str(self.policy_id),
            "policy_digest": text_of(self.policy_digest),
            "disposition": self.disposition.value,
        }

    def line(self, plan: UUID, index: int, state: ItemState, says: str) -> dict[str, Json]:
        """Return what a certificate says of it."""
        document = self.document(plan, index)
        return {**document, "format": "holdfast.retention-certificate-line/1", "outcome": state.value, "says": says}


def root_of(entries: Iterable[bytes]) -> bytes:
    """Return the root of the Merkle tree (RFC 9162) over entries; each is hashed as it comes, and none is kept."""
    frontier = Frontier()
    frontier.extend(leaf_hash(entry) for entry in entries)
    return frontier.root()


def path_to(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the proof that a leaf is in the tree over leaves, given by their hashes."""

    def node(level: int, at: int) -> bytes:
        return leaves[at] if level == 0 else node_hash(node(level - 1, 2 * at), node(level - 1, 2 * at + 1))

    return prove_inclusion(index, len(leaves), node)


def check_line(entry: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Return when a certificate's root binds a line; raises IntegrityViolation."""
    if root_from_inclusion(leaf_hash(entry), index, size, path) != root:
        raise IntegrityViolation(
            f"line {index} is not of this certificate: its path leads to another root",
            remedy="Ask for the line again; do not believe this one",
        )


def check_certified(
    line: Mapping[str, Json], index: int, size: int, plan: UUID, certificate: Mapping[str, Json]
) -> None:
    """Return when a line and a certificate speak of one plan, and of the place in it that is claimed; raises IntegrityViolation."""
    named = certificate.get("plan")
    certified = named if isinstance(named, Mapping) else {}
    if (certified.get("id"), certified.get("items"), line.get("plan"), line.get("index")) != (
        str(plan),
        size,
        str(plan),
        index,
    ):
        raise IntegrityViolation(
            f"the line or the certificate is of another plan than {plan}, or of another place in it than {index} of {size}",
            remedy="Ask for the line again; do not believe this one",
        )


def check_root(root: bytes, approved: str) -> None:
    """Return when a decision names the root of the plan that it is on; raises StateConflict."""
    if parse(approved) != root:
        raise StateConflict(
            "the decision is about another plan than this: its root is not the one named",
            remedy="Read the plan again, and decide on the root that it shows",
            details={"recorded_root": text_of(root), "request_root": approved},
        )


def check_decider(name: str, planned_by: str, principal: str) -> None:
    """Return when who decides on a plan is a person, and not who made it. The database holds the same rule; raises PolicyViolation."""
    if principal == planned_by:
        says = f"{principal} made {name} and may not decide on it"
    elif not principal.startswith("user:"):
        says = f"{principal} is no person and may not decide on {name}"
    else:
        return
    raise PolicyViolation(
        says,
        remedy="Another person who is a Security Officer must decide; who made it may withdraw it",
        details={
            "rule": "retention_plan.planner-is-not-approver",
            "version": 1,
            "changed_by": "nobody: held by a database constraint",
        },
    )


def state_of(decision: str | None, decided_at: datetime | None, now: datetime, *, is_certified: bool) -> PlanState:
    """Return where a plan is."""
    if is_certified:
        return PlanState.CERTIFIED
    if decision == "approve" and decided_at is not None:
        return PlanState.EXPIRED if now > decided_at + APPROVAL_LIFETIME else PlanState.APPROVED
    return {None: PlanState.MADE, "reject": PlanState.REJECTED, "withdraw": PlanState.WITHDRAWN}[decision]


def check_items(entries: Iterator[bytes], root: bytes, name: str) -> None:
    """Return when a plan's items are those that were approved.

    Raises:
        IntegrityViolation: they are not; nothing of the plan may be carried out.
    """
    if root_of(entries) != root:
        raise IntegrityViolation(
            f"the items of retention plan {name} are not those that were approved: their root is another",
            remedy="Nothing has gone. Find out who changed the database (`holdfast audit verify`), and make a new plan",
        )


def make_certificate(
    plan: Mapping[str, Json],
    approval: Mapping[str, Json],
    counts: Mapping[str, int],
    root: bytes,
    store: Mapping[str, Json],
) -> dict[str, Json]:
    """Return a certificate: what was planned, who approved it, and how much of it has gone.

    Args:
        plan: what names it, with its root.
        approval: who, when, and under which event of the log.
        counts: items by what became of them.
        root: over what became of each.
        store: the object store, with what a hold is worth there.
    """
    return {
        "format": "holdfast.retention-certificate/1",
        "plan": dict(plan),
        "approval": dict(approval),
        "outcomes": dict(counts),
        "root": text_of(root),
        "store": dict(store),
        "not_looked_at": [
            "backups of the object store, and other buckets that it replicates to",
            "dumps and write-ahead logs of the database, which hold the record and never the bytes",
            "the sources of DatasetVersions",
            "bytes that a Run has stored and that were never recorded",
            "logs, XComs and rendered templates of Airflow",
        ],
    }
