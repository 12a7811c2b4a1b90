"""Turns that use tools, with real servers, a real database and a model that does as it is told."""

import json
import subprocess
import sys
import threading

import pytest
from fakes import FakeWhatsApp
from psycopg.types.json import Jsonb
from steps import Platform
from systems import ROOT
from tool_fakes import FakeModel, FakeTools, FakeVariables, Gate, answer, hang
from tool_processes import KEY, ToolProcess

from f.agent import refresh_tools, tool_servers

DENTAL_ID = "22222222-2222-4222-8222-222222222222"
LEAD = {"name": "Ana", "email": "ana@example.org", "stage": "new", "stage_reason": "wants an offer"}


class Shop(Platform):
    """The platform with a scripted model; `tools` is the resource f/agent/tool_servers."""

    model: FakeModel
    tools: dict

    def answers(self, text: str = "hi") -> dict:
        """A message, its turn, and what was sent."""
        loaded = self.load(self.delivery(text))
        self.generate(loaded)
        self.send(loaded)
        return loaded

    def arguments(self, loaded: dict) -> dict:
        return {
            "database": self.database,
            "turn": loaded["turn"],
            "whatsapp": self.whatsapp.resource,
            "access_token": "token",
            "models": {"f/agent/openai": self.model.resource},
            "tool_servers": self.tools,
        }

    def generate(self, loaded: dict, models: dict | None = None) -> dict:
        from f.whatsapp import generate_reply

        return generate_reply.main(**self.arguments(loaded))

    def start_generating(self, loaded: dict) -> subprocess.Popen[bytes]:
        """The step as a process of its own, to be killed."""
        code = "import json, sys; from f.whatsapp import generate_reply; generate_reply.main(**json.load(sys.stdin))"
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(json.dumps(self.arguments(loaded)).encode())
        process.stdin.close()
        return process

    def add_integration(self, url: str, organization: str = DENTAL_ID, credential: str | None = None) -> None:
        self.rows(
            "with i as (insert into org_integrations (organization_id, kind, name, url, credential_path)"
            "           values (%s, 'mcp', 'calendar', %s, %s) returning organization_id, id)"
            " insert into chatbot_tools (organization_id, chatbot_id, integration_id, tool_name)"
            " select i.organization_id, c.id, i.id, t from i join chatbots c using (organization_id),"
            "  unnest(array['book', 'second']) t returning 1",
            organization,
            url,
            credential,
        )

    def executions(self) -> list[tuple]:
        rows = self.rows("select tool_name, state, attempts from tool_executions order by started_at, tool_name")
        return [tuple(row.values()) for row in rows]


@pytest.fixture
def model():
    fake = FakeModel()
    yield fake
    fake.close()


@pytest.fixture
def third():
    fake = FakeTools()
    yield fake
    fake.close()


@pytest.fixture
def servers(seeded_database):
    """Our three servers, started when a test asks for one."""
    started: dict[str, ToolProcess] = {}

    def get(*names: str) -> dict:
        for name in names:
            started[name] = ToolProcess(name, seeded_database.app_url)
        return {"signing_key": KEY, "local_addresses": "true", **{name: server.url for name, server in started.items()}}

    yield get
    for server in started.values():
        server.stop()


@pytest.fixture
def shop(seeded_database, monkeypatch, model):
    whatsapp = FakeWhatsApp()
    made = Shop(seeded_database.app_resource, seeded_database.owner_url, whatsapp, monkeypatch)
    made.model, made.tools = model, {"local_addresses": "true"}
    made.rows(
        "update chatbots set model_provider = 'openai', model_name = 'm', model_resource_path = 'f/agent/openai'"
        " returning id"
    )
    yield made
    made.owner.close()
    whatsapp.close()


# Our own tools ------------------------------------------------------------------------------------


