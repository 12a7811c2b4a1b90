"""Another prompt on a turn of the past: what would be said, and nothing that is said or kept."""

import json
from uuid import uuid4

import pytest

from f.agent.loop import ModelError, ToolCall
from u.admin import try_prompt
from u.admin.try_prompt import NotFound

SLUG = "harbour-dental"
SECOND = 1_790_000_000
KEPT = ("messages", "outbox", "turns", "webhook_events", "conversations", "contacts", "usage_logs", "quota_usage",
        "contact_days", "tool_executions", "token_reservations", "system_alerts", "chatbots")  # fmt: skip


def last_turn(platform) -> str:
    return str(platform.rows("select id from turns order by started_at desc limit 1")[0]["id"])


def kept(platform) -> dict[str, list[dict]]:
    return {table: platform.rows(f"select * from {table} x order by to_jsonb(x)::text") for table in KEPT}


@pytest.fixture
def turn_id(platform) -> str:
    """The second of three turns."""
    for number, text in enumerate(("hello", "prices?", "parking?")):
        loaded = platform.load(platform.delivery(text, at=SECOND + number))
        platform.generate(loaded)
        platform.send(loaded)
    return str(platform.rows("select id from turns order by started_at offset 1 limit 1")[0]["id"])


def test_other_facts_give_another_answer_and_nothing_is_sent_or_written(platform, office, turn_id):
    before, sent = kept(platform), list(platform.whatsapp.sent)
    facts = [{"topic": "Prices", "text": "Everything is free today."}]
    tried = try_prompt.main(SLUG, turn_id, facts=facts)
    assert tried["answer"] == "Everything is free today." and tried["error"] is None
    assert "£52" in tried["then"]["answer"] and tried["then"]["model"] == "demo"
    assert kept(platform) == before and platform.whatsapp.sent == sent and office.started == {}


def test_what_it_took_is_in_the_audit_log_and_in_no_quota(platform, office, turn_id):
    tried = try_prompt.main(SLUG, turn_id, persona="A pirate.")
    (entry,) = platform.audit("try_prompt")
    assert entry["target_id"] == turn_id and entry["new"]["changed"] == ["persona"]
    assert entry["new"]["usage"] == tried["usage"] and tried["usage"]["prompt_tokens"] > 100
    assert "pirate" not in json.dumps(entry["new"]), "no words"


def test_the_run_that_shows_customers_words_is_erased_later(platform, office, turn_id, monkeypatch):
    monkeypatch.setenv("WM_JOB_ID", "00000000-0000-4000-8000-000000000009")
    try_prompt.main(SLUG, turn_id)
    assert office.planned == [("f/admin/erase_run", {"job_id": "00000000-0000-4000-8000-000000000009"}, 3600)]


def test_the_model_reads_what_it_could_read_then(platform, office, turn_id):
    with try_prompt.connect(platform.database) as connection:
        values = {"organization_id": "22222222-2222-4222-8222-222222222222", "turn_id": turn_id}
        with try_prompt.tenant(connection, values["organization_id"]):
            context = try_prompt.read_turn(connection, values, {})
    assert [row["body"] for row in context["asked"]] == ["prices?"]
    assert [(row["author"], row["body"][:5]) for row in context["history"]] == [("contact", "hello"), ("bot", "Hello")]


def test_another_model_is_tried_alone_and_with_its_own_key(platform, office, turn_id):
    with pytest.raises(ValueError, match="model_name"):
        try_prompt.main(SLUG, turn_id, model_provider="openai")
    tried = try_prompt.main(SLUG, turn_id, model_provider="openai", model_name="gpt-x")
    assert tried["error"] == "the model's resource has no api_key" and tried["answer"] == ""
    assert platform.alerts() == []
    assert platform.audit("try_prompt")[0]["new"]["failed"] is True


class Scripted:
    name = "scripted"

    def __init__(self, *completions):
        self.left = list(completions)
        self.read = []

    def complete(self, messages, tools, allowance):
        from f.agent.loop import Completion

        self.read.append((messages, [tool.name for tool in tools]))
        text, calls = self.left.pop(0)
        if text is None:
            raise ModelError("no")
        return Completion(text, self.name, 10, 5, calls)


def test_tools_are_offered_and_none_is_called(platform, office, turn_id, monkeypatch):
    tools = [{"name": "capture_lead", "description": "d", "schema": {"type": "object"}}]
    platform.owner.execute(
        "update org_integrations set tools = %s where name = 'lead_capture'"
        " and organization_id = '22222222-2222-4222-8222-222222222222'",
        [json.dumps(tools)],
    )
    (integration,) = platform.rows(
        "select id from org_integrations where name = 'lead_capture'"
        " and organization_id = '22222222-2222-4222-8222-222222222222'"
    )
    platform.owner.execute(
        "insert into tool_executions (organization_id, id, turn_id, integration_id, tool_name, arguments, state,"
        " result, finished_at) values ('22222222-2222-4222-8222-222222222222', %s, %s, %s, 'capture_lead',"
        ' \'{"name": "Ana"}\', \'succeeded\', \'{"kept": "then"}\', now())',
        [uuid4(), turn_id, integration["id"]],
    )
    calls = (ToolCall("1", "capture_lead", '{"name": "Ana"}'), ToolCall("2", "capture_lead", '{"name": "Bob"}'))
    model = Scripted(("", calls), ("done", ()))
    monkeypatch.setattr("f.agent.models.build_model", lambda *_: model)
    before = kept(platform)
    tried = try_prompt.main(SLUG, turn_id)
    assert tried["answer"] == "done" and [c["arguments"]["name"] for c in tried["tools_called"]] == ["Ana", "Bob"]
    results = [message.content for message in model.read[1][0] if message.role == "tool"]
    assert results[0] == '{"kept": "then"}' and "not called" in results[1]
    assert kept(platform) == before, "and no lead is kept"
    model.left, model.read = [("done", ())], []
    try_prompt.main(SLUG, turn_id, with_tools=False)
    assert model.read[0][1] == []


def test_what_is_not_there_cannot_be_tried(platform, office, turn_id):
    with pytest.raises(NotFound):
        try_prompt.main("bicis-ribera", turn_id)
    with pytest.raises(NotFound):
        try_prompt.main(SLUG, str(uuid4()))
    platform.owner.execute("update conversations set erased_at = now()")
    with pytest.raises(NotFound):
        try_prompt.main(SLUG, turn_id)
    assert office.planned == []
