"""Projects, role bindings and service tokens."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, select, update

from holdfast.core.access import Permission, check_scope, check_subject
from holdfast.core.audit import AuditAction
from holdfast.core.errors import NotFound, PolicyViolation, StateConflict
from holdfast.core.policy import DataPlaneKind, ProjectClass
from holdfast.core.run import RunState
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.access import new_secret
from holdfast.service.event import page_content
from holdfast.service.transaction import Change, Transactions, new_id
from holdfast.store import mapping
from holdfast.store.queries.page import page_of
from holdfast.store.tables import ProjectRow, RoleBindingRow, RunRow, ServiceTokenRow
from holdfast.wire.project import (
    NewToken,
    Project,
    ProjectRequest,
    Reason,
    RoleBinding,
    RoleBindingRequest,
    Token,
    TokenRequest,
)
from holdfast.wire.types import Page

_UNDER_WAY = (RunState.CREATED, RunState.QUEUED, RunState.RUNNING)


def _check_free(change: Change, namespace: str) -> None:
    """Return when no other Project has the namespace: Runs in it could read its secrets, and each would take the other's pods for strangers."""
    # One at a time: two that look at once would both find it free.
    change.serialise("namespace", namespace)
    found = change.connection.scalar(
        select(ProjectRow.name).where(ProjectRow.namespace == namespace, ProjectRow.archived_at.is_(None)).limit(1)
    )
    if found is not None:
        raise StateConflict(
            f"namespace {namespace!r} is that of Project {found!r}", remedy="Give each Project a namespace of its own"
        )