def test_a_price_is_calculated_recorded_and_answered(shop, servers):
    shop.tools = servers("pricing_calculator")
    shop.model.calls(("calculate_pricing", {"volume": 60, "tier": "essential"})).says("That is £2,370.")
    shop.answers("how much for 60 people?")
    assert shop.model.tools == ["calculate_pricing"], "the others do not run here"
    assert json.loads(shop.model.results[0])["quotes"][0]["total"] == "2370.00"
    assert shop.whatsapp.texts == ["That is £2,370."]
    row = shop.rows("select * from tool_executions")[0]
    assert (row["state"], row["arguments"]) == ("succeeded", {"volume": 60, "tier": "essential"})
    assert row["duration_ms"] >= 0 and "2370.00" in row["result"]
    assert shop.rows("select tools from turns") == [{"tools": ["calculate_pricing"]}]


def test_the_turn_that_hands_over_still_answers_and_the_next_message_is_for_a_person(shop, servers):
    shop.tools = servers("contact_owner")
    shop.model.calls(("contact_owner", {"reason": "wants a person"})).says("Somebody will write to you.")
    shop.answers("a person please")
    assert shop.whatsapp.texts == ["Somebody will write to you."]
    assert shop.load(shop.delivery("are you there?", at=1_790_000_060))["state"] == "settled"
    assert [outcome for outcome, _ in shop.outcomes()] == ["answered", "handed_over"]
    assert shop.rows("select reason, state from notifications") == [{"reason": "wants a person", "state": "pending"}]


def test_a_wrong_email_is_put_right_and_the_lead_is_kept_once(shop, servers):
    shop.tools = servers("lead_capture")
    shop.model.calls(("capture_lead", LEAD | {"email": "ana@"})).calls(("capture_lead", LEAD)).says("Thank you.")
    shop.answers()
    assert "no email address" in shop.model.requests[1]["messages"][-1]["content"]
    assert [row["email"] for row in shop.rows("select email from leads")] == ["ana@example.org"]
    assert shop.executions() == [("capture_lead", "refused", 1), ("capture_lead", "succeeded", 1)]


@pytest.mark.parametrize("arguments", ['{"day": "a\\u0000"}', '{"day": "\\ud800"}', '{"day": "x", "n": Infinity}'])
def test_arguments_that_cannot_be_kept_are_the_models_to_repair(shop, third, arguments):
    shop.add_integration(third.url)
    shop.model.calls(("calendar__book", arguments)).says("Which day?")
    shop.answers()
    assert "hold what JSON cannot" in shop.model.results[0]
    assert third.effects == [] and shop.whatsapp.texts == ["Which day?"]


@pytest.mark.parametrize("volume", [-5, 10**12, "60", 6.5, None])
def test_arguments_that_do_not_fit_are_the_models_to_repair(shop, servers, volume):
    shop.tools = servers("pricing_calculator")
    shop.model.calls(("calculate_pricing", {"volume": volume})).says("How many?")
    shop.answers()
    assert shop.model.results[0].startswith("The arguments do not fit the tool: $")
    assert shop.executions() == [] and shop.whatsapp.texts == ["How many?"]


