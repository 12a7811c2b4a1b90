"""A real simulator process, and a webhook receiver that answers what a test wants."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from gateway.signature import HEADER, AppSecret, claimed_digest, signing_app
from local.processes import free_port, spawn, stop

ROOT = Path(__file__).parents[2]
SECRET = AppSecret("demo-app", b"a secret of these tests")
VERSION = "v24.0"
NOWHERE = "postgresql://owner@127.0.0.1:9/none"
#: As in db/seed.sql, so that turns can be read from a seeded database.
BICIS = {
    "phone_number_id": "100000000000001",
    "display_phone_number": "+34 954 000 101",
    "name": "Bicis Ribera",
    "slug": "bicis-ribera",
    "chatbot_id": "1b1c1d1e-0000-4000-8000-000000000001",
    "waba_id": "200000000000001",
    "language": "es",
    "access_token": "token-of-bicis",
}
DENTAL = {
    "phone_number_id": "100000000000002",
    "display_phone_number": "+44 117 496 0102",
    "name": "Harbour Dental",
    "slug": "harbour-dental",
    "chatbot_id": "2b2c2d2e-0000-4000-8000-000000000002",
    "waba_id": "200000000000002",
    "language": "en",
    "access_token": "token-of-dental",
}


class Webhook:
    """Stands where the gateway is. `answers` are for the next deliveries of messages; all else is answered 200.

    `bodies` are the deliveries of messages that were answered 200; a shared simulator may still send others' statuses.
    """

    def __init__(self, server: HTTPServer) -> None:
        self.url = server.url_for("")
        self.bodies: list[bytes] = []
        self._statuses: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.unsigned = 0
        self.on_message: Callable[[dict[str, Any], dict[str, Any]], None] = lambda value, message: None
        server.expect_request("/webhook", method="POST").respond_with_handler(self._take)

    @property
    def values(self) -> list[dict[str, Any]]:
        """The `value` of each body."""
        return [value_of(body) for body in self.bodies]

    def messages(self) -> list[dict[str, Any]]:
        return [message for value in self.values for message in value["messages"]]

    def statuses(self, wamid: str) -> list[dict[str, Any]]:
        return [status for status in self._statuses if status["id"] == wamid]

    def _take(self, request: Request) -> Response:
        body = request.get_data()
        digest = claimed_digest(request.headers.getlist(HEADER))
        if digest is None or signing_app([SECRET], body, digest) != SECRET.app_id:
            self.unsigned += 1
            return Response(status=401)
        value = value_of(body)
        if "statuses" in value:
            self._statuses += value["statuses"]
            return Response(status=200)
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.bodies.append(body)
            for message in value["messages"]:
                self.on_message(value, message)
        return Response(status=status)


class Simulator:
    """`python -m local.simulator`, started and answering."""

    def __init__(self, folder: Path, gateway_url: str, database_url: str = NOWHERE) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = write_config(folder, gateway_url=gateway_url, database_url=database_url)
        self.http = httpx.Client(base_url=self.url, timeout=15)
        self.person = new_phone()
        self.start()

    def start(self) -> None:
        with (self.config.parent / "simulator.log").open("ab") as log:
            self.process = spawn(command(self.port, self.config), log=log, directory=ROOT)
        wait_for(self._alive)

    def stop(self) -> int:
        return stop(self.process)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def say(
        self, text: str = "Hello", *, sender: str | None = None, to: str = "harbour-dental", **more: Any
    ) -> dict[str, Any]:
        """Someone (by default `person`) writes; the control call's answer."""
        content = {"text": text} if "message" not in more else {}
        answer = self.http.post("/sim/messages", json={"from": sender or self.person, "to": to, **content, **more})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def send(self, words: str = "Good morning", /, number: dict[str, str] = DENTAL, **fields: Any) -> httpx.Response:
        """A business sends, by default to `person`; a field that is None is left out."""
        body = {"messaging_product": "whatsapp", "to": f"+{self.person}", "type": "text", "text": {"body": words}}
        body |= fields
        return self.call({name: value for name, value in body.items() if value is not None}, number)

    def call(
        self, body: object, number: dict[str, str] = DENTAL, token: str | None = None, path: str | None = None
    ) -> httpx.Response:
        path = path or f"/{VERSION}/{number['phone_number_id']}/messages"
        headers = {"authorization": f"Bearer {token or number['access_token']}"}
        return self.http.post(path, json=body, headers=headers)

    def fault(self, **fault: Any) -> None:
        assert self.http.post("/sim/faults", json=fault).status_code == 201

    def witness(self, **filters: str) -> list[dict[str, Any]]:
        """What `person` saw, unless `filters` say otherwise."""
        filters = filters or {"person": self.person}
        return list(self.http.get("/witness", params=filters).json()["messages"])

    def pending(self) -> list[dict[str, Any]]:
        return list(self.http.get("/sim/deliveries").json()["deliveries"])

    def _alive(self) -> bool:
        assert self.process.poll() is None, (self.config.parent / "simulator.log").read_text()
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running(folder: Path, gateway_url: str, database_url: str = NOWHERE) -> Iterator[Simulator]:
    simulator = Simulator(folder, gateway_url, database_url)
    try:
        yield simulator
    finally:
        simulator.http.close()
        simulator.stop()


def write_config(folder: Path, **changes: Any) -> Path:
    values = {
        "gateway_url": "http://127.0.0.1:9",
        "app_id": SECRET.app_id,
        "app_secret": SECRET.secret.decode(),
        "database_url": NOWHERE,
        "state": str(folder / "simulator.sqlite"),
        "numbers": [BICIS, DENTAL],
    }
    path = folder / "simulator.json"
    path.write_text(json.dumps(values | changes))
    return path


def command(port: int | str, config: Path) -> list[str | Path]:
    return [sys.executable, "-m", "local.simulator", "--port", str(port), "--config", config]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The simulator for cases in which it ends by itself."""
    words = [sys.executable, "-m", "local.simulator", *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


def new_phone() -> str:
    """A phone number that no other test uses."""
    return f"4477{next(_numbers):08}"


def value_of(body: bytes) -> dict[str, Any]:
    return dict(json.loads(body)["entry"][0]["changes"][0]["value"])


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


_numbers = itertools.count(900_200)
