"""What an installation does once: the governance database, the first roles, a Project with its token, environment and policy."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from demo.plane import PROJECT, Plane, bring_data
from demo.postgres import PostgresServer
from demo.state import State
from demo.users import ROLES, USERS
from holdfast.core.access import TOKEN_PERMISSIONS, Caller, Role
from holdfast.core.errors import StateConflict
from holdfast.settings import Platform, Settings
from holdfast.store import migrate
from holdfast.wire.model import ApprovalGateSpec, MetricGateSpec, PolicyRequest
from holdfast.wire.project import RoleBindingRequest, TokenRequest

LOGIN = "holdfast_app"
_PLATFORM_ROLES = {"SRE": Role.SRE, "Security Officer": Role.SECURITY_OFFICER, "Platform Owner": Role.PLATFORM_OWNER}
_PROJECT_ROLES = {"maintainer": Role.PROJECT_MAINTAINER, "viewer": Role.VIEWER}


def open_platform(
    state: State, postgres: PostgresServer, api_url: str, plane: Plane
) -> tuple[Platform, dict[str, str]]:
    """Migrate the governance database and return the platform with the environment of a process that opens it."""
    migrate.upgrade(postgres.create_database("holdfast"))
    postgres.create_login(LOGIN, member_of="holdfast_service")
    environment = {
        "HOLDFAST_DATABASE_URL": postgres.url("holdfast", LOGIN),
        "HOLDFAST_GRANT_KEY": state.secret("grant"),
        "HOLDFAST_API_URL": api_url,
        **plane.store,
    }
    values = {name.removeprefix("HOLDFAST_").lower(): value for name, value in environment.items()}
    with surrounded(plane.service):
        return Platform.open(Settings(**values)), {**environment, **plane.service}


@contextmanager
def surrounded(more: Mapping[str, str]) -> Iterator[None]:
    """Have variables in this process's environment for a while: who opens a platform finds credentials there."""
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def furnish(state: State, platform: Platform, plane: Plane) -> str:
    """Make what the example Dag needs, where it is not there yet, and return the Project's service token."""
    install = platform.governance(Caller("system:install"))
    try:
        install.projects.create(plane.project, key="demo project")
    except StateConflict:
        install.projects.get(PROJECT)
    for group, role in _PLATFORM_ROLES.items():
        install.projects.bind_role(None, RoleBindingRequest(subject=f"group:{group}", role=role))
    for user, role in _PROJECT_ROLES.items():
        install.projects.bind_role(PROJECT, RoleBindingRequest(subject=f"user:{user}", role=role))
    install.runs.lock_environment(PROJECT, plane.environment)
    install.promotions.define_policy(
        PROJECT,
        PolicyRequest(
            name="clinical",
            gates=[
                MetricGateSpec(metric="accuracy", comparison=">=", bound=0.9),
                ApprovalGateSpec(count=1, roles=[Role.SECURITY_OFFICER, Role.PROJECT_MAINTAINER]),
            ],
        ),
    )
    return state.secret(
        "token",
        lambda: (
            install.projects.create_token(PROJECT, TokenRequest(name="airflow", scope=sorted(TOKEN_PERMISSIONS))).secret
        ),
    )


def passwords(state: State) -> Mapping[str, str]:
    """Return each user's password, made once."""
    return {user: state.secret(f"password-{user}") for user in USERS}


__all__ = ["PROJECT", "ROLES", "bring_data", "furnish", "open_platform", "passwords"]
