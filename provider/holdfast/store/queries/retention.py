"""Retention policies with what was decided on them, and objects with all that refers to them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Select,
    Text,
    TextClause,
    Uuid,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.orm import aliased

from holdfast.core.errors import NotFound, StateConflict
from holdfast.core.hold import HeldType, name_of
from holdfast.core.retention.lineage import Lineage, Proposal
from holdfast.core.retention.policy import (
    ClockStart,
    Disposition,
    GovernedObject,
    Hold,
    ObjectType,
    Policy,
    PolicyState,
    Ref,
    Scope,
)
from holdfast.store.prepared import Prepared
from holdfast.store.tables import ProjectRow, RetentionPolicyDecisionRow, RetentionPolicyRow

MOST_REFERENCES = 50_000
"""How many references are followed from one object; where there are more, it is kept."""


def _place_of(row: Any) -> ColumnElement[str]:
    """Return whose a policy is, as its index has it."""
    return func.coalesce(cast(row.project_id, Text), literal_column("''"))


_other = aliased(RetentionPolicyRow)
_its_decision = aliased(RetentionPolicyDecisionRow)
_newest_approved = (
    select(func.max(_other.version))
    .join(_its_decision, _its_decision.policy_id == _other.id)
    .where(
        _place_of(_other) == _place_of(RetentionPolicyRow),
        _other.name == RetentionPolicyRow.name,
        _its_decision.decision == "approve",
    )
    .correlate(RetentionPolicyRow)
    .scalar_subquery()
)
_state = case(
    (RetentionPolicyDecisionRow.decision.is_(None), PolicyState.PROPOSED.value),
    (RetentionPolicyDecisionRow.decision == "reject", PolicyState.REJECTED.value),
    (RetentionPolicyDecisionRow.decision == "withdraw", PolicyState.WITHDRAWN.value),
    (RetentionPolicyRow.version == _newest_approved, PolicyState.IN_FORCE.value),
    else_=PolicyState.SUPERSEDED.value,
)
POLICIES: Select[Any] = (
    select(
        *RetentionPolicyRow.__table__.c,
        ProjectRow.name.label("project"),
        RetentionPolicyDecisionRow.decision,
        RetentionPolicyDecisionRow.principal,
        RetentionPolicyDecisionRow.roles,
        RetentionPolicyDecisionRow.reason.label("decision_reason"),
        RetentionPolicyDecisionRow.created_at.label("decided_at"),
        _state.label("state"),
    )
    .outerjoin(ProjectRow, ProjectRow.id == RetentionPolicyRow.project_id)
    .outerjoin(RetentionPolicyDecisionRow, RetentionPolicyDecisionRow.policy_id == RetentionPolicyRow.id)
)
_HERE = RetentionPolicyRow.project_id.is_not_distinct_from(bindparam("in_project", type_=Uuid))
_BY_ID = Prepared(POLICIES.where(_HERE, RetentionPolicyRow.id == bindparam("policy")))
_APPLYING = Prepared(
    POLICIES.where(
        (RetentionPolicyRow.project_id == bindparam("in_project", type_=Uuid))
        | RetentionPolicyRow.project_id.is_(None),
        or_(_state == PolicyState.PROPOSED.value, _state == PolicyState.IN_FORCE.value),
    ).order_by(RetentionPolicyRow.project_id, RetentionPolicyRow.name, RetentionPolicyRow.version)
)
_NEWEST = Prepared(
    POLICIES.where(_HERE, RetentionPolicyRow.name == bindparam("name"))
    .order_by(RetentionPolicyRow.version.desc())
    .limit(1)
)


def policy_by_id(connection: Connection, project_id: UUID | None, project: str | None, policy: UUID) -> Any:
    """Return a row of POLICIES, of a Project or of the platform; raises NotFound."""
    row = _BY_ID.one_or_none(connection, {"in_project": project_id, "policy": policy})
    if row is None:
        place = f"Project {project!r}" if project else "the platform"
        raise NotFound(
            f"{place} has no version {policy} of a retention policy",
            remedy="`holdfast retention policy list` shows them; one of all Projects is named with --platform",
        )
    return row


def newest_version(connection: Connection, project_id: UUID | None, name: str) -> Any | None:
    """Return the newest version of a policy as a row of POLICIES."""
    return _NEWEST.one_or_none(connection, {"in_project": project_id, "name": name})


@dataclass(frozen=True, slots=True)
class Applying:
    """The policies of a Project and of the platform: what is in force, each with its id, and what somebody may approve."""

    ids: dict[Policy, UUID]
    proposals: list[Proposal]

    @property
    def in_force(self) -> list[Policy]:
        """The versions that apply."""
        return list(self.ids)


def applying_to(connection: Connection, project_id: UUID | None) -> Applying:
    """Return the policies that may apply to objects of a Project."""
    rows = _APPLYING.all(connection, {"in_project": project_id})
    return Applying(
        {policy_of(row): row.id for row in rows if is_in_force(row)},
        [Proposal(policy_of(row), is_end=row.is_end) for row in rows if row.state == PolicyState.PROPOSED],
    )


def is_in_force(row: Any) -> bool:
    """Whether the policy's version in a row of POLICIES applies: the newest that was approved, where that is not its end."""
    return row.state == PolicyState.IN_FORCE and not row.is_end


