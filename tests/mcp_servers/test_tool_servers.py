"""The plain side of our servers: who may call, what is refused, what is done and done once."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import psycopg
import pytest
from systems import ROOT
from tool_processes import tenant_of

# Who may call ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "unauthorized"),
        ({"authorization": "Bearer nonsense"}, 401, "unauthorized"),
        ({"authorization": "Basic YTpi"}, 401, "unauthorized"),
        ({"host": "evil.example"}, 421, "foreign_host"),
        ({"host": ""}, 421, "foreign_host"),
        ({"host": "[::1"}, 421, "foreign_host"),
        ({"origin": "https://evil.example"}, 403, "foreign_origin"),
        ({"origin": "null"}, 403, "foreign_origin"),
    ],
)
@pytest.mark.parametrize("path", ["/tools", "/mcp", "/nothing"])
def test_strangers_are_refused_on_every_path(pricing, headers, status, code, path):
    answer = httpx.get(pricing.url + path, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)


def test_tokens_of_another_key_or_of_the_past_are_refused(pricing, dental):
    for token, reason in (
        (dental.token(key="another-key-" * 4), "its signature does not fit"),
        (dental.token(seconds=-1), "it has expired"),
        (dental.token()[:-3], "its signature does not fit"),
    ):
        answer = pricing.call("calculate_pricing", {"volume": 10}, token)
        assert answer.status_code == 401 and reason in answer.json()["error"]["message"]


def test_a_token_whose_chatbot_is_switched_off_or_somebody_elses_is_refused(start_server, seeded_database, own_dental):
    server = start_server("contact_owner")
    with tenant_of(seeded_database, "bicis-ribera") as bicis:
        mixed = own_dental.token(conversation_id=bicis.caller.conversation_id)
        foreign = own_dental.token(chatbot_id=bicis.caller.chatbot_id)
    assert server.call("contact_owner", {"reason": "x"}, mixed).status_code == 401
    assert server.call("contact_owner", {"reason": "x"}, foreign).status_code == 401
    own_dental.owner.execute("update chatbots set is_active = false")
    assert server.call("contact_owner", {"reason": "x"}, own_dental.token()).status_code == 401
    assert own_dental.rows("select mode from conversations where mode = 'person'") == []


@pytest.mark.parametrize("variables", [{"DATABASE_URL": ""}, {"MCP_SIGNING_KEY": ""}, {"MCP_SIGNING_KEY": "short"}])
def test_a_server_without_its_settings_does_not_start(variables):
    environment = {**os.environ, "DATABASE_URL": "postgresql://h/d", "MCP_SIGNING_KEY": "k" * 32, **variables}
    done = subprocess.run(
        [sys.executable, "-m", "mcp_servers.lead_capture"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and next(iter(variables)) in done.stderr and "short" not in done.stderr


def test_help_names_every_variable():
    command = [sys.executable, "-m", "mcp_servers.contact_owner", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in ("DATABASE_URL", "MCP_SIGNING_KEY", "MCP_OWNER_PORT", "MCP_ALLOWED_HOSTS", "MCP_ALLOWED_ORIGINS"):
        assert name in shown


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"[1]", 400, "malformed"),
        (b"[" * 60_000, 400, "malformed"),
        (b"\xff", 400, "malformed"),
        (b'{"volume": "12"}', 422, "invalid_arguments"),
        (b'{"volume": 12.0}', 422, "invalid_arguments"),
        (b'{"volume": true}', 422, "invalid_arguments"),
        (b'{"volume": -5}', 422, "invalid_arguments"),
        (b'{"volume": 1000000000000}', 422, "invalid_arguments"),
        (b'{"volume": 12, "organization_id": "22222222-2222-4222-8222-222222222222"}', 422, "invalid_arguments"),
        (b'{"volume": 12, "product": "\\u0000"}', 422, "invalid_arguments"),
        (b'{"volume": 12, "product": "\\ud800"}', 422, "invalid_arguments"),
        (b"{}", 422, "invalid_arguments"),
        (b'{"volume": 12, "product": "' + b"x" * 70_000 + b'"}', 413, "body_too_large"),
    ],
)
def test_arguments_are_taken_strictly(pricing, dental, body, status, code):
    headers = {"authorization": f"Bearer {dental.token()}"}
    answer = httpx.post(f"{pricing.url}/tools/calculate_pricing", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_unknown_tools_paths_and_methods_have_the_same_shape(pricing, dental):
    headers = {"authorization": f"Bearer {dental.token()}"}
    assert pricing.call("nothing", {}, dental.token()).json()["error"]["code"] == "unknown_tool"
    assert httpx.get(f"{pricing.url}/nothing", headers=headers).json()["error"]["code"] == "not_found"
    assert httpx.delete(f"{pricing.url}/tools", headers=headers).json()["error"]["code"] == "method_not_allowed"


def test_a_fault_of_ours_is_logged_and_not_told(start_server, own_dental):
    server = start_server("pricing_calculator")
    own_dental.owner.execute("alter table pricing_tiers rename column unit to gone")
    answer = server.call("calculate_pricing", {"volume": 60}, own_dental.token())
    assert answer.status_code == 500
    assert answer.json() == {"error": {"code": "internal_error", "message": "The server failed; its log says more."}}
    logged = [json.loads(line) for line in server.stop().splitlines()]
    assert [line["error"] for line in logged if line["event"] == "tool failed"] == ["UndefinedColumn"]


def test_a_database_that_is_away_is_unavailable(cluster, start_server, own_dental, seeded_database):
    server = start_server("pricing_calculator")
    with psycopg.connect(cluster.superuser_url, autocommit=True) as administrator:
        administrator.execute(f"alter database {seeded_database.name} allow_connections false")
        administrator.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [seeded_database.name]
        )
    answer = server.call("calculate_pricing", {"volume": 60}, own_dental.token())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert httpx.get(f"{server.url}/health").status_code == 503


# What is done ------------------------------------------------------------------------------------


def test_each_tenant_has_its_own_prices(pricing, bicis, dental):
    english = pricing.call("calculate_pricing", {"volume": 60}, dental.token()).json()["result"]["quotes"]
    assert [(q["tier"], q["total"], q["currency"]) for q in english] == [
        ("essential", "2370.00", "GBP"),
        ("with hygienist", "5370.00", "GBP"),
    ]
    spanish = pricing.call("calculate_pricing", {"volume": 20, "tier": "Básico"}, bicis.token()).json()["result"]
    assert spanish["quotes"][0]["explanation"] == (
        "20 × 49.50 EUR per bici al año = 990.00 EUR (mantenimiento de flotas, básico, price for 20 to 99)"
    )
    answer = pricing.call("calculate_pricing", {"volume": 60, "product": "corporate check-ups"}, bicis.token())
    assert answer.status_code == 422 and "Known: 'mantenimiento de flotas'" in answer.json()["error"]["message"]


LEAD = {"name": "Ana", "email": "Ana@Example.ORG", "stage": "new", "stage_reason": "asked for an offer"}


def test_a_lead_is_kept_once_and_completed(leads, dental):
    first = leads.call("capture_lead", LEAD, dental.token()).json()["result"]
    assert first["is_new"] and first["missing_answers"] == ["employees", "location"]
    more = {"name": "Ana Gil", "company": "Gil Ltd", "answers": {"employees": "60"}}
    again = LEAD | more | {"stage": "qualified", "stage_reason": "60 employees"}
    del again["email"]
    second = leads.call("capture_lead", again, dental.token()).json()["result"]
    assert not second["is_new"] and second["missing_answers"] == ["location"] and second["email"] == "Ana@example.org"
    rows = dental.rows(
        "select name, company, email, stage, stage_reason, answers from leads where contact_id = %(contact_id)s"
    )
    assert rows == [
        {
            "name": "Ana Gil",
            "company": "Gil Ltd",
            "email": "Ana@example.org",
            "stage": "qualified",
            "stage_reason": "60 employees",
            "answers": {"employees": "60"},
        }
    ]


def test_a_lead_that_people_have_closed_stays_closed(leads, dental):
    leads.call("capture_lead", LEAD, dental.token())
    dental.rows("update leads set stage = 'won' where contact_id = %(contact_id)s returning id")
    assert leads.call("capture_lead", LEAD, dental.token()).json()["result"]["stage"] == "won"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"email": "ana@"}, "email: Value error, this is no email address"),
        ({"phone": "12"}, "phone: Value error, this is no phone number"),
        ({"stage": "won"}, "stage: Input should be 'new', 'qualified' or 'unqualified'"),
        ({"name": " "}, "name: String should have at least 1 character"),
        ({"answers": {"shoe_size": "43"}}, "Keys: ['employees', 'location']"),
        ({"contact_id": str(uuid4())}, "contact_id: Extra inputs are not permitted"),
    ],
)
def test_a_lead_with_a_mistake_is_not_kept_and_the_model_is_told(leads, dental, change, part):
    answer = leads.call("capture_lead", LEAD | change, dental.token())
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_arguments")
    assert part in answer.json()["error"]["message"]
    assert dental.rows("select * from leads where contact_id = %(contact_id)s") == []


def test_a_hand_over_switches_to_a_person_and_leaves_one_notification(owner, dental):
    for reason in ("wants a person", "is waiting"):
        answer = owner.call(
            "contact_owner", {"reason": reason, "is_urgent": reason == "wants a person"}, dental.token()
        )
        assert answer.json()["result"]["handed_over"] is True
    assert dental.rows("select mode from conversations where id = %(conversation_id)s") == [{"mode": "person"}]
    assert dental.rows(
        "select kind, reason, is_urgent, state from notifications where conversation_id = %(conversation_id)s"
    ) == [{"kind": "handover", "reason": "is waiting", "is_urgent": True, "state": "pending"}]


@pytest.mark.parametrize(("name", "tool"), [("lead_capture", "capture_lead"), ("contact_owner", "contact_owner")])
def test_a_token_without_a_conversation_cannot_change_anything(running, dental, name, tool):
    token = dental.token(contact_id=None, conversation_id=None)
    answer = running(name).call(tool, LEAD if name == "lead_capture" else {"reason": "x"}, token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "refused")


# Once --------------------------------------------------------------------------------------------


def test_under_one_key_an_effect_happens_once_also_at_the_same_time(owner, dental):
    key = {"idempotency-key": str(uuid4())}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: owner.call("contact_owner", {"reason": "x"}, dental.token(), **key), range(8))
        )
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json() == answers[0].json() for answer in answers)
    # What a person has done since is not undone by a repetition.
    dental.rows("update conversations set mode = 'bot' where id = %(conversation_id)s returning id")
    owner.call("contact_owner", {"reason": "x"}, dental.token(), **key)
    assert dental.rows("select mode from conversations where id = %(conversation_id)s") == [{"mode": "bot"}]
    other = owner.call("contact_owner", {"reason": "y"}, dental.token(), **key)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "key_reused")
    assert owner.call("contact_owner", {"reason": "x"}, dental.token(), **{"idempotency-key": "1"}).status_code == 400


def test_a_refused_call_leaves_its_key_free(leads, dental):
    key = {"idempotency-key": str(uuid4())}
    assert leads.call("capture_lead", LEAD | {"answers": {"x": "y"}}, dental.token(), **key).status_code == 422
    assert leads.call("capture_lead", LEAD, dental.token(), **key).status_code == 200
