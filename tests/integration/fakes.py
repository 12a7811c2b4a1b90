"""Real servers that answer what a test tells them to."""

import json
import socket
import struct
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: What a send may meet besides being accepted.
Reaction = Callable[["FakeWhatsApp", BaseHTTPRequestHandler, dict[str, Any]], bool]


class FakeWhatsApp:
    """WhatsApp's Cloud API. `sent` is what people would have seen; `reactions` are used up one a send."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.read: list[str] = []
        self.reactions: list[Reaction] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if body.get("status") == "read":
                    fake.read.append(body["message_id"])
                    answer(self, 200, {"success": True})
                elif not (fake.reactions and fake.reactions.pop(0)(fake, self, body)):
                    accept(fake, self, body)

            def log_message(self, format: str, *args: object) -> None:
                """Not of interest."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        self.resource = {"base_url": f"http://127.0.0.1:{self._server.server_port}", "version": "v24.0"}

    @property
    def texts(self) -> list[str]:
        return [message["text"]["body"] for message in self.sent]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def answer(handler: BaseHTTPRequestHandler, status: int, body: Any) -> bool:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("content-type", "text/html" if isinstance(body, str) else "application/json")
    handler.send_header("content-length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
    return True


def accept(fake: FakeWhatsApp, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> bool:
    fake.sent.append(body)
    return answer(handler, 200, {"messages": [{"id": f"wamid.out.{body['biz_opaque_callback_data']}"}]})


def error(code: int, status: int = 400) -> Reaction:
    """Meta's error body: nothing was sent."""
    body = {"error": {"message": "no", "type": "OAuthException", "code": code, "fbtrace_id": "x"}}
    return lambda fake, handler, _: answer(handler, status, body)


def html(status: int) -> Reaction:
    """A proxy's page: nobody knows."""
    return lambda fake, handler, _: answer(handler, status, "<html>oops</html>")


def lost_answer(fake: FakeWhatsApp, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> bool:
    """The message goes out, the connection is reset before the answer."""
    fake.sent.append(body)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
    return True


def blocked_until(event: threading.Event) -> Reaction:
    """The send hangs until `event`, then is accepted."""

    def react(fake: FakeWhatsApp, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> bool:
        event.wait(10)
        return accept(fake, handler, body)

    return react


class FakeWindmill:
    """Windmill's API as far as steps call it: starts runs by id, lists those that failed, tells their arguments."""

    def __init__(self) -> None:
        self.started: dict[str, tuple[str, dict[str, Any]]] = {}
        self.resources: dict[str, Any] = {}
        self.succeeded: set[str] = set()
        self.looked_at: list[str] = []
        self.listed: list[str] = []
        self._failed: list[dict[str, Any]] = []
        #: Runs that are under way, by id.
        self.runs: dict[str, dict[str, Any]] = {}
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                address = urlsplit(self.path)
                (job_id,) = parse_qs(address.query)["job_id"]
                arguments = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if job_id in fake.started:
                    answer(self, 400, f"Bad request: Job with id {job_id} already exists")
                else:
                    fake.started[job_id] = (address.path.removeprefix("/api/w/local/jobs/run/"), arguments)
                    answer(self, 201, job_id)

            def do_GET(self) -> None:
                address = urlsplit(self.path)
                if address.path == "/api/w/local/jobs/completed/list":
                    asked = {name: values[0] for name, values in parse_qs(address.query).items()}
                    fake.listed.append(asked["script_path_exact"])
                    found = [run for run in fake._failed if run["script_path"] == asked["script_path_exact"]]
                    begin = (int(asked["page"]) - 1) * int(asked["per_page"])
                    answer(self, 200, found[begin : begin + int(asked["per_page"])])
                elif "/resources/get_value_interpolated/" in address.path:
                    answer(self, 200, fake.resources[address.path.split("/get_value_interpolated/")[1]])
                elif "/completed/get_result_maybe/" in address.path:
                    answer(self, 200, {"success": address.path.rpartition("/")[2] in fake.succeeded or None})
                else:
                    job_id = address.path.removeprefix("/api/w/local/jobs_u/get/")
                    fake.looked_at.append(job_id)
                    known = fake.runs | {run["id"]: run for run in fake._failed}
                    answer(self, 200 if job_id in known else 404, known.get(job_id, {}))

            def log_message(self, format: str, *args: object) -> None:
                """Not of interest."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        self.variables = {
            "BASE_INTERNAL_URL": f"http://127.0.0.1:{self._server.server_port}",
            "WM_WORKSPACE": "local",
            "WM_TOKEN": "token",
        }

    def has_failed(self, path: str, job_id: object, arguments: dict[str, Any], *, minutes_ago: float = 0) -> None:
        """A run of `path` that ended without success."""
        at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        run = {"id": str(job_id), "script_path": path, "created_at": at.isoformat(), "args": arguments}
        self._failed.append(run)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
