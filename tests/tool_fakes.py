"""Servers that a chatbot's turn meets: a model that says what it was told to, and tool servers that misbehave."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx


class _Fake:
    """An HTTP server of this test; a subclass answers in `react`."""

    def __init__(self) -> None:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"null")
                fake.react(self, body)

            def do_GET(self) -> None:
                fake.react(self, None)

            def log_message(self, format: str, *args: object) -> None:
                """Not of interest."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def react(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, content_type: str = "application/json") -> None:
    handler.send_response(status)
    handler.send_header("content-type", content_type)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class FakeModel(_Fake):
    """A provider that speaks OpenAI's protocol. Says what was enqueued; `requests` is what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[dict[str, Any]] = []
        self.before: Callable[[], Any] = lambda: None
        self._queue: list[dict[str, Any]] = []

    @property
    def resource(self) -> dict[str, str]:
        return {"api_key": "k", "base_url": f"{self.url}/v1"}

    def says(self, text: str) -> "FakeModel":
        self._queue.append({"role": "assistant", "content": text})
        return self

    def calls(self, *calls: tuple[str, Any]) -> "FakeModel":
        listed = [
            {
                "id": f"call_{len(self._queue)}_{number}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
                },
            }
            for number, (name, arguments) in enumerate(calls)
        ]
        self._queue.append({"role": "assistant", "content": None, "tool_calls": listed})
        return self

    @property
    def tools(self) -> list[str]:
        """Names of the tools that the first request offered."""
        return [tool["function"]["name"] for tool in self.requests[0].get("tools", [])]

    @property
    def results(self) -> list[str]:
        """What the last request said of the tools that were called."""
        return [message["content"] for message in self.requests[-1]["messages"] if message["role"] == "tool"]

    def react(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        self.requests.append(body)
        self.before()
        choice = {"index": 0, "finish_reason": "stop", "message": self._queue.pop(0)}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        completion = {"id": "c", "object": "chat.completion", "created": 1, "model": "fake-1", "usage": usage}
        answer(handler, 200, json.dumps(completion | {"choices": [choice]}).encode())


class FakeTools(_Fake):
    """Somebody else's MCP server. `effects` is what it has done; `then` answers after an effect."""

    SCHEMA = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.effects: list[Any] = []
        self.tokens: set[str | None] = set()
        self.listed: list[Any] = [{"name": "book", "description": "Book a day", "inputSchema": self.SCHEMA}]
        self.status = 200
        self.then: Callable[[BaseHTTPRequestHandler, dict[str, Any]], None] = self.says("booked")

    @staticmethod
    def says(text: str, **result: Any) -> Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]:
        return lambda handler, request: reply(handler, request, {"content": [{"type": "text", "text": text}], **result})

    def react(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        self.tokens.add(handler.headers["authorization"])
        if self.status != 200:
            answer(handler, self.status, b"{}")
        elif body["method"] == "tools/list":
            reply(handler, body, {"tools": self.listed})
        elif body["method"] == "tools/call":
            self.effects.append(body["params"])
            self.then(handler, body)
        elif "id" in body:
            reply(handler, body, {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x"}})
        else:
            answer(handler, 202, b"")


def reply(handler: BaseHTTPRequestHandler, request: dict[str, Any], result: Any) -> None:
    answer(handler, 200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode())


def hang(seconds: float) -> Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]:
    """Drips a byte now and then, so that no socket ever times out."""

    def react(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "1000000")
        handler.end_headers()
        for _ in range(int(seconds * 20)):
            handler.wfile.write(b" ")
            threading.Event().wait(0.05)

    return react


class Gate(_Fake):
    """In front of one of our servers: passes requests on, and may keep an answer back."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target
        self.reached = threading.Event()
        self.is_closed = False

    def react(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        kept = ("authorization", "idempotency-key")
        headers = {name: handler.headers[name] for name in kept if handler.headers[name]}
        got = httpx.request(handler.command, self._target + handler.path, json=body, headers=headers)
        if self.is_closed and handler.command == "POST":
            self.reached.set()
            threading.Event().wait(30)
        answer(handler, got.status_code, got.content)


class FakeVariables(_Fake):
    """Windmill's variables, for a job whose token is `job`."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}

    def react(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        value = self.values.get(handler.path.removeprefix("/api/w/w/variables/get_value/"))
        known = value is not None and handler.headers["authorization"] == "Bearer job"
        answer(handler, 200 if known else 404, json.dumps(value).encode())
