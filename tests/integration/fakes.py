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
    """Windmill's API as far as scripts call it: starts runs by id, lists those that failed, tells their arguments,
    erases those that have ended."""

    def __init__(self) -> None:
        self.started: dict[str, tuple[str, dict[str, Any]]] = {}
        self.resources: dict[str, Any] = {}
        self.succeeded: set[str] = set()
        self.looked_at: list[str] = []
        self.listed: list[str] = []
        self._failed: list[dict[str, Any]] = []
        #: Runs that are under way, by id.
        self.runs: dict[str, dict[str, Any]] = {}
        #: Runs that ended well and are kept, by id; statuses that calls are answered with, by what these begin with.
        self.kept: dict[str, dict[str, Any]] = {}
        self.refusals: dict[str, int] = {}
        self.erased: list[str] = []
        #: What is to run later: path, arguments, seconds.
        self.planned: list[tuple[str, dict[str, Any], int]] = []
        self.schedules: list[dict[str, Any]] = []
        self.queue: list[dict[str, Any]] = []
        self.values: dict[str, str] = {}
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                address = urlsplit(self.path)
                call, query = address.path.removeprefix("/api/w/local/"), parse_qs(address.query)
                arguments = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"null")
                if status := fake.refusal(call):
                    answer(self, status, "no")
                    return
                if call.startswith("jobs/completed/delete/"):
                    job_id = call.rpartition("/")[2]
                    if fake.kept.get(job_id, {}).get("is_done", False):
                        fake.erased.append(job_id)
                        fake.kept[job_id]["args"] = {}
                        answer(self, 200, {})
                    else:
                        answer(self, 404, "Not found: completed Job")
                    return
                if "scheduled_in_secs" in query:
                    path = call.removeprefix("jobs/run/p/")
                    fake.planned.append((path, arguments, int(query["scheduled_in_secs"][0])))
                    answer(self, 201, "id")
                    return
                (job_id,) = query["job_id"]
                if job_id in fake.started:
                    answer(self, 400, f"Bad request: Job with id {job_id} already exists")
                else:
                    fake.started[job_id] = (address.path.removeprefix("/api/w/local/jobs/run/"), arguments)
                    answer(self, 201, job_id)

            def do_GET(self) -> None:
                address = urlsplit(self.path)
                asked = {name: values[0] for name, values in parse_qs(address.query).items()}
                call = address.path.removeprefix("/api/w/local/")
                if status := fake.refusal(call):
                    answer(self, status, "no")
                elif call == "schedules/list":
                    answer(self, 200, fake.schedules)
                elif call == "jobs/queue/list":
                    answer(self, 200, fake.queue)
                elif call.startswith("variables/get_value/"):
                    path = call.removeprefix("variables/get_value/")
                    answer(self, 200 if path in fake.values else 404, json.dumps(fake.values.get(path)))
                elif call == "jobs/completed/list" and ("parent_job" in asked or asked.get("success") == "true"):
                    answer(self, 200, fake.listing(asked))
                elif address.path == "/api/w/local/jobs/completed/list":
                    fake.listed.append(asked["script_path_exact"])
                    found = [run for run in fake._failed if run["script_path"] == asked["script_path_exact"]]
                    begin = (int(asked["page"]) - 1) * int(asked["per_page"])
                    answer(self, 200, found[begin : begin + int(asked["per_page"])])
                elif "/resources/get_value_interpolated/" in address.path:
                    path = address.path.split("/get_value_interpolated/")[1]
                    answer(self, 200 if path in fake.resources else 404, fake.resources.get(path))
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

    def keep(self, job_id: object, path: str = "", parent: object = None, *, is_done: bool = True, **run: Any) -> None:
        """A run that Windmill still has; what is done has ended well."""
        known = {"id": str(job_id), "script_path": path, "parent_job": parent and str(parent), "is_done": is_done}
        self.kept[str(job_id)] = {**known, "created_at": datetime.now(UTC).isoformat(), **run}

    def listing(self, asked: dict[str, str]) -> list[dict[str, Any]]:
        runs = [run for run in self.kept.values() if run["is_done"]]
        if "parent_job" in asked:
            return [run for run in runs if run["parent_job"] == asked["parent_job"]]
        return [run for run in runs if run["script_path"] == asked["script_path_exact"]]

    def refusal(self, call: str) -> int | None:
        return next((status for begin, status in self.refusals.items() if call.startswith(begin)), None)

    def has_failed(self, path: str, job_id: object, arguments: dict[str, Any], *, minutes_ago: float = 0) -> None:
        """A run of `path` that ended without success."""
        at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        run = {"id": str(job_id), "script_path": path, "created_at": at.isoformat(), "args": arguments}
        self._failed.append(run)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
