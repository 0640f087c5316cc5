"""The disposer's login: the one that may let something go, and nothing else."""

from sqlalchemy import Engine, text

from holdfast.core.errors import InvalidRequest
from holdfast.service.refusals import translate
from holdfast.store.engine import read_only


def check_disposer(engine: Engine, function: str, what: str) -> None:
    """Return when a login may call a function of the disposer's.

    Args:
        engine: of the login.
        function: with the types of its arguments.
        what: the login is for.

    Raises:
        InvalidRequest: it is another login than the disposer's.
    """
    with translate(), read_only(engine) as connection:
        may = connection.scalar(text("SELECT has_function_privilege(:function, 'EXECUTE')"), {"function": function})
    if not may:
        raise InvalidRequest(
            f"the login of HOLDFAST_DISPOSER_URL may not {what}",
            remedy="Name one that is a member of the role holdfast_disposer",
        )
