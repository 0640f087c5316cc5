"""What is looked up about who calls Airflow."""

import base64
import json

from holdfast_plugins.denials import printable


def user_is_known(name: str) -> bool:
    """Whether Airflow has a user of this name."""
    from sqlalchemy import inspect, text

    from airflow import settings

    engine = settings.get_engine()
    with engine.connect() as connection:
        if not inspect(connection).has_table("ab_user"):
            return True  # an auth manager whose users are elsewhere
        found = connection.execute(text("SELECT 1 FROM ab_user WHERE username = :name"), {"name": name})
        return found.first() is not None


def claimed_task(token: str | None) -> str | None:
    """Return the task instance that a token of the execution API names; Airflow refuses the call where the token is false."""
    try:
        part = (token or "").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return printable(str(claims["sub"]))[:100]
    except (IndexError, ValueError, KeyError, TypeError):
        return None
