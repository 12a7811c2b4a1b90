"""From the chatbot's row to the reply: its chain of models, with real SDKs, a real PostgreSQL and stand-ins."""

import json
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from f.whatsapp import generate_reply, load_context
from local.standins import json_reply

NOWHERE = {"base_url": "http://127.0.0.1:9", "version": "v24.0"}
FALLBACK = "I cannot answer right now. Someone from our reception will write to you shortly."
GEMINI = {"provider": "gemini", "name": "gemini-2.5-flash-001", "resource_path": "f/agent/gemini"}


class Chatbot:
    """Harbour Dental with OpenAI's model first and Gemini's second."""

    def __init__(self, database, openai, gemini, monkeypatch):
        self.database = database.app_resource
        self.owner = psycopg.connect(database.owner_url, autocommit=True, row_factory=dict_row)
        self.models = {"f/agent/openai": openai.resource, "f/agent/gemini": gemini.resource}
        self._monkeypatch = monkeypatch
        self.set(
            model_provider="openai",
            model_name="gpt-4.1-mini",
            model_resource_path="f/agent/openai",
            fallback_models=json.dumps([GEMINI]),
        )

    def set(self, **columns):
        changes = ", ".join(f"{name} = %s" for name in columns)
        self.owner.execute(f"update chatbots set {changes} where slug = 'harbour-dental'", [*columns.values()])

    def rows(self, query: str) -> list[dict]:
        return self.owner.execute(query).fetchall()

    def ask(self, text: str) -> str:
        self._monkeypatch.setenv("WM_FLOW_JOB_ID", str(uuid4()))
        message = {"from": "34600111222", "id": f"wamid.{uuid4().hex}", "timestamp": "1790000000", "type": "text"}
        delivery = {
            "app_id": "demo-app",
            "waba_id": "200000000000002",
            "phone_number_id": "100000000000002",
            "contact": {"wa_id": "34600111222", "profile": {"name": "Ana"}},
            "message": message | {"text": {"body": text}},
            "received_at": "2026-11-24T10:00:00+00:00",
            "position": 0,
            "limited": None,
        }
        self.loaded = load_context.main(self.database, json.dumps(delivery))
        done = generate_reply.main(self.database, self.loaded["turn"], NOWHERE, "token", self.models)
        assert done == {"state": "generated"}
        self.owner.execute("update turns set finished_at = now()")
        self.owner.execute("update webhook_events set outcome = 'answered', settled_at = now() where outcome is null")
        self.owner.execute("update conversations set lease_holder = null")
        return self.rows("select body from outbox order by created_at desc limit 1")[0]["body"]


@pytest.fixture
def chatbot(seeded_database, openai, gemini, monkeypatch):
    made = Chatbot(seeded_database, openai, gemini, monkeypatch)
    yield made
    made.owner.close()


def test_the_steps_pass_on_which_resources_the_chain_needs(chatbot):
    chatbot.ask("hi")
    assert chatbot.loaded["model_resources"] == ["f/agent/openai", "f/agent/gemini"]
    chatbot.set(model_provider="demo", model_resource_path=None, fallback_models="[]")
    chatbot.ask("hi")
    assert chatbot.loaded["model_resources"] == []


def test_the_stand_ins_answer_from_the_chatbots_facts_with_prompt_and_settings(chatbot, openai):
    chatbot.set(instructions="Always mention the ferry.", temperature=0.7)
    assert "£52" in chatbot.ask("How much is a check-up?")
    request = openai.history[0]
    assert "Always mention the ferry." in request["messages"][0]["content"]
    assert (request["model"], request["temperature"]) == ("gpt-4.1-mini", 0.7)
    usage = chatbot.rows("select provider, model, prompt_tokens, completion_tokens, estimated_cost from usage_logs")[0]
    price = Decimal("0.4") * usage["prompt_tokens"] + Decimal("1.6") * usage["completion_tokens"]
    assert usage["provider"] == "openai" and usage["estimated_cost"] == price / 1_000_000


def test_the_second_model_answers_when_the_first_is_down(chatbot, openai):
    openai.enqueue(*[openai.refuse(500)] * 3)
    assert "8:30" in chatbot.ask("When are you open?")
    turn = chatbot.rows("select error, steps, model from turns")[0]
    assert turn["error"] is None and turn["model"] == "m-1"
    assert [step.get("error") for step in turn["steps"]] == ["provider answered 500: InternalServerError"] * 3 + [None]
    usage = chatbot.rows("select provider, estimated_cost > 0 as priced from usage_logs")
    assert usage == [{"provider": "gemini", "priced": True}]  # gemini-2.5-flash-001 by the price of gemini-2.5-flash
    assert chatbot.rows("select kind from system_alerts") == []


def test_a_refused_key_is_an_alert_that_names_the_resource_until_it_works(chatbot):
    good, chatbot.models["f/agent/openai"] = (
        chatbot.models["f/agent/openai"],
        {"api_key": "wrong"} | {"base_url": chatbot.models["f/agent/openai"]["base_url"]},
    )
    assert "8:30" in chatbot.ask("When are you open?")
    query = "select kind, subject, details, resolved_at is null as open from system_alerts"
    alert = chatbot.rows(query)[0]
    assert (alert["kind"], alert["subject"], alert["open"]) == ("model_denied", "f/agent/openai", True)
    assert alert["details"]["reason"] == "provider answered 401: invalid_api_key"
    chatbot.models["f/agent/openai"] = good
    chatbot.ask("When are you open?")
    assert [row["open"] for row in chatbot.rows(query)] == [False]


