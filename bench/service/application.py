"""The HTTP application: its routes, its description at ``/docs``, and how refusals are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

import bench
from bench.service.accepting import Service
from bench.service.api import about, documents
from bench.service.chat import CHAT_SCHEMAS, chat
from bench.service.entrance import Entrance
from bench.service.problems import problem_message
from bench.service.refusals import Refusal

_INTRODUCTION = """Asks one vision-language model about page images and PDFs.

Where the service needs a key, send it as `Authorization: Bearer KEY` or as `X-Api-Key: KEY`."""


def make_application(service: Service) -> FastAPI:
    """The application of ``service``. Its pages load nothing from other machines."""
    app: FastAPI = FastAPIOffline(
        "/docs",
        None,
        title="docvlm-bench",
        version=bench.__version__,
        description=_INTRODUCTION,
        static_url="/docs-files",
        # Swagger would ask a server on the Internet whether the description is valid.
        swagger_ui_parameters={"validatorUrl": "none", "tryItOutEnabled": True},
    )
    app.state.service = service
    for router in (documents, chat, about):
        app.include_router(router)
    for route in [*documents.routes, *chat.routes, *about.routes]:
        if isinstance(route, APIRoute) and route.methods == {"GET"}:
            # What watches a service often asks for the head alone; the server then sends no body.
            app.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(HTTPException, _not_routed)
    app.openapi = cache(partial(_description, app.openapi))  # type: ignore[method-assign]
    app.add_middleware(Shortcut, routes=[*documents.routes, *chat.routes])
    app.add_middleware(Entrance, settings=service.settings, metrics=service.metrics)
    return app


class Shortcut:
    """Middleware that gives a question to its endpoint at once.

    The layers of FastAPI in between took longer than the endpoint itself, and do nothing for an endpoint that
    reads the request on its own. They still describe it.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        """Shorten the way to those of ``routes`` that take POST."""
        self._app = app
        questions = [route for route in routes if isinstance(route, APIRoute)]
        self._routes = {route.path: route for route in questions if route.methods == {"POST"}}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the endpoint of a question, and the application for everything else."""
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        route = self._routes.get(scope["path"]) if is_post else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        response: Response = await route.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def _description(generate: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What FastAPI makes of the routes, with the schemas of the requests that it does not read itself."""
    described = generate()
    described["components"]["schemas"].update(CHAT_SCHEMAS)
    described["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    # With a key or without one, as the service was started.
    described["security"] = [{}, {"key": []}]
    return described


async def _invalid_parameter(_: Request, error: Exception) -> JSONResponse:
    """The reply to a parameter of the address that is not valid; the parameter is named, not repeated."""
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    name = str(problem["loc"][-1])
    refusal = Refusal(422, "invalid_request", f"{name}: {problem_message(problem)}", field=name)
    return JSONResponse(refusal.body(), refusal.status)


async def _not_routed(_: Request, error: Exception) -> JSONResponse:
    """The reply to an address or a method that does not exist."""
    assert isinstance(error, HTTPException)
    said = {
        404: ("not_found", "there is no such address"),
        405: ("method_not_allowed", "the address does not take this method"),
    }
    code, message = said.get(error.status_code, ("invalid_request", "the request is not valid"))
    refusal = Refusal(error.status_code, code, message)
    return JSONResponse(refusal.body(), refusal.status, error.headers)
