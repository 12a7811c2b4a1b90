"""Customers' words and numbers, and secrets, are in no log and nothing that Windmill keeps but a run's first input."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from pytest_httpserver import HTTPServer
from systems import ON_WINDMILL, RunningStack, until
from test_full_flow import Person
from werkzeug import Request, Response

from local import database
from local.credentials import Credentials
from local.settings import Settings, load

MARK = uuid4().hex[:10]
WORD, NAME, KEY = f"word{MARK}", f"name{MARK}", f"sk-{MARK}"
MODEL = "f/agent/canary"
SHOWN = "select coalesce(string_agg(logs || coalesce(result::text, '') || coalesce(status::text, '')"
SHOWN += " || (args - 'delivery')::text, ' '), '') from job"


class Customer(Person):
    """A person whose name, number and every message can be told from all others."""

    def __init__(self, stack: RunningStack, number: str | None = None) -> None:
        super().__init__(stack)
        self.wa_id = f"4471{uuid4().int % 10**9:09}"
        self.number = number or self.number

    def body(self, *messages: dict[str, Any], number: str | None = None) -> bytes:
        return super().body(*messages, number=number).replace(b'"Ana"', json.dumps(NAME).encode())

    def event(self, field: str, value: dict[str, Any]) -> bytes:
        metadata = {"display_phone_number": "441174960102", "phone_number_id": self.number}
        change = {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
        entry = [{"id": "200000000000002", "changes": [change]}]
        return json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()


@pytest.fixture
def settings(stack: RunningStack) -> Settings:
    if not stack.environment.get("DATA_DIR"):
        pytest.skip("the logs of a system that runs elsewhere cannot be read")
    return load(stack.environment)


@pytest.fixture
def talkative_model(stack: RunningStack, httpserver: HTTPServer) -> Iterator[str]:
    """A provider that refuses and quotes key and request, as the first model of the other demo tenant."""

    def refuse(request: Request) -> Response:
        quoted = f"{request.headers['authorization']} {request.get_data(as_text=True)}"
        return Response(json.dumps({"error": {"message": quoted, "type": "x"}}), 401, content_type="application/json")

    httpserver.expect_request("/v1/chat/completions").respond_with_handler(refuse)
    value = {"api_key": KEY, "base_url": httpserver.url_for("/v1")}
    body = {"path": MODEL, "resource_type": "openai_compatible", "value": value, "description": ""}
    assert stack.windmill("POST", "resources/create", json=body).is_success
    model = "update chatbots set model_provider = %s, model_name = %s, model_resource_path = %s where id = %s"
    with stack.connect() as connection:
        connection.execute(model, ["openai", "m", MODEL, stack.demo1_chatbot_id])
        try:
            yield stack.demo1_phone_number_id
        finally:
            connection.execute(model, ["demo", "demo", None, stack.demo1_chatbot_id])
            stack.windmill("DELETE", f"resources/delete/{MODEL}")


def send_fault(stack: RunningStack, **fault: Any) -> None:
    body = {"kind": "error", "on": "send", "to": "harbour-dental", **fault}
    assert httpx.post(f"{stack.simulator_url}/sim/faults", json=body).is_success


def converse(stack: RunningStack, model_number: str) -> list[str]:
    """A conversation of every kind, failures included. Returns what must be nowhere."""
    plain, refused, later, stored_late, unheard, strange, gone = (Customer(stack) for _ in range(7))
    modelled = Customer(stack, model_number)
    # A row that the database refuses: its error quotes the row.
    constraint = f"check (body not like '%%late {WORD}%%')"
    with stack.connect() as connection:
        connection.execute(f"alter table messages add constraint canary {constraint}")
        try:
            (late,) = stored_late.write(f"late {WORD}")
            send_fault(stack, code=130429, times=1)
            outcomes = later.outcomes(*later.write(f"again {WORD}"))
            assert outcomes == [("answered", "delivery: sent")]
            send_fault(stack, code=131026, times=1)
            assert refused.outcomes(*refused.write(f"no {WORD}"))[0][0] == "failed"
        finally:
            connection.execute("alter table messages drop constraint canary")
    wamids = plain.write(f"How much is a check-up? {WORD}") + modelled.write(f"hola {WORD}")
    odd = strange.message(text={"body": WORD}, timestamp=WORD, errors=WORD, context=[WORD])
    assert strange.post(strange.body(odd)) == 200
    assert (
        strange.post(strange.body(strange.message(type="kind_of_next_year", **{WORD: WORD}, kind_of_next_year=[WORD])))
        == 200
    )
    assert strange.post(f'{{"object": "{WORD}", "entry": [{WORD}'.encode()) == 400
    assert strange.post(plain.body(plain.message(WORD)), **{"x-hub-signature-256": f"sha256={WORD}"}) == 401
    unheard.write(WORD, number="999000999000999")
    status = {"id": "wamid.x", "status": "failed", "recipient_id": gone.wa_id, "errors": [{"code": 1, "title": WORD}]}
    assert gone.post(gone.event("messages", {"statuses": [status | {"biz_opaque_callback_data": WORD}]})) == 200
    assert gone.post(gone.event("history", {"history": [{"threads": [{"id": gone.wa_id, "text": WORD}]}]})) == 200
    # A message whose first step had failed waits for the person's earlier ones first.
    assert plain.outcomes(*wamids, late, odd["id"], seconds=120)
    people = (plain, refused, later, stored_late, unheard, strange, gone, modelled)
    return [WORD, NAME, KEY, *(person.wa_id for person in people)]


def kept_of_runs(stack: RunningStack, settings: Settings) -> str:
    """Logs, results and arguments of all runs, once they are over; of a real Windmill's those of the newest."""
    if ON_WINDMILL:
        until(lambda: not stack.due_runs())
        runs = stack.newest_runs(400)
        given = [{name: value for name, value in (run["args"] or {}).items() if name != "delivery"} for run in runs]
        return " ".join(f"{run.get('logs')} {run.get('result')} {run.get('flow_status')}" for run in runs) + str(given)
    with psycopg.connect(database.addresses(settings, Credentials.load(settings.data_dir)).engine_url) as connection:
        until(lambda: connection.execute("select count(*) from job where state <> 'done'").fetchone() == (0,))
        return str(connection.execute(SHOWN).fetchone()[0])


