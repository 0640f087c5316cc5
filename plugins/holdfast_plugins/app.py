"""The HTTP application: REST API v1, the same inside Airflow's api-server and alone."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from sqlalchemy import text
from starlette.routing import Mount, Router

from holdfast import __version__
from holdfast.service.refusals import translate
from holdfast.settings import Platform, Settings, check_store
from holdfast_plugins import errors
from holdfast_plugins.access import Authenticate, authenticate_service_token
from holdfast_plugins.api import (
    artifacts,
    audit,
    dags,
    datasets,
    holds,
    ledger,
    models,
    objects,
    pods,
    projects,
    promotions,
    retention,
    retention_plans,
    runs,
    store,
)
from holdfast_plugins.api.routing import router
from holdfast_plugins.denials import Denials
from holdfast_plugins.ledger import stand_by
from holdfast_plugins.middleware import Envelope

MOUNT = "/holdfast/api"
VERSION = "/v1"

_public = APIRouter(tags=["health"], responses={503: errors.PROBLEMS[503]})
_document = router("openapi")


@_public.get("/health", openapi_extra={"security": []})
def check_health(request: Request) -> dict[str, str]:
    """Say whether the service and its database answer; needs no caller."""
    platform: Platform = request.app.state.platform
    with translate(), platform.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return {"status": "ok"}


@_document.get("/openapi.json", include_in_schema=False)
def show_openapi(request: Request) -> dict[str, Any]:
    """Show the OpenAPI document."""
    return request.app.openapi()  # type: ignore[no-any-return]


def describe() -> FastAPI:
    """Return the application without a platform: its routes and its OpenAPI document."""
    app = FastAPI(
        title="Holdfast", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    for subject in (
        projects,
        datasets,
        runs,
        pods,
        dags,
        artifacts,
        models,
        promotions,
        retention,
        retention_plans,
        audit,
        ledger,
        store,
        holds,
        objects,
    ):
        app.include_router(subject.routes, prefix=VERSION)
    app.include_router(_public, prefix=VERSION)
    app.include_router(_document, prefix=VERSION)
    errors.install(app)
    app.openapi = partial(_document_of, app, app.openapi)  # type: ignore[method-assign]
    return app


def _document_of(app: FastAPI, generate: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the OpenAPI document with the form that every error has; FastAPI's own is not used."""
    if app.openapi_schema is None:
        document = generate()
        document["servers"] = [{"url": MOUNT}]
        document["components"]["schemas"]["Problem"] = errors.PROBLEM_SCHEMA
        document["components"]["securitySchemes"] = {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "A service token, or an access token of Airflow",
            }
        }
        document["security"] = [{"bearer": []}]
    return generate()


def create_app(platform: Platform, authenticate: Authenticate) -> FastAPI:
    """Return the application over an open platform; nothing is connected yet."""
    app = describe()
    app.state.platform = platform
    app.state.authenticate = authenticate
    app.add_middleware(Denials, engine=platform.engine)
    app.add_middleware(Envelope, body_limit_bytes=platform.settings.body_limit_bytes, exempt=VERSION + objects.PREFIX)
    return app


def start() -> Platform:
    """Return the platform by the settings of this process, its object store looked at and the ledger stood by for.

    Raises what is wrong with any of them.
    """
    platform = Platform.open(Settings.load())
    check_store(platform.objects)
    stand_by(platform.settings)
    return platform


def standalone() -> Router:
    """Return the application alone, for service tokens only, by the settings of this process."""
    # A bare router: a Starlette around it would handle errors that the application has handled.
    return Router(routes=[Mount(MOUNT, create_app(start(), authenticate_service_token))])
