"""People who write to chatbots through Meta, as far as the platform can tell, and plans of what is to break."""

import hashlib
import hmac
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from psycopg.rows import dict_row

from local.chaos.installation import Installation
from local.credentials import DEMO1, DEMO2

#: Seconds between Meta's attempts here; the real ones are longer, which breaks nothing more.
PAUSES = (0.1, 0.3, 0.7, 1.5, 3.0)
#: Seconds after which a message without an outcome counts as lost.
PATIENCE = 420
NUMBERS = ((DEMO1.phone_number_id, "200000000000001"), (DEMO2.phone_number_id, "200000000000002"))


@dataclass
class Message:
    token: str
    wamid: str
    sent_at: float
    text: str
    accepted_at: float = 0.0


def seconds_apart(messages: Sequence[Message]) -> float:
    """Between the first and the last message that the gateway took."""
    times = [message.accepted_at for message in messages]
    return max(times) - min(times)


@dataclass(eq=False)
class Case:
    """One conversation and what is done to it. The flags say what may be otherwise than on a calm day."""

    name: str
    person: str
    phone_number_id: str
    waba_id: str
    act: "Callable[[Case], None]"
    #: Ends that are right here.
    ends: frozenset[str] = frozenset({"answered", "merged"})
    #: The reply is the fallback text, which names no message.
    fallback: bool = False
    #: All messages have to be in one reply.
    burst: bool = False
    #: Its messages are delivered side by side: Meta's time counts whole seconds, so those of one second have no order.
    side_by_side: bool = False
    #: The replies have to follow the order in which the person wrote.
    ordered: bool = True
    #: No status tells what became of the replies.
    statuses: bool = True
    #: Its turn has one effect by a tool.
    tool: bool = False
    #: Its calls of the model must not overlap; where processes are killed, a dead one's call goes on at the provider.
    one_call_at_a_time: bool = False
    messages: list[Message] = field(default_factory=list)
    #: When its trouble was over; with the traps' own notes this is what the three minutes count from.
    trouble_ended_at: float = 0.0


