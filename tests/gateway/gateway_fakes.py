"""A real HTTP server in Windmill's place, and a real gateway process to send deliveries to."""

import asyncio
import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
from aiohttp import web

ROOT = Path(__file__).parents[2]
SECRET = "test_app_secret"
OTHER_SECRET = "secret of the second app"
TOKEN = "windmill-token"
NUMBER = "700100200300400"

#: How the fake may answer a call instead of queueing the run.
OTHER_ID = "Bad request: Job with id 00000000-0000-0000-0000-000000000000 already exists"


@dataclass
class Fault:
    how: str | int
    left: int
    only: Callable[[dict[str, Any]], bool]


class FakeWindmill:
    """Queues runs as Windmill does: 201 for a new id, the exact 400 for one that it has seen.

    `fail` makes the next fitting calls go wrong; `delay` (seconds) slows every call down.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.clear()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(5)

    def clear(self) -> None:
        self.queued: dict[str, tuple[str, dict[str, Any]]] = {}
        self.calls: list[str] = []
        self.delay = 0.0
        self._faults: list[Fault] = []

    def fail(
        self, how: str | int, times: int = 1_000_000, only: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> None:
        """`how`: a status, "hang", "reset" (nothing queued), "reset after" (queued, not answered) or a 400's text."""
        self._faults.append(Fault(how, times, only))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages' deliveries, in the order in which they were queued."""
        return [delivery for path, delivery in self.queued.values() if path == "f/f/whatsapp/webhook_processor"]

    def stored(self, kind: str) -> list[dict[str, Any]]:
        """The items of all runs of store_events of this kind."""
        deliveries = [delivery for path, delivery in self.queued.values() if path == "p/f/whatsapp/store_events"]
        return [item for delivery in deliveries if delivery["kind"] == kind for item in delivery["items"]]

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(5)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        job_id = request.query["job_id"]
        arguments = await request.json()
        assert arguments.keys() - {"database"} == {"delivery"}
        delivery = json.loads(arguments["delivery"])
        self.calls.append(job_id)
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            return web.Response(status=401)
        if self.delay:
            await asyncio.sleep(self.delay)
        fault = self._fault(delivery)
        if fault == "hang":
            await self._stopping.wait()
        if fault == "reset":
            return self._reset(request)
        if isinstance(fault, int):
            return web.Response(status=fault, text="no")
        if fault and fault != "reset after":
            return web.Response(status=400, text=fault)
        if job_id in self.queued:
            return web.Response(status=400, text=f"Bad request: Job with id {job_id} already exists")
        self.queued[job_id] = (request.match_info["path"], delivery)
        return self._reset(request) if fault == "reset after" else web.Response(status=201, text=job_id)

    def _fault(self, delivery: dict[str, Any]) -> str | int | None:
        for fault in self._faults:
            if fault.left and fault.only(delivery):
                fault.left -= 1
                return fault.how
        return None

    @staticmethod
    def _reset(request: web.Request) -> web.Response:
        assert request.transport
        request.transport.abort()
        return web.Response()

    async def _version(self, request: web.Request) -> web.Response:
        fault = self._fault({})
        return web.Response(status=fault if isinstance(fault, int) else 200, text="fake v1")

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._stopping = asyncio.Event()
        app = web.Application(client_max_size=50 * 1024 * 1024)
        app.router.add_post("/api/w/local/jobs/run/{path:.+}", self._run)
        app.router.add_get("/api/version", self._version)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self._ready.set()
        await self._stopping.wait()
        await runner.cleanup()


class GatewayProcess:
    """`python -m gateway`, started and answering."""

    def __init__(self, windmill_url: str, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 — a pipe that nobody empties would block it
        self.process = start(self._log, GATEWAY_PORT=str(self.port), WINDMILL_URL=windmill_url, **environment)
        self.client = httpx.Client(base_url=self.url, timeout=10)
        wait_for(self._alive)

    def deliver(self, body: bytes | dict[str, Any], **headers: str) -> httpx.Response:
        """POST a body, signed as Meta signs it unless `headers` says otherwise."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post("/webhook", content=content, headers={**signed(content), **headers})

    def metric(self, sample: str) -> float:
        """The value of a line of /metrics, such as `gateway_deliveries_total{result="queued"}`."""
        lines = [line.rpartition(" ") for line in self.client.get("/metrics").text.splitlines()]
        return next((float(value) for name, _, value in lines if name == sample), 0.0)

    def stop(self) -> tuple[int, list[dict[str, Any]]]:
        """End it with SIGTERM; its exit status and its log."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=10)
        self._log.seek(0)
        return status, [json.loads(line) for line in self._log]

    def _alive(self) -> bool:
        assert self.process.poll() is None, "the gateway did not start"
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False


def start(log: IO[str] | int, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The gateway with a complete configuration, changed by `environment` (empty: not set); `log` is its stderr."""
    settings = {
        "PATH": os.environ["PATH"],
        "META_APP_SECRETS": f"app-1:{SECRET},app-2:{OTHER_SECRET}",
        "META_VERIFY_TOKEN": "verify-me",
        "WINDMILL_URL": "http://127.0.0.1:9",
        "WINDMILL_WORKSPACE": "local",
        "WINDMILL_TOKEN": TOKEN,
        "GATEWAY_UNVERIFIED_LIMIT": "10000/minute",
        "GATEWAY_SENDER_LIMIT": "off",
        "GATEWAY_NUMBER_LIMIT": "off",
    } | environment
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        env=settings,
        text=True,
        stdout=subprocess.PIPE,
        stderr=log,
    )


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def text_messages(
    *texts: str,
    sender: str | None = "4915200000017",
    prefix: str = "wamid.T",
    number: str = NUMBER,
    at: int = 1790000000,
) -> dict[str, Any]:
    """A delivery of text messages; without `sender` each is another person's."""
    messages = [
        {
            "id": f"{prefix}{index}",
            "from": sender or f"49152{index:08}",
            "timestamp": str(at),
            "type": "text",
            "text": {"body": text},
        }
        for index, text in enumerate(texts)
    ]
    value = {"metadata": {"display_phone_number": "4930901820000", "phone_number_id": number}, "messages": messages}
    change = {"field": "messages", "value": value}
    return {"object": "whatsapp_business_account", "entry": [{"id": "500900800700600", "changes": [change]}]}


def text_of(delivery: dict[str, Any]) -> str:
    return str(delivery["message"]["text"]["body"])


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on, from the range of these tests."""
    for port in range(15000 + os.getpid() % 500, 16000):
        if port in _taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _taken.add(port)
            return port
    raise RuntimeError("no port is free")


_taken: set[int] = set()
