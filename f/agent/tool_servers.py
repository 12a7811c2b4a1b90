# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "referencing==0.37.0",
#   "rpds-py==2026.9.1", "typing-extensions==4.16.0",
# ]
# ///
"""Calling tools over HTTP: our own servers by plain requests, anybody else's by MCP (streamable HTTP).

The official client is not used: importing it takes longer than a whole call (docs/tools.md).
Whatever a server does ends within CALL_SECONDS and MAX_ANSWER, in one of four ways: a text for the
model, ToolError (the tool's own refusal, for the model), ToolUnavailable or ToolUncertain.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Protocol, TypeVar
from uuid import UUID

import httpx

from f.agent.loop import ToolError
from f.lib.caller_tokens import Caller, sign
from f.lib.outside import AddressRefused, OutsideTransport
from f.lib.patience import OutOfTime, within
from f.lib.variables import VariableMissing, read_variable

T = TypeVar("T")

#: Seconds of one call in all, however slowly its answer drips.
CALL_SECONDS = 10.0

#: Bytes of an answer; more is not read.
MAX_ANSWER = 1024 * 1024

#: Pages of a list of tools.
MAX_PAGES = 10

#: The handshake that servers of every age speak.
PROTOCOL_VERSION = "2025-06-18"

#: JSON-RPC errors by which a server says that it did not begin: not a request, no such method, wrong parameters.
NOT_BEGUN = {-32700, -32600, -32601, -32602}


class ToolUnavailable(Exception):
    """The tool did nothing. The text is for operators."""


class ToolUncertain(Exception):
    """Nobody knows whether the tool did what was asked. The text is for operators."""


class Server(Protocol):
    """`repeatable`: asked again under the same execution id, it answers what it answered before."""

    repeatable: bool

    def list_tools(self, seconds: float = CALL_SECONDS) -> list[dict[str, Any]]: ...

    def call(self, name: str, arguments: dict[str, Any], execution_id: UUID) -> str: ...


def server_of(
    integration: Mapping[str, Any], resource: Mapping[str, Any] | None, caller: Caller
) -> "OwnServer | McpServer | None":
    """The server of an `org_integrations` row; None when it is one of ours that this installation does not run.

    `resource` has the addresses and the signing key of our own. Our token goes to these addresses only,
    somebody else's server gets the credential of its row, and is outside unless `resource` allows local addresses.
    """
    if integration["kind"] == "mcp":
        path = integration["credential_path"]
        may_be_local = (resource or {}).get("local_addresses") == "true"
        return McpServer(integration["url"], (lambda: read_variable(path)) if path else None, may_be_local=may_be_local)
    if not resource or not resource.get(integration["name"]):
        return None
    return OwnServer(resource[integration["name"]], lambda: sign(caller, resource["signing_key"]))


class _HttpServer:
    _transport: httpx.BaseTransport | None = None

    @cached_property
    def _client(self) -> httpx.Client:
        """One for each server, as it keeps connections and cookies. Bodies are taken as they come, never unpacked."""
        return httpx.Client(timeout=CALL_SECONDS, headers={"accept-encoding": "identity"}, transport=self._transport)


class OwnServer(_HttpServer):
    """A server of mcp_servers/."""

    repeatable = True

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self._url = url
        self._token = token

    def list_tools(self, seconds: float = CALL_SECONDS) -> list[dict[str, Any]]:
        status, body = _within(seconds, lambda: self._request("GET", "/tools"))
        if status != httpx.codes.OK:
            raise ToolUnavailable(_refusal(status, body))
        return _tools(body, "schema")

    def call(self, name: str, arguments: dict[str, Any], execution_id: UUID) -> str:
        headers = {"idempotency-key": str(execution_id)}
        status, body = _within(CALL_SECONDS, lambda: self._request("POST", f"/tools/{name}", arguments, headers))
        if status == httpx.codes.OK and "result" in body:
            return json.dumps(body["result"], ensure_ascii=False)
        if status == httpx.codes.UNPROCESSABLE_ENTITY:
            raise ToolError(str(body.get("error", {}).get("message")))
        raise ToolUnavailable(_refusal(status, body))

    def _request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        try:
            authorization = {"authorization": f"Bearer {self._token()}"}
        except ValueError as error:
            raise ToolUnavailable("the resource of the tool servers has no signing key") from error
        with _sent(self._client, method, self._url + path, {**authorization, **(headers or {})}, body) as response:
            return response.status_code, _object(b"".join(_limited(response)))


class McpServer(_HttpServer):
    """A server of somebody else, over MCP's streamable HTTP. One session for the turn."""

    repeatable = False

    def __init__(self, url: str, credential: Callable[[], str] | None = None, *, may_be_local: bool = False) -> None:
        self._transport = OutsideTransport(may_be_local=may_be_local)
        self._url = url
        self._credential = credential
        self._headers: dict[str, str] | None = None
        self._last_id = 0

    def list_tools(self, seconds: float = CALL_SECONDS) -> list[dict[str, Any]]:
        return _within(seconds, self._list)

    def call(self, name: str, arguments: dict[str, Any], execution_id: UUID) -> str:
        return _within(CALL_SECONDS, lambda: self._call(name, arguments))

    def _list(self) -> list[dict[str, Any]]:
        tools: list[dict[str, Any]] = []
        cursor: dict[str, Any] = {}
        self._connect()
        for _ in range(MAX_PAGES):
            try:
                page = self._ask("tools/list", cursor)
            except ToolError as error:
                raise ToolUnavailable(str(error)) from error
            tools += _tools(page, "inputSchema")
            if not page.get("nextCursor"):
                break
            cursor = {"cursor": page["nextCursor"]}
        return tools

    def _call(self, name: str, arguments: dict[str, Any]) -> str:
        self._connect()
        result = self._ask("tools/call", {"name": name, "arguments": arguments})
        blocks = result.get("content")
        texts = [_text(block) for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
        text = "\n".join(texts) or json.dumps(result.get("structuredContent"), ensure_ascii=False)
        if result.get("isError"):
            raise ToolError(text)
        return text

    def _connect(self) -> None:
        """The handshake. Raises ToolUnavailable: nothing has been asked for yet."""
        if self._headers is not None:
            return
        try:
            headers = {"authorization": f"Bearer {self._credential()}"} if self._credential else {}
        except (VariableMissing, KeyError) as error:
            raise ToolUnavailable(f"credential cannot be read: {error}") from error
        client = {"protocolVersion": PROTOCOL_VERSION, "capabilities": {}}
        client["clientInfo"] = {"name": "millrace", "version": "0.1.0"}
        self._headers = headers
        try:
            welcome = self._ask("initialize", client)
            self._headers["mcp-protocol-version"] = str(welcome.get("protocolVersion", PROTOCOL_VERSION))
            self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        except (ToolError, ToolUncertain) as error:
            self._headers = None
            raise ToolUnavailable(f"no handshake: {error}") from error
        except ToolUnavailable:
            self._headers = None
            raise

    def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of a JSON-RPC request."""
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        message = self._post(request)
        if "error" in message:
            error = message["error"] if isinstance(message["error"], dict) else {}
            if error.get("code") == -32602:
                raise ToolError(str(error.get("message"))[:1000])
            kind = ToolUnavailable if error.get("code") in NOT_BEGUN else ToolUncertain
            raise kind(f"{method}: JSON-RPC error {error.get('code')}")
        result = message.get("result")
        if not isinstance(result, dict):
            raise ToolUncertain(f"{method}: the answer has no result")
        return result

    def _post(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message; the answer to it, an empty one to a notification."""
        assert self._headers is not None
        headers = {**self._headers, "accept": "application/json, text/event-stream"}
        with _sent(self._client, "POST", self._url, headers, message) as response:
            if session := response.headers.get("mcp-session-id"):
                self._headers["mcp-session-id"] = session
            if response.is_server_error:
                raise ToolUncertain(f"HTTP {response.status_code}")
            if not response.is_success:
                raise ToolUnavailable(f"HTTP {response.status_code}")
            if "id" not in message:
                return {}
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                for event in events(_limited(response)):
                    answer = _object(event)
                    if answer.get("id") == message["id"] and "method" not in answer:
                        return answer
                raise ToolUncertain("the stream ended without an answer")
            return _object(b"".join(_limited(response)))


def events(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The data of each server-sent event."""
    rest, data = b"", []
    for chunk in chunks:
        *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield b"\n".join(data)
                data = []


def _within(seconds: float, work: Callable[[], T]) -> T:
    try:
        return within(seconds, work)
    except OutOfTime as error:
        raise ToolUncertain(str(error)) from None


@contextmanager
def _sent(
    client: httpx.Client, method: str, url: str, headers: Mapping[str, str], body: Any
) -> Iterator[httpx.Response]:
    """The answer, its body unread. A failure is told by whether the request can have arrived."""
    try:
        request = client.build_request(method, url, headers=headers, json=body)
        response = client.send(request, stream=True)
    except AddressRefused as error:
        raise ToolUnavailable(f"the address is not called: {error}") from error
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise ToolUnavailable(type(error).__name__) from error
    except httpx.HTTPError as error:
        raise ToolUncertain(type(error).__name__) from error
    try:
        yield response
    except httpx.HTTPError as error:
        raise ToolUncertain(type(error).__name__) from error
    finally:
        response.close()


def _limited(response: httpx.Response) -> Iterator[bytes]:
    """The body as it comes (never unpacked). Raises ToolUncertain when it is too long."""
    size = 0
    for chunk in response.iter_raw():
        size += len(chunk)
        if size > MAX_ANSWER:
            raise ToolUncertain(f"its answer is larger than {MAX_ANSWER} bytes")
        yield chunk


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ToolUncertain("its answer is not JSON") from error
    if not isinstance(value, dict):
        raise ToolUncertain("its answer is not a JSON object")
    return value


def _tools(page: dict[str, Any], schema_key: str) -> list[dict[str, Any]]:
    listed = page.get("tools")
    if not isinstance(listed, list):
        raise ToolUnavailable("its list of tools is none")
    return [
        {"name": tool.get("name"), "description": tool.get("description") or "", "schema": tool.get(schema_key)}
        for tool in listed
        if isinstance(tool, dict)
    ]


def _text(block: dict[str, Any]) -> str:
    """A content block as the model can read it."""
    return str(block.get("text", "")) if block.get("type") == "text" else f"[{block.get('type')}]"


def _refusal(status: int, body: dict[str, Any]) -> str:
    error = body.get("error")
    return f"HTTP {status} {error.get('code') if isinstance(error, dict) else ''}".strip()