class World:
    """Everything that scenarios do with an installation."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.settings = installation.settings
        self._people = itertools.count(1)
        self._tokens = itertools.count(1)
        self._plans = itertools.count(1)
        self._secret = installation.credentials.meta_app_secret.encode()
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        self.http = httpx.Client(timeout=30, limits=limits)
        self.deliveries = 0
        #: Set when a wave is given up: nobody waits for anything any more.
        self.given_up = threading.Event()
        self.listener = Listener()
        #: What scenarios find out once and use again.
        self.known: dict[str, Any] = {}
        #: People for whom something is to break.
        self.planned: set[str] = set()
        self._gateway = threading.Lock()
        self._settled: set[str] = set()
        self._open: set[str] = set()
        self._watch_lock = threading.Lock()
        self.installation.upstream.kill = self.kill_gateway

    def close(self) -> None:
        self.http.close()
        self.listener.close()

    # People -------------------------------------------------------------------------------------

    def case(self, name: str, act: Callable[[Case], None] | None = None, **flags: Any) -> Case:
        number = next(self._people)
        phone_number_id, waba_id = NUMBERS[number % len(NUMBERS)]
        return Case(name, f"4479{number:08}", phone_number_id, waba_id, act or self.write, **flags)

    def compose(self, case: Case, words: str = "hello", ago: float = 0) -> Message:
        """A message of the case's person, not delivered yet; `ago` seconds old."""
        token = f"tk{next(self._tokens)}"
        message = Message(token, f"wamid.{uuid4().hex}", time.time() - ago, f"{token} {words}")
        case.messages.append(message)
        return message

    def write(self, case: Case, words: str = "hello") -> None:
        """The person writes one message, and Meta delivers it until it is taken."""
        self.deliver(case, [self.compose(case, words)])

    def deliver(self, case: Case, messages: Sequence[Message], seconds: float = 900) -> None:
        """One delivery, repeated until the gateway takes it."""
        body = self.body(case, messages)
        deadline = time.monotonic() + seconds
        for attempt in itertools.count():
            if self.post(body) == httpx.codes.OK:
                break
            if time.monotonic() > deadline or self.given_up.is_set():
                raise TimeoutError(f"the gateway did not take a delivery for {seconds:g} s")
            time.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
        self.accepted(messages)

    def accepted(self, messages: Iterable[Message]) -> None:
        for message in messages:
            message.accepted_at = message.accepted_at or time.time()
            with self._watch_lock:
                self._open.add(message.wamid)

    def post(self, body: bytes) -> int:
        """One attempt of Meta's. 0: no answer."""
        self.deliveries += 1
        signature = "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-hub-signature-256": signature}
        try:
            return self.http.post(f"{self.settings.gateway_url}/webhook", content=body, headers=headers).status_code
        except httpx.TransportError:
            return 0

    def body(self, case: Case, messages: Sequence[Message]) -> bytes:
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "0", "phone_number_id": case.phone_number_id},
            "contacts": [{"wa_id": case.person, "profile": {"name": "Ana"}}],
            "messages": [
                {"from": case.person, "id": m.wamid, "timestamp": str(int(m.sent_at)), "type": "text",
                 "text": {"body": m.text}}
                for m in messages
            ],
        }  # fmt: skip
        return self._delivery(case, value)

    def statuses(self, case: Case, *statuses: dict[str, Any]) -> bytes:
        metadata = {"display_phone_number": "0", "phone_number_id": case.phone_number_id}
        return self._delivery(case, {"messaging_product": "whatsapp", "metadata": metadata, "statuses": list(statuses)})

    @staticmethod
    def _delivery(case: Case, value: dict[str, Any]) -> bytes:
        entry = [{"id": case.waba_id, "changes": [{"field": "messages", "value": value}]}]
        return json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()

    # Breaking -----------------------------------------------------------------------------------

    def plan(self, person: str, step: str, point: str, act: str, **more: Any) -> None:
        """What is to happen to the next process that runs `step` for `person` ("any": for anybody)."""
        if not self.installation.has_traps:
            raise RuntimeError("there are no traps in a real Windmill's processes")
        if act != "record":
            self.planned.add(person)
        folder = self.installation.faults / "plans" / step
        folder.mkdir(exist_ok=True)
        name = f"{person}.{next(self._plans):06}.json"
        unfinished = self.installation.faults / name
        unfinished.write_text(json.dumps({"point": point, "act": act, **more}))
        unfinished.rename(folder / name)

    def sprung(self) -> list[dict[str, Any]]:
        """What traps have noted."""
        file = self.installation.faults / "sprung.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def whatsapp_fails(self, case: Case, kind: str, **more: Any) -> None:
        """What the next sends to the case's person meet: a fault of the simulator's."""
        url = f"{self.settings.simulator_url}/sim/faults"
        self.http.post(url, json={"kind": kind, "person": case.person, **more}).raise_for_status()

    def kill_gateway(self) -> None:
        with self._gateway:
            self.installation.restart("gateway")

    # Looking ------------------------------------------------------------------------------------

    def rows(self, query: str, *parameters: Any, seconds: float = 120) -> list[dict[str, Any]]:
        """Rows of the platform's database, once it answers."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with self.installation.connect() as connection:
                    return connection.cursor(row_factory=dict_row).execute(query, parameters).fetchall()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def witnessed(self) -> list[dict[str, Any]]:
        """What people saw of the chatbots, in order."""
        answer = self.http.get(f"{self.settings.simulator_url}/witness", timeout=120).raise_for_status()
        return [message for message in answer.json()["messages"] if message["direction"] == "out"]

    def wave(
        self,
        cases: Sequence[Case],
        *,
        at_once: int = 64,
        meanwhile: Callable[[], None] = lambda: None,
        rest: bool = True,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Run the cases, `at_once` at a time, and `meanwhile` beside them, until every message has its outcome.

        With `rest` until no run at all is under way, so that what is doubled would be seen.
        """
        over = threading.Event()
        done = itertools.count(1)

        def run(case: Case) -> None:
            case.act(case)
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline and not self.is_settled(case) and not self.given_up.wait(0.2):
                pass
            progress(next(done))

        watcher = threading.Thread(target=self._watch, args=[over], daemon=True)
        watcher.start()
        try:
            with ThreadPoolExecutor(at_once) as pool, ThreadPoolExecutor(1) as beside:
                disturbance = beside.submit(meanwhile)
                try:
                    for future in [pool.submit(run, case) for case in cases]:
                        future.result()
                    disturbance.result()
                except BaseException:
                    self.given_up.set()
                    pool.shutdown(cancel_futures=True)
                    raise
            if rest:
                self._come_to_rest()
        finally:
            over.set()
            watcher.join()

    def is_settled(self, case: Case) -> bool:
        with self._watch_lock:
            return all(message.wamid in self._settled for message in case.messages if message.accepted_at)

    def until(self, holds: Callable[[], bool], seconds: float = 30) -> bool:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline or self.given_up.wait(0.1):
                return False
        return True

    def is_stored(self, message: Message) -> bool:
        return bool(self.rows("select 1 from webhook_events where wamid = %s", message.wamid))

    def _watch(self, over: threading.Event) -> None:
        query = "select wamid from webhook_events where wamid = any(%s) and outcome is not null"
        while not over.wait(0.3):
            with self._watch_lock:
                wanted = list(self._open)
            if wanted:
                found = {row["wamid"] for row in self.rows(query, wanted, seconds=3600)}
                with self._watch_lock:
                    self._settled |= found
                    self._open -= found

    def _come_to_rest(self) -> None:
        """Wait until no run is under way any more: what is doubled would be seen now."""
        windmill = self.installation.windmill
        headers = {"authorization": f"Bearer {windmill.token}"}
        url = f"{windmill.url}/api{windmill.path('/jobs/queue/list')}"

        def idle() -> bool:
            paths = ("f/whatsapp/webhook_processor", "f/whatsapp/store_events")
            asked = [{"script_path_exact": path, "per_page": "1"} for path in paths]
            lists = [self.http.get(url, params=query, headers=headers) for query in asked]
            pending = self.http.get(f"{self.settings.simulator_url}/sim/deliveries")
            quiet = not any(answer.json() for answer in lists) and not pending.json()["deliveries"]
            return quiet and not self.rows("select 1 from outbox where state = 'sending' limit 1")

        self.until(idle, PATIENCE)


class Listener:
    """Hears from traps with `act` "tell" that they have reached their point, and lets them go on."""

    def __init__(self) -> None:
        self._calls: dict[str, Callable[[], None]] = {}
        calls = self._calls

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if call := calls.pop(body["person"], None):
                    call()
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Not of interest."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def expect(self, person: str, call: Callable[[], None]) -> None:
        self._calls[person] = call

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