def policy_of(row: Any) -> Policy:
    """Return the policy's version in a row of POLICIES."""
    return Policy(
        name=row.name,
        version=row.version,
        scope=Scope(ObjectType(row.object_type), row.project, row.kind, row.label),
        starts=ClockStart(row.starts),
        period_days=row.period_days,
        disposition=Disposition(row.disposition),
        digest=row.digest,
    )


def now_and_newest(connection: Connection) -> tuple[datetime, datetime | None]:
    """Return what the database's clock shows, and the time of the newest event."""
    now, newest = _NOW.one(connection)
    return now, newest


def find_object(connection: Connection, project_id: UUID | None, project: str, identity: UUID) -> Ref:
    """Return what an id names, of all that policies apply to.

    Raises:
        NotFound: nothing of the Project has it.
        StateConflict: it is purged.
    """
    row = _FIND.one_or_none(connection, {"in_project": project_id, "project": project, "id": identity})
    if row is None:
        raise NotFound(
            f"Project {project!r} has no Artifact, DatasetVersion, Run or audit event {identity}",
            remedy="`holdfast artifact list`, `holdfast dataset list`, `holdfast run list` and `holdfast audit list` show ids",
        )
    if row.state == "purged":
        raise StateConflict(
            f"{row.type} {identity} is purged: nothing of it is kept but its record",
            remedy="`holdfast audit list --target` with its id shows what became of it",
        )
    return Ref(row.type, str(identity))


def event_object(connection: Connection, identity: UUID, project: str) -> tuple[GovernedObject, int]:
    """Return an audit event as policies see it, and how many rules its class has had: its segment's newest event starts the clock."""
    row = _EVENT.one(connection, {"id": identity})
    one = GovernedObject(
        ObjectType.AUDIT_EVENT, str(identity), project, row.event_class, row.action, segment_sealed_at=row.newest_at
    )
    return one, row.rules


def lineage_of(
    connection: Connection, project_id: UUID, project: str, targets: Sequence[Ref], most: int = MOST_REFERENCES
) -> Lineage:
    """Return objects with everything that refers to them, also indirectly.

    Args:
        connection: where to read.
        project_id: of the Project; no reference leaves it.
        project: its name.
        targets: Artifacts, DatasetVersions, Runs' logs.
        most: references to follow; where there are more, something says so that keeps all of them.
    """
    found = _Found(project_id, targets)
    found.follow(connection, most)
    return Lineage(
        {one.ref: one for one in found.objects(connection, project)},
        found.anchors(connection),
        found.edges,
        found.names,
    )


def holds_on(connection: Connection, lineage: Lineage) -> list[Hold]:
    """Return the legal holds that are not released and cover something in a lineage, with what of it each covers; of a held Run its log, too."""
    refs = {*lineage.objects, *lineage.refers_to}
    ids = sorted({UUID(ref.id) for ref in refs if ref.type in _HOLDABLE})
    objects: defaultdict[int, set[Ref]] = defaultdict(set)
    for row in _HOLDS.all(connection, {"ids": ids}):
        objects[row.number].add(Ref(row.object_type, str(row.object_id)))
        if row.object_type == HeldType.RUN:
            objects[row.number].add(Ref(ObjectType.RUN_LOG, str(row.object_id)))
    return [Hold(name_of(number), frozenset(held)) for number, held in objects.items()]