def test_a_resource_without_a_key_is_passed_over_with_an_alert(chatbot):
    del chatbot.models["f/agent/openai"]
    assert "8:30" in chatbot.ask("When are you open?")
    assert chatbot.rows("select subject from system_alerts") == [{"subject": "f/agent/openai"}]


def test_after_the_last_model_comes_the_fallback_text_and_an_alert_that_tells_all(chatbot, openai, gemini):
    openai.enqueue(openai.refuse(400, "bad"))
    gemini.enqueue(gemini.refuse(404, "NOT_FOUND"))
    assert chatbot.ask("When are you open?") == FALLBACK
    alert = chatbot.rows("select kind, details from system_alerts")[0]
    assert alert["kind"] == "model_failed" and len(alert["details"]["tried"]) == 2
    assert "open?" not in json.dumps(alert["details"])
    assert chatbot.rows("select error from turns") == [{"error": "provider answered 404: NOT_FOUND"}]


DEEP = "[" * 1500


def odd(choice=None, call=None, **answer):
    """A completion that is not as OpenAI's own."""
    asked = {"id": "a", "type": "function", "function": {"name": "calculate_pricing", "arguments": "{}"} | (call or {})}
    message = {"role": "assistant", "content": None, "tool_calls": [asked]} if call else {"content": "Fine."}
    body = {"model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, **answer}
    return json_reply(body | {"choices": [{"index": 0, "finish_reason": "stop", "message": message | (choice or {})}]})


@pytest.mark.parametrize(
    "answer",
    [
        odd(call={"arguments": DEEP}),
        odd(call={"arguments": {"volume": 3}}),
        odd(call={"name": "calc\x00x"}),
        odd(call={"name": None}),
        odd(call={"name": ["x"]}),
        odd(choice={"content": 7}),
        odd(choice={"content": {"text": "hi"}}),
        odd(choice={"content": "a\x00b \ud83d"}),
        odd(choice={"content": [{"type": "text", "text": "Hi"}, {"type": "image"}, "x"]}),
        odd(choice={"tool_calls": "none"}),
        odd(choice={"finish_reason": ["stop"]}),
        odd(usage={"prompt_tokens": "10", "completion_tokens": -3, "total_tokens": 7}),
        odd(usage={"prompt_tokens": 1e300, "completion_tokens": None}),
        odd(usage={"prompt_tokens": 10**12, "completion_tokens": 1}),
        odd(usage={"prompt_tokens": -(10**9), "completion_tokens": -5}),
        odd(usage=[1]),
        odd(model="m\x00x"),
        odd(model={"name": "m"}),
        json_reply({"error": {"code": "a\x00b", "message": "no"}}, 400),
        json_reply({"error": {"code": ["a"], "message": 3}}, 400),
        json_reply({"error": "down"}, 500),
        json_reply([], 200),
        json_reply("hi", 200),
    ],
)
def test_whatever_a_provider_answers_the_person_gets_a_reply(chatbot, openai, answer):
    openai.enqueue(*[answer] * 3)
    chatbot.set(fallback_models="[]")
    body = chatbot.ask("When are you open?")
    assert body.strip()
    if body == FALLBACK:
        assert [row["kind"] for row in chatbot.rows("select kind from system_alerts")] == ["model_failed"]
    assert len(openai.history) <= 4
    for usage in chatbot.rows("select prompt_tokens, completion_tokens from usage_logs"):
        assert 0 < usage["prompt_tokens"] < 100_000 and 0 <= usage["completion_tokens"] < 1000


def test_parts_of_text_are_one_answer(chatbot, openai):
    openai.enqueue(odd(choice={"content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}]}))
    assert chatbot.ask("When are you open?") == "Hi there"


def test_what_every_provider_refuses_to_talk_about_has_a_text_of_its_own(chatbot, openai, gemini):
    openai.enqueue(openai.blocked())
    gemini.enqueue(gemini.blocked_prompt())
    chatbot.set(blocked_text="I cannot talk about that here.")
    assert chatbot.ask("…") == "I cannot talk about that here."
    assert len(chatbot.rows("select 1 as paid from usage_logs")) == 2


@pytest.mark.parametrize(
    ("cap", "reason"), [({"max_tokens": 500}, "tokens are used up"), ({"max_cost": 0.0000001}, "money")]
)
def test_caps_of_the_chatbot_hold(chatbot, openai, cap, reason):
    chatbot.set(**cap)
    assert chatbot.ask("When are you open?") == FALLBACK
    assert reason in chatbot.rows("select error from turns")[0]["error"] and openai.history == []


def test_the_seconds_of_the_chatbot_hold(chatbot, openai, gemini):
    chatbot.set(max_seconds=5)
    openai.enqueue(openai.drip)
    gemini.enqueue(gemini.drip, gemini.drip)
    assert chatbot.ask("When are you open?") == FALLBACK


@pytest.mark.parametrize(
    "models",
    [
        {"provider": "openai"},
        [{"provider": "else", "name": "m", "resource_path": "f/agent/openai"}],
        [{"provider": "openai", "name": "m"}],
        [{"provider": "gemini", "name": "m", "resource_path": "f/agent/$var:x"}],
        [{"provider": "gemini", "name": "m", "resource_path": "$res:f/agent/gemini"}],
        [GEMINI] * 5,
    ],
)
def test_the_database_takes_only_chains_that_make_sense(chatbot, models):
    with pytest.raises(psycopg.errors.CheckViolation):
        chatbot.set(fallback_models=json.dumps(models))
