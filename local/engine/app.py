"""The engine's HTTP side: Windmill's API on one port, the tenants' API on another."""

import re
from collections.abc import Callable, Iterator
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.engine import job_api, object_api, value_api
from local.engine.access import Access
from local.engine.bodies import holds_values
from local.engine.engine import Engine
from local.engine.http import EXPLAINED, endpoint, explain, plain_answer, signed_endpoint, text_answer
from local.engine.routes import Routes

VERSION = "CE v1.788.0 (local engine)"
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]


def build_app(engine: Engine, access: Access) -> Starlette:
    """Windmill's API, as far as scripts, the gateway, bootstrap and tests use it."""
    workspace_routes = Routes(engine, access)

    async def version(_: Request) -> Response:
        return plain_answer(VERSION)

    def routes() -> Iterator[Route]:
        yield Route("/api/version", version, methods=["GET"])
        yield Route("/api/users/whoami", endpoint(engine, access, value_api.whoami), methods=["GET"])
        yield Route("/api/users/tokens/create", endpoint(engine, access, value_api.create_user_token), methods=["POST"])
        for method, path, answer in (*job_api.endpoints(), *object_api.endpoints(), *value_api.endpoints()):
            yield Route(f"/api/w/{{workspace}}{path}", endpoint(engine, access, answer), methods=[method])
        for method, path, answer in job_api.signed_endpoints():
            yield Route(f"/api/w/{{workspace}}{path}", signed_endpoint(engine, access, answer), methods=[method])
        yield Route("/api/r/{path:path}", workspace_routes.serve, methods=METHODS)

    return Starlette(routes=list(routes()), exception_handlers=_handlers())


def build_public_app(engine: Engine, access: Access) -> Starlette:
    """What the world may reach: `/health`, and `/api/chatbots/…` and `/api/admin/…` of the workspace's `/api/r/…`.

    As docker/Caddyfile does it: what callers send is not read as values, in which references would be followed.
    """
    workspace_routes = Routes(engine, access)

    async def health(_: Request) -> Response:
        alive = await run_in_threadpool(engine.is_alive)
        return JSONResponse({"status": "ok" if alive else "database unavailable"}, 200 if alive else 503)

    async def serve(request: Request) -> Response:
        _refuse_references(request)
        as_text = holds_values(request.headers.get("content-type", ""))
        return await workspace_routes.answer(request, f"chatbots/{request.path_params['path']}", as_text=as_text)

    async def serve_admin(request: Request) -> Response:
        _refuse_references(request)
        return await workspace_routes.answer(request, f"admin/{request.path_params['path']}", as_text=True)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/api/chatbots/{path:path}", serve, methods=METHODS),
            Route("/api/admin/{path:path}", serve_admin, methods=METHODS),
        ],
        exception_handlers=dict.fromkeys((*EXPLAINED, HTTPException), _explain_publicly),
    )


def _refuse_references(request: Request) -> None:
    """Keep what Windmill would follow out of address and headers. Raises HTTPException."""
    if re.search(r"\$|%24", f"{request.scope['raw_path'].decode('latin-1')}?{request.url.query}"):
        raise HTTPException(400, "a $ cannot be in an address")
    request.scope["headers"] = [(name, value.replace(b"$", b"_")) for name, value in request.scope["headers"]]


def _handlers() -> dict[type[Exception], Callable[[Request, Exception], Response]]:
    async_safe = dict.fromkeys(EXPLAINED, explain)
    return {**async_safe, HTTPException: _explain_http}


def _explain_publicly(request: Request, error: Exception) -> Response:
    """Errors in the shape of the routes' own."""
    told = _explain_http(request, error) if isinstance(error, HTTPException) else explain(request, error)
    code = HTTPStatus(told.status_code).phrase.lower().replace(" ", "_")
    message = "there is nothing here" if told.status_code == HTTPStatus.NOT_FOUND else bytes(told.body).decode()
    return JSONResponse({"error": {"code": code, "message": message}}, told.status_code)


def _explain_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return text_answer(f"Not found: {request.url.path}" if status == 404 else str(error), status)
