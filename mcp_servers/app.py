"""A tool server over HTTP: MCP at /mcp, and the same tools as plain requests at /tools."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from f.lib import caller_tokens
from f.lib.signatures import TokenRefused
from mcp_servers.config import Config
from mcp_servers.errors import (
    BodyTooLarge,
    ForeignHost,
    ForeignOrigin,
    ForModel,
    MalformedRequest,
    Refusal,
    Unauthorized,
    UnknownTool,
)
from mcp_servers.server import ToolServer

#: Bytes of a request's body.
MAX_BODY = 64 * 1024

#: Answers without a token.
OPEN_PATHS = frozenset({"/health"})


class Guard:
    """Lets a request in when host, origin and token are right, and says who calls in `request.state.caller`."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            try:
                self._check(request)
            except Refusal as refusal:
                await explain(request, refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, request: Request) -> None:
        """Raises ForeignHost, ForeignOrigin or Unauthorized."""
        # A page that a browser was led to may know our address, but not these (DNS rebinding).
        if _host_name(request.headers.get("host", "")) not in self._config.allowed_hosts:
            raise ForeignHost
        origin = request.headers.get("origin")
        if origin is not None and origin.lower() not in self._config.allowed_origins:
            raise ForeignOrigin
        if request.url.path in OPEN_PATHS:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized
        try:
            request.state.caller = caller_tokens.verify(token.strip(), self._config.signing_key)
        except TokenRefused as error:
            raise Unauthorized(f"The token is refused: {error}.") from error


class Endpoints:
    """The plain side: list, call, health."""

    def __init__(self, server: ToolServer) -> None:
        self._server = server

    async def list_tools(self, request: Request) -> Response:
        tools = [
            {"name": tool.name, "description": tool.description, "schema": tool.schema}
            for tool in self._server.tools.values()
        ]
        return JSONResponse({"tools": tools})

    async def call_tool(self, request: Request) -> Response:
        """The body is the arguments; `Idempotency-Key` (a UUID) makes an effect happen once."""
        key = request.headers.get("idempotency-key")
        try:
            arguments = json.loads(await _read_body(request))
            idempotency_key = UUID(key) if key else None
        except (ValueError, RecursionError, ClientDisconnect) as error:
            raise MalformedRequest from error
        if not isinstance(arguments, dict):
            raise MalformedRequest
        name = request.path_params["name"]
        return JSONResponse({"result": await self._server.call(request.state.caller, name, arguments, idempotency_key)})

    async def health(self, request: Request) -> Response:
        await self._server.check()
        return JSONResponse({"status": "ok", "server": self._server.name})


def build_app(server: ToolServer, config: Config) -> Starlette:
    """The ASGI application of `server`."""
    endpoints = Endpoints(server)
    sessions = StreamableHTTPSessionManager(
        _protocol(server),
        # Every request names its caller anew, so there is nothing that a session would have to remember.
        stateless=True,
        json_response=True,
        max_request_body_size=MAX_BODY,
        # Guard has checked host and origin, of the other paths as well.
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        server.open()
        try:
            async with sessions.run():
                yield
        finally:
            server.close()

    return Starlette(
        routes=[
            Route("/tools", endpoints.list_tools),
            Route("/tools/{name}", endpoints.call_tool, methods=["POST"]),
            Route("/health", endpoints.health),
            Route("/mcp", _Mcp(sessions)),
        ],
        middleware=[Middleware(Guard, config=config)],
        exception_handlers={Refusal: _explain, HTTPException: _explain_http},
        lifespan=lifespan,
    )


class _Mcp:
    """The SDK's side of /mcp as an ASGI application (an instance, so that Route passes every method on)."""

    def __init__(self, sessions: StreamableHTTPSessionManager) -> None:
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._sessions.asgi_app(scope, receive, send)


def _protocol(server: ToolServer) -> Server[Any]:
    """The same tools as MCP has them: what the model can act on is a result, the rest a protocol error."""

    async def list_tools(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=tool.name,
                    description=tool.description,
                    input_schema=tool.schema,
                    annotations=types.ToolAnnotations(
                        read_only_hint=not tool.has_effect, destructive_hint=False, open_world_hint=False
                    ),
                )
                for tool in server.tools.values()
            ]
        )

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        assert context.request is not None
        try:
            result = await server.call(context.request.state.caller, params.name, params.arguments or {})
        except ForModel as refusal:
            return types.CallToolResult(content=[types.TextContent(text=str(refusal))], is_error=True)
        except Refusal as refusal:
            code = types.INVALID_PARAMS if isinstance(refusal, UnknownTool) else types.INTERNAL_ERROR
            raise MCPError(code, str(refusal)) from refusal
        text = json.dumps(result, ensure_ascii=False)
        return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=result)

    return Server(
        server.name,
        version="0.1.0",
        instructions=server.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise BodyTooLarge
    return bytes(body)


def explain(request: Request, refusal: Refusal) -> Response:
    """The answer to a request that is not served."""
    headers = {"www-authenticate": "Bearer"} if isinstance(refusal, Unauthorized) else None
    return JSONResponse({"error": {"code": refusal.code, "message": str(refusal)}}, refusal.status, headers)


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return explain(request, error)


async def _explain_http(request: Request, error: Exception) -> Response:
    """The answer where Starlette itself refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    body = {"error": {"code": HTTPStatus(error.status_code).name.lower(), "message": error.detail}}
    return JSONResponse(body, error.status_code, error.headers)
