"""docker/Caddyfile in a real Caddy, with stand-ins for Windmill and the gateway behind it."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack_files import CADDYFILE, ROUTES

import gateway.app
from local.engine.bodies import holds_values
from local.processes import free_port

#: Shorter than in production, so that the tests need not wait as long: what counts is that each setting works.
SHORT = {"read_header": "1s", "read_body": "2s"}


class Upstream(ThreadingHTTPServer):
    """Answers what it was asked, as JSON, and keeps it."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Echo)
        self.daemon_threads = True
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if "x-impatient" in self.headers:
            self._refuse(408)
            return
        try:
            body = self.rfile.read(length)
        except ConnectionError:
            return
        if len(body) < length:
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = {"method": self.command, "path": self.path, "headers": headers, "bytes": len(body)}
        assert isinstance(self.server, Upstream)
        self.server.seen.append(seen)
        answer = json.dumps(seen).encode()
        status = 418 if "teapot" in self.path else 200
        kind = "application/json"
        if refused := re.fullmatch(r".*/(text|json)-(\d+)", self.path):
            kind, status = ("text/plain; charset=utf-8" if refused[1] == "text" else kind), int(refused[2])
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.send_header("set-cookie", "token=abc")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def _refuse(self, status: int) -> None:
        """Answer before the body is there, and close."""
        self.send_response(status)
        self.send_header("content-length", "0")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Not of interest."""


@dataclass
class Proxy:
    """A running Caddy; `web` is what it serves on 443, `api` what it serves on 4000."""

    windmill: Upstream
    gateway: Upstream
    #: Caddy's own, which it makes at its first start.
    authority: Path
    ports: dict[str, int] = field(default_factory=lambda: {n: free_port() for n in ("HTTP", "HTTPS", "API", "HEALTH")})

    @cached_property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)

    @cached_property
    def web(self) -> httpx.Client:
        return httpx.Client(base_url=f"https://localhost:{self.ports['HTTPS']}", verify=self.tls, timeout=15)

    @cached_property
    def api(self) -> httpx.Client:
        return httpx.Client(base_url=f"https://localhost:{self.ports['API']}", verify=self.tls, timeout=15)

    def raw(self, port: str) -> ssl.SSLSocket:
        connection = socket.create_connection(("127.0.0.1", self.ports[port]), timeout=10)
        return self.tls.wrap_socket(connection, server_hostname="localhost")

    def status(self, port: str, target: str, method: str = "GET") -> int:
        """The status of a request whose target is sent as it stands."""
        with self.raw(port) as connection:
            connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return int(connection.recv(4096).split()[1])


@pytest.fixture(scope="session")
def caddy() -> str:
    found = os.environ.get("CADDY") or shutil.which("caddy")
    if not found:
        if os.environ.get("CI"):
            pytest.fail("caddy is not installed: .ci/run does it")
        pytest.skip("caddy is not installed (on Debian: apt-get install caddy)")
    return found


@pytest.fixture(scope="module")
def proxy(caddy: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("caddy")
    text = CADDYFILE.read_text()
    for setting, value in SHORT.items():
        text, count = re.subn(rf"{setting} \d+s", f"{setting} {value}", text)
        assert count == 3, setting
    (folder / "Caddyfile").write_text(text)
    shutil.copy(ROUTES, folder)
    authority = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    served = Proxy(Upstream(), Upstream(), authority)
    environment = {f"{name}_PORT": str(port) for name, port in served.ports.items()} | {
        "DOMAIN": "localhost",
        "WINDMILL_UPSTREAM": served.windmill.address,
        "GATEWAY_UPSTREAM": served.gateway.address,
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
    }
    with (folder / "log").open("wb") as log:
        command = [caddy, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        _wait(served, process, folder / "log")
        yield served
    finally:
        process.terminate()
        process.wait(10)
        for upstream in (served.windmill, served.gateway):
            upstream.shutdown()
            upstream.server_close()


def _wait(proxy: Proxy, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if proxy.api.get("/health").status_code == proxy.web.get("/health").status_code == 200:
                return
        except (httpx.TransportError, OSError):
            time.sleep(0.1)
    pytest.fail(f"caddy does not serve:\n{log.read_text()[-3000:]}")


def test_caddy_accepts_the_file_as_it_is(caddy: str, tmp_path: Path) -> None:
    command = [caddy, "validate", "--config", str(CADDYFILE), "--adapter", "caddyfile"]
    environment = {"DOMAIN": "bots.example.org", "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("path", "arrives"),
    [
        ("/api/chatbots/1b1c/documents", "/api/r/chatbots/1b1c/documents"),
        ("/api/chatbots/1b1c/ask?q=a%20b&page=2", "/api/r/chatbots/1b1c/ask?q=a%20b&page=2"),
        ("/api/chatbots/names/caf%C3%A9%2Fbar", "/api/r/chatbots/names/caf%C3%A9%2Fbar"),
        ("/api/admin/organizations", "/api/r/admin/organizations"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_the_tenants_api_is_windmills_routes(proxy: Proxy, method: str, path: str, arrives: str) -> None:
    answer = proxy.api.request(method, path, headers={"authorization": "Bearer mr_key"})
    assert answer.status_code == 200
    assert (answer.json()["method"], answer.json()["path"]) == (method, arrives)
    assert answer.json()["headers"]["authorization"] == "Bearer mr_key"


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/api",
        "/api/",
        "/api/version",
        "/api/w/chatbots/users/whoami",
        "/api/w/chatbots/jobs/run/f/f/whatsapp/webhook_processor",
        "/api/auth/login",
        "/api/users/whoami",
        "/api/r/chatbots/x",
        "/api/oauth/login/github",
        "/user/login",
        "/api/chatbots",
        "/api/chatbotsx/y",
        "/API/W/chatbots/users/whoami",
        "//api/w/chatbots/users/whoami",
        "/api//w/chatbots/users/whoami",
        "/api/chatbots/../w/chatbots/users/whoami",
        "/api/chatbots/..%2fw/chatbots/users/whoami",
        "/api/chatbots/%2e%2e/w/chatbots/users/whoami",
        "/api/chatbots/%2e%2e%2f%2e%2e%2fw%2fchatbots/users/whoami",
        "/api/chatbots/..\\w\\chatbots",
        "/api/chatbots/x/../../../auth/login",
        "/api/chatbots/../../chatbots/../w/x",
        "/api/chatbots/a/../b",
        "/api/admin/.",
        "/health/../api/w/x",
    ],
)
def test_nothing_else_of_windmill_is_reachable(proxy: Proxy, target: str) -> None:
    before = len(proxy.windmill.seen)
    assert proxy.status("API", target) == proxy.status("API", target, "POST") == 404
    assert len(proxy.windmill.seen) == before


def test_a_doubly_encoded_way_out_stays_encoded(proxy: Proxy) -> None:
    assert proxy.status("API", "/api/chatbots/%252e%252e/w/x") == 200
    assert proxy.windmill.seen[-1]["path"] == "/api/r/chatbots/%252e%252e/w/x"


@pytest.mark.parametrize(
    ("path", "content_type", "arrives"),
    [
        ("/api/admin/organizations", "application/json", "text/plain"),
        ("/api/admin/organizations", "multipart/form-data; boundary=x", "text/plain"),
        ("/api/admin/organizations", None, "text/plain"),
        ("/api/chatbots/x/knowledge/text", "application/json", "text/plain"),
        ("/api/chatbots/x/knowledge/text", "APPLICATION/JSON; charset=utf-8", "text/plain"),
        ("/api/chatbots/x/knowledge/text", "application/cloudevents+json", "text/plain"),
        ("/api/chatbots/x/knowledge/text", "application/x-www-form-urlencoded", "text/plain"),
        ("/api/chatbots/x/knowledge/text", "", "text/plain"),
        ("/api/chatbots/x/knowledge/text", None, "text/plain"),
        ("/api/chatbots/x/knowledge/upload", "application/pdf", "application/pdf"),
        ("/api/chatbots/x/knowledge/upload", "multipart/form-data; boundary=x", "multipart/form-data; boundary=x"),
    ],
)
def test_windmill_reads_no_values_in_what_is_sent(
    proxy: Proxy, path: str, content_type: str | None, arrives: str
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = proxy.api.post(path, content=b'{"name": "$var:f/lib/database_password"}', headers=headers).json()
    assert (answer["headers"]["content-type"], answer["bytes"]) == (arrives, 40)
    assert holds_values(content_type or "") == (arrives == "text/plain") or "/admin/" in path


def test_no_reference_comes_in_by_headers(proxy: Proxy) -> None:
    sent = {"authorization": "$var:f/lib/x", "x-any": "a $res:f/lib/x", "content-type": "$var:f/lib/x"}
    answer = proxy.api.post("/api/chatbots/x/knowledge/upload", content=b"x", headers=sent).json()
    assert "$" not in json.dumps(answer["headers"])
    assert answer["headers"]["authorization"] == "_var:f/lib/x"


@pytest.mark.parametrize("path", ["/api/chatbots/$var:f%2Flib%2Fx/sources", "/api/admin/usage?month=%24var:f/lib/x"])
def test_no_reference_comes_in_by_the_address(proxy: Proxy, path: str) -> None:
    before = len(proxy.windmill.seen)
    assert proxy.status("API", path) == 400
    assert len(proxy.windmill.seen) == before


def test_a_second_type_of_content_does_not_count(proxy: Proxy) -> None:
    types = [("content-type", "application/pdf"), ("content-type", "application/json")]
    answer = proxy.api.post("/api/chatbots/x/knowledge/text", content=b"{}", headers=types).json()
    assert answer["headers"]["content-type"] == "text/plain"


def test_health_says_that_windmill_answers_and_no_more(proxy: Proxy) -> None:
    answer = proxy.api.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    seen = proxy.windmill.seen[-1]
    assert (seen["method"], seen["path"]) == ("GET", "/api/version")
    assert "server" not in answer.headers and "set-cookie" not in answer.headers


def test_windmills_answer_comes_back_without_its_cookies(proxy: Proxy) -> None:
    answer = proxy.api.post("/api/chatbots/teapot", content=b"{}", headers={"cookie": "token=a-session"})
    assert answer.status_code == 418
    assert "cookie" not in answer.json()["headers"] and "set-cookie" not in answer.headers
    assert "max-age" in answer.headers["strict-transport-security"]


@pytest.mark.parametrize(("status", "code"), [(404, "not_found"), (400, "bad_request")])
def test_what_windmill_itself_refuses_looks_as_all_errors_do(proxy: Proxy, status: int, code: str) -> None:
    answer = proxy.api.post(f"/api/chatbots/text-{status}", content=b"{}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json()["error"].keys() == {"code", "message"} and answer.json()["error"]["code"] == code
    ours = proxy.api.post(f"/api/chatbots/json-{status}", content=b"{}")
    assert (ours.status_code, ours.json()["bytes"]) == (status, 2), "what a script answers stays as it is"


def test_the_webhook_goes_to_the_gateway_and_nothing_else_does(proxy: Proxy) -> None:
    headers = {"x-hub-signature-256": "sha256=abc", "x-forwarded-for": "203.0.113.9"}
    answer = proxy.web.post("/webhook", content=b"\x00\xffraw", headers=headers)
    assert answer.json()["path"] == "/webhook" and answer.json()["bytes"] == 5
    assert answer.json()["headers"]["x-hub-signature-256"] == "sha256=abc"
    # What a client says of itself is not passed on.
    assert answer.json()["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert proxy.web.get("/webhook", params={"hub.challenge": "1"}).json()["path"] == "/webhook?hub.challenge=1"
    assert proxy.web.get("/ready").status_code == 200
    for path in ("/metrics", "/", "/webhook/x", "/api/chatbots/x", "/api/w/chatbots/users/whoami"):
        assert proxy.web.get(path).status_code == 404, path


@pytest.mark.parametrize(("port", "path", "size"), [("HTTPS", "/webhook", 5), ("API", "/api/chatbots/x", 25)])
def test_a_body_beyond_the_limit_is_refused(proxy: Proxy, port: str, path: str, size: int) -> None:
    client = proxy.web if port == "HTTPS" else proxy.api
    assert client.post(path, content=b"x" * (size * 1_000_000)).status_code == 200
    # 413 in newer ones; Caddy 2.6 blames the upstream.
    assert client.post(path, content=b"x" * (size * 1_000_000 + 1)).status_code in (413, 502)
    upstream = proxy.gateway if port == "HTTPS" else proxy.windmill
    assert max(seen["bytes"] for seen in upstream.seen) == size * 1_000_000


@pytest.mark.parametrize("port", ["HTTPS", "API"])
def test_a_head_that_does_not_come_ends_the_connection(proxy: Proxy, port: str) -> None:
    with proxy.raw(port) as connection:
        connection.sendall(b"POST /webhook HTTP/1.1\r\nHost: local")
        begin = time.monotonic()
        answer = connection.recv(4096)
        assert time.monotonic() - begin < 4
        assert not answer or answer.split()[1] in (b"400", b"408")


@pytest.mark.parametrize(("port", "path"), [("HTTPS", "/webhook"), ("API", "/api/chatbots/x")])
def test_a_body_that_does_not_come_ends_the_request(proxy: Proxy, port: str, path: str) -> None:
    upstream = proxy.gateway if port == "HTTPS" else proxy.windmill
    before = len(upstream.seen)
    with proxy.raw(port) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n12345"
        connection.sendall(head.encode())
        begin = time.monotonic()
        answer = connection.recv(4096)
        assert time.monotonic() - begin < 6
        # It is an error or empty, and the last of this connection.
        assert not answer or b"Connection: close" in answer
        assert not answer or answer.split()[1] == b"504" or b"Content-Length: 0" in answer
    assert len(upstream.seen) == before


def test_a_slow_client_gets_the_gateways_answer(proxy: Proxy) -> None:
    with proxy.raw("HTTPS") as connection:
        head = "POST /webhook HTTP/1.1\r\nHost: localhost\r\nX-Impatient: 1\r\nContent-Length: 1000\r\n\r\n12345"
        connection.sendall(head.encode())
        assert connection.recv(4096).split()[1] == b"408"


def test_the_gateway_is_less_patient_than_the_proxy() -> None:
    patience = [int(seconds) for seconds in re.findall(r"read_body (\d+)s", CADDYFILE.read_text())]
    assert patience[0] >= 2 * gateway.app.BODY_SECONDS


def test_a_head_beyond_the_limit_is_refused(proxy: Proxy) -> None:
    # Caddy allows some kilobytes more than it is told.
    assert proxy.api.get("/api/chatbots/x", headers={"x-long": "x" * 64_000}).status_code == 431


def test_plain_http_leads_to_https(proxy: Proxy) -> None:
    answer = httpx.get(f"http://localhost:{proxy.ports['HTTP']}/webhook", timeout=10)
    assert answer.status_code == 308
    assert answer.headers["location"] == "https://localhost/webhook"


def test_the_container_can_see_that_it_serves(proxy: Proxy) -> None:
    assert httpx.get(f"http://127.0.0.1:{proxy.ports['HEALTH']}/health", timeout=10).status_code == 200


def test_an_upstream_that_is_away_is_told_in_json(proxy: Proxy) -> None:
    proxy.gateway.shutdown()
    proxy.gateway.server_close()
    answer = proxy.web.post("/webhook", content=b"{}")
    assert answer.status_code == 502
    assert answer.json() == {"error": {"code": "unavailable", "message": "Bad Gateway"}}