@dataclass
class _Found:
    """What refers to an object, while it is being followed."""

    project_id: UUID
    targets: Sequence[Ref]
    edges: dict[Ref, list[Ref]] = field(default_factory=dict)
    names: dict[Ref, str] = field(default_factory=dict)
    seen: defaultdict[str, set[UUID]] = field(default_factory=lambda: defaultdict(set))
    is_cut: bool = False

    def follow(self, connection: Connection, most: int) -> None:
        """Follow references against their direction, a step of the lineage at a time."""
        for target in self.targets:
            self.seen[target.type].add(UUID(target.id))
        pending, left = {kind: set(ids) for kind, ids in self.seen.items()}, most
        while pending and not self.is_cut:
            given = {f"{name}s": sorted(pending.get(name, ())) for name in _FOLLOWED}
            rows = _REFERRERS.all(connection, {"in_project": self.project_id, "most": left + 1, **given})
            self.is_cut, left = len(rows) > left, left - len(rows)
            pending = defaultdict(set)
            for row in rows:
                referrer = Ref(row.referrer_type, str(row.referrer) if row.name is None else row.name)
                self.edges.setdefault(referrer, []).append(Ref(row.type, str(row.id)))
                if row.referrer_type in _FOLLOWED and row.referrer not in self.seen[row.referrer_type]:
                    self.seen[row.referrer_type].add(row.referrer)
                    pending[row.referrer_type].add(row.referrer)
        if self.is_cut:
            self.edges[_MORE] = list(self.targets)

    def objects(self, connection: Connection, project: str) -> Iterable[GovernedObject]:
        """Yield what policies apply to."""
        if logs := sorted(self.seen[ObjectType.RUN_LOG]):
            for row in _RUNS.all(connection, {"in_project": self.project_id, "ids": logs}):
                yield GovernedObject(
                    ObjectType.RUN_LOG, str(row.id), project, row.state, row.task_id, run_ended_at=row.ended_at
                )
        for kind, statement in ((ObjectType.DATASET_VERSION, _DATASET_VERSIONS), (ObjectType.ARTIFACT, _ARTIFACTS)):
            if not (ids := sorted(self.seen[kind])):
                continue
            for row in statement.all(connection, {"in_project": self.project_id, "ids": ids}):
                one = GovernedObject(
                    kind,
                    str(row.id),
                    project,
                    row.kind,
                    row.label,
                    created_at=row.created_at,
                    run_ended_at=row.run_ended_at,
                    last_used_at=row.last_used_at,
                    retired_at=row.retired_at,
                )
                self.names[one.ref] = f"{row.name} ({row.id})"
                yield one

    def anchors(self, connection: Connection) -> dict[Ref, str]:
        """Return what is kept in itself, and learn the names of Runs and ModelVersions."""
        kept = {_MORE: "not all of them were looked at"} if self.is_cut else {}
        kept |= {ref: _ANCHORS[ref.type] for ref in self.edges if ref.type in _ANCHORS}
        if runs := sorted(self.seen["run"]):
            for row in _RUNS.all(connection, {"in_project": self.project_id, "ids": runs}):
                ref = Ref("run", str(row.id))
                self.names[ref] = f"{row.task_id} ({row.id})"
                if row.ended_at is None:
                    kept[ref] = "it has not ended"
        if versions := sorted(self.seen["model_version"]):
            for row in _MODEL_VERSIONS.all(connection, {"in_project": self.project_id, "ids": versions}):
                self.names[Ref("model_version", str(row.id))] = f"{row.model}/{row.number}"
        return kept


_FOLLOWED = ("dataset_version", "artifact", "run", "model_version")
_HOLDABLE = (*HeldType, ObjectType.RUN_LOG)
_MORE = Ref("lineage", f"beyond {MOST_REFERENCES} references")
_ANCHORS = {"alias": "it points there", "promotion": "it is not over"}


def _of_ids(sql: str) -> TextClause:
    return text(sql).bindparams(bindparam("in_project", type_=Uuid), bindparam("ids", type_=ARRAY(Uuid)))