@dataclass(frozen=True, slots=True)
class ProjectService:
    """Implements `ports.Projects`."""

    transactions: Transactions

    def create(self, request: ProjectRequest, *, key: str | None = None) -> Project:
        """Create a Project; raises StateConflict where its name or its namespace is another's."""
        if request.project_class is ProjectClass.PRODUCTION and request.data_plane is DataPlaneKind.LOCAL:
            raise PolicyViolation(
                f"Project {request.name!r} of class production cannot use the local data plane, which has no isolation",
                remedy="Choose data_plane kubernetes, or class development",
                details={"rule": "project.production-is-isolated", "version": 1, "changed_by": "nobody"},
            )

        def apply(change: Change) -> Project:
            taken = change.connection.scalar(select(ProjectRow.id).where(ProjectRow.name == request.name))
            if taken is not None:
                raise StateConflict(f"Project {request.name!r} exists already", remedy="Choose another name")
            if request.namespace is not None:
                _check_free(change, request.namespace)
            row = change.connection.execute(
                insert(ProjectRow)
                .values(id=new_id(), **request.model_dump(mode="json"))
                .returning(*ProjectRow.__table__.c)
            ).one()
            change.record(
                AuditAction.PROJECT_CREATED, "project", row.id, request.model_dump(mode="json"), project=request.name
            )
            return mapping.project_of(row)

        return self.transactions.change(
            "projects.create", Permission.PROJECT_CREATE, None, request, key, Project, apply
        )

    def get(self, name: str) -> Project:
        """Return a Project; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            return mapping.project_of(
                connection.execute(select(*ProjectRow.__table__.c).where(ProjectRow.id == found.project_id)).one()
            )

    def list(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Project]:
        """Return the Projects that the caller may read, newest first."""
        with self.transactions.reading(None) as (connection, found):
            statement = select(*ProjectRow.__table__.c)
            caller = found.access.caller
            if caller.project is not None:
                statement = statement.where(ProjectRow.name == caller.project)
            elif Permission.PROJECT_READ not in found.access.permissions:
                mine = select(RoleBindingRow.project_id).where(
                    RoleBindingRow.subject.in_(caller.subjects), RoleBindingRow.revoked_at.is_(None)
                )
                statement = statement.where(ProjectRow.id.in_(mine))
            return page_of(connection, statement, ProjectRow.id, mapping.project_of, limit=limit, cursor=cursor)

    def archive(self, name: str, reason: Reason, *, key: str | None = None) -> Project:
        """Make a Project read-only; this is not undone. An archived Project stays as it is.

        Raises:
            NotFound: there is no such Project.
            StateConflict: a Run of it is under way, and its end could not be recorded any more. One that is `unknown` stays so.
        """

        def apply(change: Change) -> Project:
            here = ProjectRow.id == change.project
            row = change.connection.execute(select(*ProjectRow.__table__.c).where(here).with_for_update()).one()
            if row.archived_at is not None:
                change.nothing_changed()
                return mapping.project_of(row)
            # Under the Project's lock: a Run that is being created waits for it, and is then refused.
            open_runs = change.connection.scalar(
                select(func.count()).where(RunRow.project_id == change.project, RunRow.state.in_(_UNDER_WAY))
            )
            if open_runs:
                raise StateConflict(
                    f"Project {name!r} has {open_runs} Run{'s' if open_runs > 1 else ''} under way, whose end could not be recorded any more",
                    remedy="Let them end, or end their tasks in Airflow; `holdfast run list --state running` shows them",
                    details={"open_runs": open_runs},
                )
            row = change.connection.execute(
                update(ProjectRow).where(here).values(archived_at=func.now()).returning(*ProjectRow.__table__.c)
            ).one()
            change.record(AuditAction.PROJECT_ARCHIVED, "project", row.id, {"name": name}, reason=reason.reason)
            return mapping.project_of(row)

        return self.transactions.change(
            "projects.archive", Permission.PROJECT_ARCHIVE, name, reason, key, Project, apply
        )

    def bind_role(self, name: str | None, request: RoleBindingRequest, *, key: str | None = None) -> RoleBinding:
        """Give a subject a role in a Project, or on the platform where name is None; a role it has already stays."""
        check_subject(request.subject)

        def apply(change: Change) -> RoleBinding:
            same = select(*RoleBindingRow.__table__.c).where(
                _bound_to(change.project_id),
                RoleBindingRow.subject == request.subject,
                RoleBindingRow.role == request.role,
                RoleBindingRow.revoked_at.is_(None),
            )
            if (row := change.connection.execute(same).one_or_none()) is not None:
                change.nothing_changed()
                return mapping.role_binding_of(row, name)
            values = {
                "project_id": change.project_id,
                "created_by": change.caller.principal,
                **request.model_dump(mode="json"),
            }
            row = change.connection.execute(
                insert(RoleBindingRow).values(id=new_id(), **values).returning(*RoleBindingRow.__table__.c)
            ).one()
            change.record(AuditAction.ROLE_BOUND, "role_binding", row.id, request.model_dump(mode="json"))
            return mapping.role_binding_of(row, name)

        return self.transactions.change(
            "projects.bind_role",
            Permission.BINDING_WRITE,
            name,
            request,
            key,
            RoleBinding,
            apply,
            turn=f"role_binding/{request.role}/{request.subject}",
        )

    def unbind_role(self, name: str | None, binding: UUID, *, key: str | None = None) -> RoleBinding:
        """Take a role back; raises NotFound where there is no such binding."""

        def apply(change: Change) -> RoleBinding:
            here = (RoleBindingRow.id == binding) & _bound_to(change.project_id)
            row = change.connection.execute(
                select(*RoleBindingRow.__table__.c).where(here).with_for_update()
            ).one_or_none()
            if row is None:
                raise NotFound(
                    f"there is no role binding {binding} here", remedy="List them with `holdfast project bindings`"
                )
            if row.revoked_at is not None:
                change.nothing_changed()
                return mapping.role_binding_of(row, name)
            row = change.connection.execute(
                update(RoleBindingRow).where(here).values(revoked_at=func.now()).returning(*RoleBindingRow.__table__.c)
            ).one()
            change.record(AuditAction.ROLE_UNBOUND, "role_binding", row.id, {"subject": row.subject, "role": row.role})
            return mapping.role_binding_of(row, name)

        return self.transactions.change(
            f"projects.unbind_role/{binding}", Permission.BINDING_WRITE, name, None, key, RoleBinding, apply
        )

    def list_bindings(
        self, name: str | None, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RoleBinding]:
        """Return the role bindings of a Project, or of the platform, newest first."""
        with self.transactions.disclose(Permission.PROJECT_READ, name) as disclosure:
            page = page_of(
                disclosure.connection,
                select(*RoleBindingRow.__table__.c).where(_bound_to(disclosure.project_id)),
                RoleBindingRow.id,
                lambda row: mapping.role_binding_of(row, name),
                limit=limit,
                cursor=cursor,
            )
            disclosure.record(AuditAction.ROLE_BINDINGS_READ, "role_binding", name or "", page_content(page))
        return page

    def create_token(self, name: str, request: TokenRequest, *, key: str | None = None) -> NewToken:
        """Make a service token for one Project; its secret is in this reply and nowhere else."""
        scope = sorted(check_scope(request.scope))

        def apply(change: Change) -> NewToken:
            identity = new_id()
            secret, secret_hash = new_secret(identity)
            row = change.connection.execute(
                insert(ServiceTokenRow)
                .values(
                    id=identity,
                    project_id=change.project,
                    name=request.name,
                    secret_hash=secret_hash,
                    scope=scope,
                    created_by=change.caller.principal,
                    expires_at=func.now() + timedelta(seconds=request.lifetime_s),
                )
                .returning(*ServiceTokenRow.__table__.c)
            ).one()
            content = {"name": request.name, "scope": list(scope), "expires_at": row.expires_at.isoformat()}
            change.record(AuditAction.TOKEN_CREATED, "service_token", identity, content)
            return NewToken(token=mapping.token_of(row, name), secret=secret)

        return self.transactions.change(
            "projects.create_token", Permission.TOKEN_WRITE, name, request, key, NewToken, apply, keeps_reply=False
        )

    def revoke_token(self, name: str, token: UUID, *, key: str | None = None) -> Token:
        """Make a service token useless at once; a revoked token stays revoked. Raises NotFound."""

        def apply(change: Change) -> Token:
            here = (ServiceTokenRow.id == token) & (ServiceTokenRow.project_id == change.project)
            row = change.connection.execute(
                select(*ServiceTokenRow.__table__.c).where(here).with_for_update()
            ).one_or_none()
            if row is None:
                raise NotFound(
                    f"there is no service token {token} in Project {name!r}",
                    remedy="List them with `holdfast token list`",
                )
            if row.revoked_at is not None:
                change.nothing_changed()
                return mapping.token_of(row, name)
            row = change.connection.execute(
                update(ServiceTokenRow)
                .where(here)
                .values(revoked_at=func.now())
                .returning(*ServiceTokenRow.__table__.c)
            ).one()
            change.record(AuditAction.TOKEN_REVOKED, "service_token", token, {"name": row.name})
            return mapping.token_of(row, name)

        return self.transactions.change(
            f"projects.revoke_token/{token}", Permission.TOKEN_WRITE, name, None, key, Token, apply
        )

    def list_tokens(self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Token]:
        """Return a Project's service tokens without their secrets, newest first."""
        with self.transactions.disclose(Permission.TOKEN_WRITE, name) as disclosure:
            page = page_of(
                disclosure.connection,
                select(*ServiceTokenRow.__table__.c).where(ServiceTokenRow.project_id == disclosure.project_id),
                ServiceTokenRow.id,
                lambda row: mapping.token_of(row, name),
                limit=limit,
                cursor=cursor,
            )
            disclosure.record(AuditAction.TOKENS_READ, "service_token", name, page_content(page))
        return page


def _bound_to(project_id: UUID | None) -> ColumnElement[bool]:
    """Return what holds for the role bindings of a Project, or of the platform; IS NOT DISTINCT FROM would use no index."""
    column = RoleBindingRow.project_id
    return column.is_(None) if project_id is None else column == project_id
