"""Airflow's users and roles."""

from collections.abc import Mapping
from typing import Any

# Holdfast role → the stock Airflow role whose permissions it starts from.
ROLES = {
    "Viewer": "Viewer",
    "Project Maintainer": "User",
    "SRE": "Op",
    "Security Officer": "Viewer",
    "Platform Owner": "Admin",
}
USERS = {
    "viewer": "Viewer",
    "maintainer": "Project Maintainer",
    "sre": "SRE",
    "officer": "Security Officer",
    "owner": "Platform Owner",
}


def described(passwords: Mapping[str, str]) -> dict[str, Any]:
    """Return the demo's roles and users as `create` takes them."""
    return {"roles": ROLES, "users": {user: [role, passwords[user]] for user, role in USERS.items()}}


def create(wanted: Mapping[str, Any]) -> None:
    """Create roles and users that are not there yet, in a process with Airflow's environment; the same again changes nothing.

    Args:
        wanted: `{"roles": {role: stock role}, "users": {user: [role, password]}}`. The roles may enter Holdfast; a user may have a
            stock role, which may not.
    """
    from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
    from airflow.providers.fab.www.security_appless import ApplessAirflowSecurityManager
    from airflow.utils.session import create_session
    from werkzeug.security import generate_password_hash

    with create_session(scoped=False) as session:
        manager: FabAirflowSecurityManagerOverride = ApplessAirflowSecurityManager(session)
        manager.sync_roles()
        entry = [manager.create_permission("can_read", "Holdfast"), manager.create_permission("can_read", "Plugins")]
        for name, stock in wanted["roles"].items():
            role = manager.add_role(name)
            for permission in [*_stock_permissions(manager, stock), *entry]:
                manager.add_permission_to_role(role, permission)
        for user, (role_name, password) in wanted["users"].items():
            if manager.find_user(username=user) is None:
                _add_user(session, user, manager.find_role(role_name), generate_password_hash(password))


def _stock_permissions(manager: Any, name: str) -> list[Any]:
    return list(manager.find_role(name).permissions)


def _add_user(session: Any, name: str, role: Any, password_hash: str) -> None:
    from airflow.providers.fab.auth_manager.models import User

    user = User()
    user.username, user.first_name, user.last_name = name, name.capitalize(), "Demo"
    user.email, user.active, user.roles, user.password = f"{name}@localhost", True, [role], password_hash
    session.add(user)
    session.commit()