_NOW = Prepared(text("SELECT now() AS now, (SELECT recorded_at FROM audit_event ORDER BY id DESC LIMIT 1) AS newest"))
_FIND = Prepared(
    text(
        """
        SELECT 'artifact' AS type, state FROM artifact WHERE project_id = :in_project AND id = :id
        UNION ALL SELECT 'dataset_version', state FROM dataset_version WHERE project_id = :in_project AND id = :id
        UNION ALL SELECT 'run_log', state FROM run WHERE project_id = :in_project AND id = :id
        UNION ALL SELECT 'audit_event', '' FROM audit_event WHERE project = :project AND id = :id
        """
    ).bindparams(bindparam("in_project", type_=Uuid), bindparam("id", type_=Uuid))
)
_EVENT = Prepared(
    text(
        "SELECT e.action, s.class AS event_class, s.newest_at,"
        " (SELECT count(*) FROM audit_retention r WHERE r.class = s.class) AS rules FROM audit_event e JOIN audit_segment s ON s.segment = e.segment"
        " WHERE e.id = :id"
    ).bindparams(bindparam("id", type_=Uuid))
)
# A later assignment of the same alias; the newest has none.
_LATER = """
    SELECT b.valid_from FROM alias_assignment b WHERE b.model_id = a.model_id AND b.alias = a.alias
    AND (b.valid_from, b.recorded_at, b.id) > (a.valid_from, a.recorded_at, a.id)
"""
_REFERRERS = Prepared(
    text(
        f"""
        SELECT 'run' AS referrer_type, run_id AS referrer, NULL AS name, 'dataset_version' AS type, dataset_version_id AS id
            FROM run_input WHERE dataset_version_id = ANY(:dataset_versions)
        UNION SELECT 'run', run_id, NULL, 'artifact', artifact_id FROM run_input WHERE artifact_id = ANY(:artifacts)
        UNION SELECT 'artifact', id, NULL, 'run', run_id FROM artifact WHERE run_id = ANY(:runs) AND state <> 'purged'
        UNION SELECT 'model_version', model_version_id, NULL, 'artifact', artifact_id
            FROM model_version_artifact WHERE artifact_id = ANY(:artifacts)
        UNION SELECT 'artifact', m.artifact_id, NULL, 'model_version', m.model_version_id
            FROM model_version_artifact m JOIN artifact a ON a.id = m.artifact_id
            WHERE m.model_version_id = ANY(:model_versions) AND m.role = 'model' AND a.state <> 'purged'
        UNION SELECT 'promotion', id, NULL, 'model_version', model_version_id FROM promotion
            WHERE project_id = :in_project AND state IN ('pending', 'approved') AND expires_at > now()
            AND model_version_id = ANY(:model_versions)
        UNION SELECT 'alias', v.model_id, m.name || '@' || a.alias, 'model_version', v.id
            FROM model_version v JOIN model m ON m.id = v.model_id
            JOIN alias_assignment a ON a.model_id = v.model_id AND a.model_version_id = v.id
            WHERE v.id = ANY(:model_versions) AND NOT EXISTS ({_LATER})
        LIMIT :most
        """  # noqa: S608 - our own words
    ).bindparams(bindparam("in_project", type_=Uuid), *(bindparam(f"{name}s", type_=ARRAY(Uuid)) for name in _FOLLOWED))
)
_RUNS = Prepared(
    _of_ids("SELECT id, task_id, state, ended_at FROM run WHERE project_id = :in_project AND id = ANY(:ids)")
)
_HOLDS = Prepared(
    text(
        "SELECT h.number, o.object_type, o.object_id FROM legal_hold_object o JOIN legal_hold h ON h.id = o.hold_id"
        " WHERE o.object_id = ANY(:ids) AND h.released_at IS NULL ORDER BY h.number"
    ).bindparams(bindparam("ids", type_=ARRAY(Uuid)))
)
_MODEL_VERSIONS = Prepared(
    _of_ids(
        "SELECT v.id, m.name AS model, v.number FROM model_version v JOIN model m ON m.id = v.model_id"
        " WHERE v.project_id = :in_project AND v.id = ANY(:ids)"
    )
)
_DATASET_VERSIONS = Prepared(
    _of_ids(
        """
        SELECT v.id, c.kind, c.label, d.name || '/' || v.number AS name, v.created_at, c.run_ended_at, c.last_used_at, c.retired_at
        FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id CROSS JOIN LATERAL clocks_of('dataset_version', v.id) c
        WHERE v.project_id = :in_project AND v.id = ANY(:ids)
        """
    )
)
_ARTIFACTS = Prepared(
    _of_ids(
        """
        SELECT o.id, c.kind, c.label, o.name, o.created_at, c.run_ended_at, c.last_used_at, c.retired_at
        FROM artifact o CROSS JOIN LATERAL clocks_of('artifact', o.id) c WHERE o.project_id = :in_project AND o.id = ANY(:ids)
        """
    )
)
