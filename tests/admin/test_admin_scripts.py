"""The admin scripts against a real PostgreSQL, a Windmill and a Graph API over HTTP."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from office import (
    BICIS,
    BICIS_KEY,
    DENTAL,
    DENTAL_KEY,
    NEW_BOT,
    NUMBER,
    NUMBER_ID,
    OPERATOR,
    Office,
    connect,
)

from f.lib.http import ApiError

# Organisations and plans ------------------------------------------------------------------------


def test_an_operator_creates_a_tenant_that_works(office: Office) -> None:
    status, made = office.call("create_organization", OPERATOR, {"slug": "third", "name": "Third"})
    assert status == 201 and made["plan"] == "free"
    for name in ("third", made["organization_id"]):
        assert office.call("show_organization", OPERATOR, {"organization": name})[0] == 200
    _, key = office.call("create_api_key", OPERATOR, {"organization": "third", "name": "k", "scopes": ["admin"]})
    assert office.call("save_chatbot", key["key"], NEW_BOT, slug="bot")[1]["is_new"] is True
    office.graph.numbers["EAAsecret"] = [(NUMBER_ID, NUMBER["waba_id"])]
    assert office.call("connect_number", key["key"], NUMBER | {"chatbot": "bot"}, phone_number_id=NUMBER_ID)[0] == 200
    shown = office.call("show_organization", key["key"])[1]
    assert [bot["slug"] for bot in shown["chatbots"]] == ["bot"]
    assert [number["phone_number_id"] for number in shown["numbers"]] == [NUMBER_ID]
    assert office.rows("select organization_id::text from route_number(%s)", NUMBER_ID) == [
        {"organization_id": made["organization_id"]}
    ]


def test_a_slug_is_given_once(office: Office) -> None:
    assert office.call("create_organization", OPERATOR, {"slug": "bicis-ribera", "name": "x"}) == (
        409,
        {"error": {"code": "slug_taken", "message": "there is an organization of this slug already"}},
    )
    with ThreadPoolExecutor(8) as pool:
        body = {"slug": "race", "name": "x", "request": None}
        ends = list(pool.map(lambda _: _try(lambda: office.form("create_organization", **body)), range(8)))
    assert sorted(ends) == [201] + [409] * 7


def _try(act: Any) -> int:
    try:
        act()
    except ApiError as refused:
        return refused.status
    return 201


def test_a_plan_is_set_by_operators(office: Office) -> None:
    assert office.call("set_plan", OPERATOR, {"organization": "bicis-ribera", "plan": "enterprise"})[0] == 200
    assert office.call("list_usage", BICIS_KEY)[1]["plan"]["code"] == "enterprise"
    assert office.call("set_plan", OPERATOR, {"organization": "bicis-ribera", "plan": "gold"})[0] == 422
    assert office.call("set_plan", BICIS_KEY, {"plan": "enterprise"})[0] == 403
    logged = office.rows("select old ->> 'plan' as old, new ->> 'plan' as new from audit_log where action = 'set_plan'")
    assert logged == [{"old": "pro", "new": "enterprise"}]


def test_an_organization_may_have_limits_of_its_own_until_the_next_plan(office: Office) -> None:
    office.call("set_plan", OPERATOR, {"organization": BICIS, "plan": "pro", "monthly_messages": 7})
    assert office.call("list_usage", BICIS_KEY)[1]["plan"]["monthly_messages"] == 7
    office.call("set_plan", OPERATOR, {"organization": BICIS, "plan": "free"})
    assert office.call("list_usage", BICIS_KEY)[1]["plan"]["monthly_messages"] == 200
    assert office.call("set_plan", OPERATOR, {"organization": BICIS, "plan": "pro", "monthly_messages": -1})[0] == 422


def test_limits_of_the_knowledge(office: Office) -> None:
    own = {"knowledge_sources": 3, "knowledge_pages": 40, "knowledge_bytes": 10**11, "daily_ingestions": 0}
    own |= {"crawls": 0, "crawl_pages": 7, "crawl_depth": 0, "crawl_bytes": 10**12, "crawl_seconds": 60}
    assert office.call("set_plan", OPERATOR, {"organization": BICIS, "plan": "pro", **own})[0] == 200
    shown = office.call("show_organization", BICIS_KEY)[1]
    assert {name: shown[name] for name in own} == own
    for name in own:
        wrong = {"organization": BICIS, "plan": "pro", name: 10**16}
        assert office.call("set_plan", OPERATOR, wrong)[0] == 422
    assert office.call("set_plan", OPERATOR, {"organization": BICIS, "plan": "pro", "crawl_pages": 0})[0] == 422
    office.call("set_plan", OPERATOR, {"organization": BICIS, "plan": "free"})
    shown = office.call("show_organization", BICIS_KEY)[1]
    assert (shown["knowledge_sources"], shown["crawl_pages"]) == (20, 100)


def test_organizations_are_listed_page_by_page(office: Office) -> None:
    first = office.call("list_organizations", OPERATOR, {"limit": "1"})[1]["organizations"]
    second = office.call("list_organizations", OPERATOR, {"after": first[0]["slug"]})[1]["organizations"]
    assert [row["slug"] for row in first + second] == ["bicis-ribera", "harbour-dental"]


# Chatbots ---------------------------------------------------------------------------------------


def test_a_chatbot_is_created_and_changed_field_by_field(office: Office) -> None:
    facts = [{"topic": "Hours", "text": "Nine to five."}]
    status, made = office.call("save_chatbot", BICIS_KEY, NEW_BOT | {"facts": facts}, slug="second")
    assert (status, made["is_new"]) == (200, True)
    status, changed = office.call("save_chatbot", BICIS_KEY, {"temperature": 1.5, "name": "Bot"}, slug="second")
    assert changed == {"id": made["id"], "slug": "second", "is_new": False, "changed": ["temperature"]}
    row = office.rows("select * from chatbots where slug = 'second'")[0]
    assert (row["organization_id"].__str__(), row["facts"], float(row["temperature"])) == (BICIS, facts, 1.5)
    logged = office.rows("select old, new from audit_log where action = 'save_chatbot' order by id")
    assert logged[1] == {"old": {"temperature": 0.3}, "new": {"temperature": 1.5}}


def test_another_provider_brings_its_resource_and_needs_a_model(office: Office) -> None:
    assert office.call("save_chatbot", BICIS_KEY, {"model_provider": "openai"}, slug="bicis-ribera")[0] == 422
    model = {"model_provider": "openai", "model_name": "gpt-5"}
    stand_in = {"fallback_models": [{"provider": "gemini", "name": "g"}, {"provider": "demo", "name": "demo"}]}
    assert office.call("save_chatbot", BICIS_KEY, model | stand_in, slug="bicis-ribera")[0] == 200
    row = office.rows("select model_resource_path, fallback_models from chatbots where slug = 'bicis-ribera'")[0]
    assert row["model_resource_path"] == "f/agent/openai"
    assert row["fallback_models"][0] == {"provider": "gemini", "name": "g", "resource_path": "f/agent/gemini"}
    assert office.call("save_chatbot", BICIS_KEY, {"model_provider": "demo"}, slug="bicis-ribera")[0] == 200
    row = office.rows("select model_name, model_resource_path from chatbots where slug = 'bicis-ribera'")[0]
    assert row == {"model_name": "demo", "model_resource_path": None}


def test_another_embedding_model_brings_its_key_and_its_length(office: Office) -> None:
    def embedding() -> list:
        fields = "embedding_model, embedding_dimensions, embedding_resource_path, cites_sources"
        return list(office.rows(f"select {fields} from chatbots where slug = 'bicis-ribera'")[0].values())

    def save(**given: Any) -> int:
        return office.call("save_chatbot", BICIS_KEY, given, slug="bicis-ribera")[0]

    assert embedding() == ["multilingual-e5-small", 384, None, True]
    assert save(embedding_model="text-embedding-3-small", cites_sources=False) == 200
    assert embedding() == ["text-embedding-3-small", 1536, "f/agent/openai", False]
    assert save(embedding_dimensions=512) == 200
    assert save(embedding_dimensions=384) == 422 and save(embedding_model="ada") == 422
    operators = {"organization": "bicis-ribera", "embedding_resource_path": "f/agent/own"}
    assert office.call("save_chatbot", OPERATOR, operators, slug="bicis-ribera")[0] == 200
    assert save(name="Bicis") == 200
    assert embedding() == ["text-embedding-3-small", 512, "f/agent/own", False]
    assert save(embedding_model="multilingual-e5-small") == 200
    assert embedding() == ["multilingual-e5-small", 384, None, False]
    assert office.call("save_chatbot", OPERATOR, operators, slug="bicis-ribera")[0] == 422, "it needs no key"


def test_a_threshold_of_its_own_goes_with_the_embedding_model(office: Office) -> None:
    def threshold() -> Any:
        return office.rows("select knowledge_threshold from chatbots where slug = 'bicis-ribera'")[0].popitem()[1]

    def save(**given: Any) -> int:
        return office.call("save_chatbot", BICIS_KEY, given, slug="bicis-ribera")[0]

    assert save(knowledge_threshold=0.82) == 200 and threshold() == 0.82
    assert save(knowledge_threshold=1.2) == 422 and save(name="Bicis") == 200 and threshold() == 0.82
    assert save(embedding_model="text-embedding-3-small") == 200 and threshold() is None, "another scale"
    assert save(embedding_model="multilingual-e5-small", knowledge_threshold=0) == 200 and threshold() == 0


def test_a_reranker_needs_what_it_works_with(office: Office) -> None:
    def save(**given: Any) -> tuple[int, Any]:
        return office.call("save_chatbot", OPERATOR, given | {"organization": "bicis-ribera"}, slug="bicis-ribera")

    status, told = save(reranker="api", reranker_model="rerank-v3.5")
    assert status == 422 and "reranker_resource_path" in told["error"]["message"]
    mine = f"f/integrations/{BICIS}/rerank"
    for path, expected in ((mine, 200), ("f/agent/rerank", 200), (f"f/integrations/{DENTAL}/rerank", 422)):
        assert save(reranker="api", reranker_model="rerank-v3.5", reranker_resource_path=path)[0] == expected, path
    status, told = save(reranker="model")
    assert status == 422 and "demo" in told["error"]["message"]
    assert save(reranker="model", model_provider="openai", model_name="gpt-5")[0] == 200
    assert save(model_provider="demo")[0] == 422 and save(reranker="best")[0] == 422
    assert save(reranker="none")[0] == 200


@pytest.mark.parametrize(
    "given",
    [
        {"model_resource_path": "f/agent/other"},
        {"embedding_model": "text-embedding-3-small", "embedding_resource_path": "f/agent/other"},
        {"fallback_models": [{"provider": "openai", "name": "x", "resource_path": "f/agent/other"}]},
        {"reranker": "api", "reranker_model": "m", "reranker_resource_path": "f/agent/other"},
    ],
)
def test_a_tenant_cannot_name_the_resource_of_somebody_elses_key(office: Office, given: dict) -> None:
    assert office.call("save_chatbot", BICIS_KEY, given, slug="bicis-ribera")[0] == 403
    operators = given | {"organization": "bicis-ribera"}
    assert office.call("save_chatbot", OPERATOR, operators, slug="bicis-ribera")[0] == 200
    outside = {"organization": "bicis-ribera", "model_resource_path": "f/admin/database"}
    assert office.call("save_chatbot", OPERATOR, outside, slug="bicis-ribera")[0] == 422


@pytest.mark.parametrize(("given", "told"), [({}, "name"), ({"persona": ["x"]}, "persona")])
def test_a_chatbot_that_cannot_be_is_refused_by_field(office: Office, given: dict, told: str) -> None:
    whole = NEW_BOT | given if given else given
    status, answer = office.call("save_chatbot", BICIS_KEY, whole, slug="second")
    assert (status, answer["error"]["code"]) == (422, "invalid_argument")
    assert answer["error"]["message"].startswith(f"{told}: ")
    assert office.rows("select 1 from chatbots where slug = 'second'") == []


# Integrations -----------------------------------------------------------------------------------


def test_a_server_of_somebody_elses_with_its_credential(office: Office) -> None:
    given = {"kind": "mcp", "url": "https://tools.example.com/mcp", "credential": "sk-secret"}
    given |= {"chatbot": "bicis-ribera", "tools": ["book", "cancel", "book"]}
    status, made = office.call("save_integration", BICIS_KEY, given, name="booking")
    assert (status, made["has_credential"]) == (200, True)
    assert made["chatbots"] == {"bicis-ribera": ["book", "cancel"]}
    assert office.windmill.secrets == {f"f/integrations/{BICIS}/booking": "sk-secret"}
    assert "sk-secret" not in office.stored + json.dumps(office.rows("select * from audit_log"), default=str)

    _, changed = office.call("save_integration", BICIS_KEY, {"is_enabled": False}, name="booking")
    assert (changed["is_enabled"], changed["has_credential"]) == (False, True)
    fewer = {"chatbot": "bicis-ribera", "tools": ["cancel"]}
    assert office.call("save_integration", BICIS_KEY, fewer, name="booking")[1]["chatbots"] == {
        "bicis-ribera": ["cancel"]
    }


def test_a_credential_does_not_follow_to_another_address(office: Office) -> None:
    given = {"kind": "mcp", "url": "https://tools.example.com/mcp", "credential": "sk-secret"}
    office.call("save_integration", BICIS_KEY, given, name="booking")
    moved = office.call("save_integration", BICIS_KEY, {"url": "https://evil.example.com/"}, name="booking")[1]
    assert moved["has_credential"] is False


@pytest.mark.parametrize(
    ("name", "given", "status"),
    [
        ("x", {}, 422),
        ("x", {"kind": "mcp"}, 422),
        ("x", {"kind": "own"}, 422),
        ("lead_capture", {"kind": "mcp"}, 409),
        ("lead_capture", {"credential": "c"}, 422),
        ("lead_capture", {"tools": ["a"]}, 422),
        ("lead_capture", {"tools": ["a"], "chatbot": "harbour-dental"}, 404),
        ("lead_capture", {"tools": "a", "chatbot": "bicis-ribera"}, 422),
        ("Lead Capture", {"is_enabled": True}, 422),
    ],
)
def test_an_integration_that_cannot_be_is_refused(office: Office, name: str, given: dict, status: int) -> None:
    assert office.call("save_integration", BICIS_KEY, given, name=name)[0] == status


# What happened ----------------------------------------------------------------------------------


def test_conversations_show_states_and_no_words(office: Office) -> None:
    for person in range(3):
        office.rows(
            "with k as (insert into contacts (organization_id, wa_id, profile_name) values (%s, %s, 'Ana')"
            " returning *),"
            " c as (insert into conversations (organization_id, chatbot_id, phone_number_id, contact_id, created_at)"
            " select k.organization_id, b.id, '100000000000001', k.id, now() + make_interval(secs => %s) from k"
            " join chatbots b using (organization_id) returning *)"
            " insert into messages (organization_id, conversation_id, direction, author, body)"
            " select organization_id, id, 'in', 'contact', 'my secret' from c returning id",
            BICIS,
            f"3460011122{person}",
            person,
        )
    _, first = office.call("list_conversations", BICIS_KEY, {"limit": "2"})
    _, second = office.call("list_conversations", BICIS_KEY, {"limit": 2, "after": first["next"]})
    rows = first["conversations"] + second["conversations"]
    assert [row["contact"] for row in rows] == ["1222", "1221", "1220"] and second["next"] is None
    assert rows[0]["messages"] == 1 and rows[0]["mode"] == "bot"
    assert "secret" not in json.dumps(rows) and "Ana" not in json.dumps(rows)
    assert office.call("list_conversations", BICIS_KEY, {"mode": "person"})[1]["conversations"] == []
    assert office.call("list_conversations", BICIS_KEY, {"chatbot": "nope"})[1]["conversations"] == []
    assert office.call("list_conversations", DENTAL_KEY)[1]["conversations"] == []


def test_december_ends_in_january(office: Office) -> None:
    assert office.call("list_usage", BICIS_KEY, {"month": "2026-12"})[1]["messages"]["received"] == 0


def test_every_call_leaves_one_record_that_the_tenant_can_read(office: Office) -> None:
    office.graph.numbers["EAAsecret"] = [(NUMBER_ID, NUMBER["waba_id"])]
    _, key = office.call("create_api_key", BICIS_KEY, {"name": "k", "scopes": ["admin"]})
    office.call("rotate_api_key", BICIS_KEY, {}, id=key["id"])
    office.call("revoke_api_key", BICIS_KEY, {}, id=key["id"])
    office.call("save_chatbot", BICIS_KEY, NEW_BOT, slug="second")
    connect(office)
    office.call("save_integration", BICIS_KEY, {"is_enabled": False}, name="lead_capture")
    office.call("set_plan", OPERATOR, {"organization": BICIS, "plan": "free"})
    for action in ("show_organization", "list_organizations", "list_conversations", "list_usage"):
        office.call(action, BICIS_KEY)
    entries = office.call("list_audit_log", BICIS_KEY)[1]["entries"]
    assert [entry["action"] for entry in reversed(entries)] == [
        *("create_api_key", "rotate_api_key", "revoke_api_key", "save_chatbot", "connect_number", "save_integration"),
        *("set_plan", "show_organization", "list_organizations", "list_conversations", "list_usage"),
    ]
    page = office.call("list_audit_log", BICIS_KEY, {"limit": 2, "before": entries[3]["id"]})[1]
    assert [entry["id"] for entry in page["entries"]] == [entries[4]["id"], entries[5]["id"]]
    assert office.call("list_audit_log", DENTAL_KEY)[1]["entries"] == []


def test_a_run_that_saw_a_secret_is_erased(office: Office) -> None:
    assert office.form("erase_run", job_id="some-id") == {"erased": "some-id"}
    assert office.windmill.erased == ["some-id"]