def test_words_numbers_and_secrets_are_nowhere(stack: RunningStack, settings: Settings, talkative_model: str) -> None:
    canaries = converse(stack, talkative_model)
    for script in ("sweep", "notify"):
        arguments = {"database": "$res:f/lib/database"}
        ran = stack.windmill("POST", f"jobs/run_wait_result/p/f/ops/{script}", json=arguments)
        assert ran.is_success, ran.text
    credentials = Credentials.load(settings.data_dir)
    secrets = [*vars(credentials).values(), stack.windmill_token]
    places = {path.name: path.read_text() for path in settings.logs.glob("*.log") if path.name != "simulator.log"}
    places["postgres.log"] = (settings.data_dir / "postgres" / "postgres.log").read_text()
    logs = {"gateway.log", "up.log", "postgres.log"}
    assert (logs if ON_WINDMILL else logs | {"engine.log"}) <= places.keys()
    kept = places["what Windmill keeps"] = kept_of_runs(stack, settings)
    assert all(name in kept for name in ('"event": "load_context"', "CheckViolation", "SendLater")), "they did happen"
    assert 'violates check constraint "canary"' in places["postgres.log"]
    found = [
        (place, canary, text[max(0, text.index(canary) - 300) : text.index(canary) + 50])
        for place, text in places.items()
        for canary in [*canaries, *secrets]
        if canary in text
    ]
    assert found == []


def test_every_line_of_a_step_is_json_with_its_ids(stack: RunningStack, settings: Settings) -> None:
    person = Customer(stack)
    (wamid,) = person.write("How much is a check-up?")
    assert person.outcomes(wamid) == [("answered", "delivery: sent")]
    with stack.connect() as connection:
        query = "select conversation_id::text, turn_id::text, job_id::text from webhook_events where wamid = %s"
        conversation_id, turn_id, job_id = connection.execute(query, [wamid]).fetchone() or ("", "", "")

    def steps() -> list[dict[str, Any]]:
        return sorted(
            stack.windmill("GET", f"jobs/completed/list?parent_job={job_id}").json(), key=lambda run: run["created_at"]
        )

    until(lambda: len(steps()) == 3)
    logs = [stack.windmill("GET", f"jobs_u/get/{step['id']}").json()["logs"] for step in steps()]
    # A real Windmill's worker adds lines of its own.
    lines = [json.loads(line) for log in logs for line in log.splitlines() if not ON_WINDMILL or line.startswith("{")]
    assert [line["event"] for line in lines] == ["load_context", "generate_reply", "part", "send_reply"]
    for line in lines:
        ids = {"conversation_id": conversation_id, "turn_id": turn_id, "flow_job_id": job_id}
        assert ids.items() <= line.items() and line["job_id"] and line["at"]
    assert lines[0]["wamid"] == wamid and lines[1]["wamids"] == [wamid]
    gateway = [json.loads(line) for line in Path(settings.logs / "gateway.log").read_text().splitlines()]
    assert {"wamid": wamid, "job_id": job_id} in [entry for line in gateway for entry in line.get("messages", [])]