def test_a_hundred_calls_at_once(shop, servers):
    shop.tools = servers("pricing_calculator")
    shop.model.calls(*[("calculate_pricing", {"volume": 10 + n // 2}) for n in range(100)]).says("Done.")
    shop.answers()
    assert len(shop.executions()) == 4, "eight are looked at, of which two and two are the same"
    assert shop.model.results[8:] == ["Not called: at most 8 calls at a time."] * 92
    assert shop.whatsapp.texts == ["Done."]


def test_a_signing_key_that_is_revoked_in_the_middle(shop, servers):
    shop.tools = servers("pricing_calculator")
    shop.model.calls(("calculate_pricing", {"volume": 60})).says("I cannot say at the moment.")
    shop.model.before = lambda: shop.tools.update(signing_key="another" * 6)
    shop.answers()
    assert "not available at the moment" in shop.model.results[0]
    assert shop.rows("select state, error from tool_executions") == [
        {"state": "failed", "error": "HTTP 401 unauthorized"}
    ]
    assert shop.alerts() == ["tool_failed"]
    assert [outcome for outcome, _ in shop.outcomes()] == ["answered"]


def test_a_tool_that_is_switched_off_in_the_middle(shop, servers):
    shop.tools = servers("contact_owner")
    shop.model.calls(("contact_owner", {"reason": "x"})).says("I cannot reach anybody.")
    shop.model.before = lambda: shop.rows("update org_integrations set is_enabled = false returning id")
    shop.answers()
    assert "not available" in shop.model.results[0]
    assert shop.executions() == [] and shop.rows("select id from notifications") == []


def test_the_demo_models_turn_with_tools(shop, servers):
    shop.rows("update chatbots set model_provider = 'demo' returning id")
    shop.tools = servers("pricing_calculator", "lead_capture", "contact_owner")
    shop.answers("How much are check-ups for 60 employees?")
    shop.answers("My name is Ana Gil, ana@example.org")
    shop.answers("I want to speak to a person")
    assert "2370.00 GBP" in shop.whatsapp.texts[0]
    assert shop.rows("select name, email, stage from leads") == [
        {"name": "Ana Gil", "email": "ana@example.org", "stage": "new"}
    ]
    assert [row["state"] for row in shop.rows("select state from notifications")] == ["pending"]
    assert len(shop.whatsapp.texts) == 3 and shop.alerts() == []


# Killed and repeated ------------------------------------------------------------------------------


def test_our_tool_did_it_and_the_step_died_before_it_knew(shop, servers):
    shop.tools = servers("contact_owner")
    gate = Gate(shop.tools["contact_owner"])
    shop.tools["contact_owner"] = gate.url
    gate.is_closed = True
    shop.model.calls(("contact_owner", {"reason": "wants a person"}))
    loaded = shop.load(shop.delivery("a person please"))
    step = shop.start_generating(loaded)
    assert gate.reached.wait(20)
    step.kill()
    step.wait()
    assert shop.executions() == [("contact_owner", "running", 1)]
    assert len(shop.rows("select id from notifications")) == 1
    shop.rows("update notifications set reason = 'kept' returning id")
    gate.is_closed = False

    # The repetition settles the call before it asks the model, which then need not call again, but may.
    shop.model.calls(("contact_owner", {"reason": "wants a person"})).says("Somebody will write.")
    assert shop.generate(loaded) == {"state": "generated"}
    shop.send(loaded)
    assert "were called already" in shop.model.requests[1]["messages"][0]["content"]
    assert shop.executions() == [("contact_owner", "succeeded", 2)]
    assert shop.rows("select reason from notifications") == [{"reason": "kept"}], "nothing was written twice"
    assert shop.whatsapp.texts == ["Somebody will write."]
    gate.close()


def test_somebody_elses_tool_did_it_and_the_step_died_before_it_knew(shop, third):
    shop.add_integration(third.url)
    reached = threading.Event()

    def keep_back(handler, request):
        reached.set()
        threading.Event().wait(30)

    third.then = keep_back
    shop.model.calls(("calendar__book", {"day": "Monday"}))
    loaded = shop.load(shop.delivery("Monday please"))
    step = shop.start_generating(loaded)
    assert reached.wait(20)
    step.kill()
    step.wait()
    third.then = FakeTools.says("booked")

    shop.model.calls(("calendar__book", {"day": "Monday"})).says("It has to be confirmed.")
    shop.generate(loaded)
    assert len(third.effects) == 1
    assert "not known whether" in shop.model.results[0]
    assert shop.executions() == [("book", "unknown", 1)]


def test_a_repeated_step_reuses_the_result(shop, third):
    shop.add_integration(third.url)
    shop.model.calls(("calendar__book", {"day": "Monday"}))
    loaded = shop.load(shop.delivery("Monday please"))
    shop.model.calls(("calendar__book", {"day": "Monday"}))  # the model goes on, then the provider fails
    shop.generate(loaded)
    shop.rows("update turns set generated_at = null returning id")  # as if it had died before it wrote
    shop.rows("delete from outbox returning id")
    shop.model.calls(("calendar__book", {"day": "Monday"})).says("Booked for Monday.")
    shop.generate(loaded)
    assert third.effects == [{"name": "book", "arguments": {"day": "Monday"}}]
    assert shop.model.results == ["booked"]


# Servers of somebody else -------------------------------------------------------------------------


def test_tools_are_the_tenants_own(shop, third):
    shop.add_integration(third.url, organization="11111111-1111-4111-8111-111111111111")
    shop.model.calls(("calendar__book", {"day": "Monday"})).says("I cannot book.")
    shop.answers()
    assert shop.model.tools == []
    assert shop.model.results == ["There is no tool 'calendar__book'. Tools: none."]
    assert third.effects == []


@pytest.mark.parametrize(
    ("then", "told", "state"),
    [
        (FakeTools.says("booked"), "booked", "succeeded"),
        (FakeTools.says("no such day", isError=True), "Error: no such day", "refused"),
        (FakeTools.says("x" * 100_000), "[cut off: the result has 100000 bytes]", "succeeded"),
        (FakeTools.says("x" * 10_000_000), "not known whether", "unknown"),
        (hang(20), "not known whether", "unknown"),
        (lambda handler, _: answer(handler, 500, b"oops"), "not known whether", "unknown"),
        (lambda handler, _: answer(handler, 401, b"{}"), "not available", "failed"),
        (lambda handler, _: answer(handler, 302, b""), "not available", "failed"),
        (lambda handler, _: answer(handler, 200, b"<html>"), "not known whether", "unknown"),
        (lambda handler, _: handler.connection.close(), "not known whether", "unknown"),
        (FakeTools.says("a\x00b"), "ab", "succeeded"),
        (
            lambda handler, request: answer(
                handler,
                200,
                json.dumps(
                    {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32602, "message": "day?"}}
                ).encode(),
            ),
            "Error: day?",
            "refused",
        ),
    ],
    ids=["ok", "refusal", "long", "10MB", "hang", "500", "401", "redirect", "html", "reset", "nul", "parameters"],
)
def test_whatever_a_server_does_has_an_outcome_and_nothing_is_done_twice(shop, third, monkeypatch, then, told, state):
    monkeypatch.setattr(tool_servers, "CALL_SECONDS", 1.0)
    shop.add_integration(third.url)
    third.then = then
    call = ("calendar__book", {"day": "Monday"})
    shop.model.calls(call).says("Well.")
    shop.answers()
    assert told in shop.model.results[0] and len(shop.model.results[0]) < 66_000
    assert [row[:2] for row in shop.executions()] == [("book", state)]
    assert len(third.effects) == 1
    assert [outcome for outcome, _ in shop.outcomes()] == ["answered"]
    assert shop.alerts() == (["tool_failed"] if state in ("failed", "unknown") else [])


def test_a_call_whose_outcome_is_unknown_is_not_repeated_in_the_same_turn(shop, third):
    shop.add_integration(third.url)
    third.then = lambda handler, _: answer(handler, 500, b"oops")
    call = ("calendar__book", {"day": "Monday"})
    shop.model.calls(call, call).calls(call).says("It has to be confirmed.")
    shop.answers()
    assert len(third.effects) == 1


def test_a_server_that_lies_about_its_schema_offers_only_what_is_sound(shop, third):
    third.listed += [
        {"name": "second", "inputSchema": {"type": "objekt"}},
        {"name": "no schema"},
        {"name": 7, "inputSchema": FakeTools.SCHEMA},
        {"name": "nul", "inputSchema": {"type": "object", "title": "a\x00"}},
        {"name": "nan", "inputSchema": {"type": "object", "default": float("nan")}},
        {"name": "fetch", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1/x"}}}},
        {"name": "book", "inputSchema": FakeTools.SCHEMA},
        {"name": "huge", "inputSchema": {"type": "object", "description": "x" * 20_000}},
        "nonsense",
    ]
    shop.add_integration(third.url)
    shop.model.says("Hello.")
    shop.answers()
    assert shop.model.tools == ["calendar__book"]
    assert shop.alerts() == ["tools_not_sound"]
    assert len(shop.rows("select details from system_alerts")[0]["details"]["problems"]) == 8


def test_a_tool_gets_a_name_that_every_provider_takes(shop, third):
    third.listed = [{"name": f"orders.list/{'x' * 100}", "inputSchema": FakeTools.SCHEMA}]
    shop.add_integration(third.url)
    shop.rows("update chatbot_tools set tool_name = %s where tool_name = 'book' returning 1", third.listed[0]["name"])
    name = f"calendar__orders_list_{'x' * 42}"
    shop.model.calls((name, {"day": "Monday"})).says("Done.")
    shop.answers()
    assert shop.model.tools == [name] and len(name) == 64
    assert third.effects[0]["name"] == third.listed[0]["name"]


def test_a_server_that_does_not_answer_costs_its_tools_and_not_the_reply(shop):
    shop.add_integration("http://127.0.0.1:9/mcp")
    shop.model.says("Hello.")
    shop.answers()
    assert shop.model.tools == [] and shop.whatsapp.texts == ["Hello."]
    assert shop.alerts() == ["tools_not_listed"]


def test_credentials_are_the_rows_own_and_a_missing_one_is_an_operators_alert(shop, third, monkeypatch):
    variables = FakeVariables()
    for name, value in (("BASE_INTERNAL_URL", variables.url), ("WM_WORKSPACE", "w"), ("WM_TOKEN", "job")):
        monkeypatch.setenv(name, value)
    path = f"f/integrations/{DENTAL_ID}/calendar"
    variables.values[path] = "secret of the tenant"
    shop.add_integration(third.url, credential=path)
    shop.model.calls(("calendar__book", {"day": "Monday"})).says("Booked.")
    shop.answers()
    assert third.tokens == {"Bearer secret of the tenant"}
    del variables.values[path]
    shop.model.calls(("calendar__book", {"day": "Monday"})).says("I cannot book.")
    shop.answers("again")
    assert "not available" in shop.model.results[-1] and len(third.effects) == 1
    assert path in shop.rows("select error from tool_executions where state = 'failed'")[0]["error"]
    variables.close()


@pytest.mark.parametrize(
    "path", ["f/lib/database_password", "f/integrations/11111111-1111-4111-8111-111111111111/calendar"]
)
def test_a_row_cannot_name_a_secret_that_is_not_its_tenants(shop, path):
    with pytest.raises(Exception, match="org_integrations_check"):
        shop.add_integration("http://127.0.0.1:9/mcp", credential=path)


def test_a_server_inside_the_network_is_not_called(shop, third):
    shop.tools = {}
    shop.add_integration(third.url)
    refresh_tools.main(shop.database, {})
    (found,) = shop.rows("select refresh_error from org_integrations where kind = 'mcp'")
    assert "the address is not called" in found["refresh_error"]
    assert third.tokens == set(), "nothing has reached it"


# Lists --------------------------------------------------------------------------------------------


def test_lists_are_refreshed_by_the_schedule_and_kept_when_a_server_is_away(shop, third, servers):
    tools = servers("pricing_calculator")
    shop.add_integration(third.url)
    # Two tenants have the calculator; two servers each do not run here.
    assert refresh_tools.main(shop.database, tools) == {"refreshed": 3, "failed": 0}
    assert refresh_tools.main(shop.database, tools) == {"refreshed": 0, "failed": 0}, "not again so soon"
    old = "update org_integrations set refreshed_at = '2020-01-01', refresh_tried_at = '2020-01-01' returning id"
    shop.rows(old)
    third.listed = [{"name": "second", "description": "", "inputSchema": FakeTools.SCHEMA}]
    refresh_tools.main(shop.database, tools)
    shop.rows(old)
    third.status = 500
    assert refresh_tools.main(shop.database, tools) == {"refreshed": 2, "failed": 1}
    assert shop.alerts() == ["tools_not_listed"]
    row = shop.rows("select tools, refresh_error from org_integrations where name = 'calendar'")[0]
    assert [tool["name"] for tool in row["tools"]] == ["second"] and "500" in row["refresh_error"]
    third.status = 200
    shop.rows(old)
    refresh_tools.main(shop.database, tools)
    assert shop.alerts() == []


def test_a_stored_list_is_used_without_asking(shop, third):
    shop.add_integration("http://127.0.0.1:9/mcp")
    listed = [{"name": "book", "description": "", "schema": FakeTools.SCHEMA}]
    shop.rows("update org_integrations set tools = %s where name = 'calendar' returning id", Jsonb(listed))
    shop.model.says("Hello.")
    shop.answers()
    assert shop.model.tools == ["calendar__book"] and shop.alerts() == []
