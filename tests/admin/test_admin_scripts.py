"""The admin scripts against a real PostgreSQL, a Windmill and a Graph API over HTTP."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from office import BICIS, BICIS_KEY, DENTAL, DENTAL_KEY, KNOWLEDGE_KEY, OPERATOR, Office, error, hashed

from f.lib.http import ApiError

NEW_BOT = {"name": "Bot", "language": "en", "persona": "Kind.", "fallback_text": "Later."}
NUMBER = {"waba_id": "200000000000009", "chatbot": "bicis-ribera", "access_token": "EAAsecret"}
NUMBER_ID = "100000000000009"


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
    assert office.call("set_plan", OPERATOR, {"organization": BICIS, "plan": "pro", **own})[0] == 200
    shown = office.call("show_organization", BICIS_KEY)[1]
    assert {name: shown[name] for name in own} == own
    for name in own:
        wrong = {"organization": BICIS, "plan": "pro", name: 10**16}
        assert office.call("set_plan", OPERATOR, wrong)[0] == 422
    office.call("set_plan", OPERATOR, {"organization": BICIS, "plan": "free"})
    assert office.call("show_organization", BICIS_KEY)[1]["knowledge_sources"] == 20


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


@pytest.mark.parametrize(
    "given",
    [
        {"model_resource_path": "f/agent/other"},
        {"embedding_model": "text-embedding-3-small", "embedding_resource_path": "f/agent/other"},
        {"fallback_models": [{"provider": "openai", "name": "x", "resource_path": "f/agent/other"}]},
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


# Numbers ----------------------------------------------------------------------------------------


@pytest.fixture
def number(office: Office) -> Office:
    """A number of Meta's that the token may use."""
    office.graph.numbers["EAAsecret"] = [(f"90000{n}", NUMBER["waba_id"]) for n in range(3)]
    office.graph.numbers["EAAsecret"].append((NUMBER_ID, NUMBER["waba_id"]))
    return office


def connect(office: Office, key: str = BICIS_KEY, **changes: Any) -> tuple[int, dict]:
    return office.call("connect_number", key, NUMBER | changes, phone_number_id=NUMBER_ID)


def test_a_number_is_checked_subscribed_and_kept_with_its_token(number: Office) -> None:
    status, answer = connect(number)
    assert (status, answer["is_new"], answer["verified_name"]) == (200, True, "Shop")
    assert number.graph.subscribed == [NUMBER["waba_id"]]
    path = f"f/whatsapp/{BICIS}/access_token_{NUMBER_ID}"
    assert number.windmill.secrets == {path: "EAAsecret"}
    row = number.rows("select * from whatsapp_numbers where phone_number_id = %s", NUMBER_ID)[0]
    assert (row["access_token_path"], row["app_id"]) == (path, "demo-app")
    assert number.windmill.queued[0][0] == "f/admin/erase_run"


def test_the_token_is_stored_in_no_run_answer_or_record(number: Office) -> None:
    answers = [connect(number)[1]]
    assert "EAAsecret" not in number.stored
    number.graph.reactions["/subscribed_apps"] = error(190, 401)
    answers.append(connect(number)[1])
    assert "EAAsecret" not in json.dumps(answers, default=str)
    assert "EAAsecret" not in json.dumps(number.rows("select * from audit_log"), default=str)


def test_connecting_again_changes_chatbot_and_token(number: Office) -> None:
    connect(number)
    number.call("save_chatbot", BICIS_KEY, NEW_BOT, slug="second")
    number.graph.numbers["EAAnew"] = number.graph.numbers["EAAsecret"]
    status, answer = connect(number, access_token="EAAnew", chatbot="second", app_id="other-app")
    assert (status, answer["is_new"], answer["app_id"]) == (200, False, "other-app")
    assert list(number.windmill.secrets.values()) == ["EAAnew"]


def test_a_number_of_another_tenant_is_refused_and_nothing_is_told_or_changed(number: Office) -> None:
    connect(number)
    before = number.rows("select * from whatsapp_numbers order by 1")
    status, answer = connect(number, DENTAL_KEY, chatbot="harbour-dental")
    assert (status, answer["error"]["code"]) == (409, "number_taken")
    assert not {BICIS, "bicis", "Bicis"} & set(json.dumps(answer).replace('"', " ").split())
    assert number.rows("select * from whatsapp_numbers order by 1") == before
    assert list(number.windmill.secrets) == [f"f/whatsapp/{BICIS}/access_token_{NUMBER_ID}"]


def test_whether_a_number_is_taken_is_told_to_those_only_who_may_use_it(number: Office) -> None:
    connect(number)
    status, answer = connect(number, DENTAL_KEY, chatbot="harbour-dental", access_token="EAAwrong")
    assert (status, answer["error"]["code"]) == (422, "whatsapp_token_refused")


@pytest.mark.parametrize(
    ("where", "reaction", "status", "code"),
    [
        (NUMBER_ID, error(190, 401), 422, "whatsapp_token_refused"),
        (NUMBER_ID, error(100, 400), 422, "whatsapp_number_unknown"),
        (NUMBER_ID, (200, {"id": "1"}), 422, "whatsapp_number_unknown"),
        ("/phone_numbers", error(100, 400), 422, "whatsapp_account_unknown"),
        ("/phone_numbers", (200, {"data": []}), 422, "whatsapp_number_elsewhere"),
        ("/phone_numbers", (200, {"data": "odd", "paging": None}), 422, "whatsapp_number_elsewhere"),
        ("/subscribed_apps", error(200, 403), 422, "whatsapp_permission_missing"),
        ("/subscribed_apps", error(10, 403), 422, "whatsapp_permission_missing"),
        ("/subscribed_apps", (200, {"success": False}), 502, "whatsapp_refused"),
        (NUMBER_ID, error(4, 400), 503, "whatsapp_busy"),
        (NUMBER_ID, (502, "<html>oops</html>"), 503, "whatsapp_busy"),
        (NUMBER_ID, (200, "<html>login</html>"), 502, "whatsapp_refused"),
        (NUMBER_ID, (200, "[]"), 502, "whatsapp_refused"),
        (NUMBER_ID, error(999, 400), 502, "whatsapp_refused"),
    ],
)
def test_what_meta_refuses_is_told_clearly_and_keeps_nothing(
    number: Office, where: str, reaction: tuple[int, Any], status: int, code: str
) -> None:
    number.graph.reactions[where] = reaction
    told, answer = connect(number)
    assert (told, answer["error"]["code"]) == (status, code)
    assert "EAAsecret" not in json.dumps(answer)
    assert number.windmill.secrets == {}
    assert number.rows("select 1 from whatsapp_numbers where phone_number_id = %s", NUMBER_ID) == []


def test_meta_cannot_be_reached(number: Office) -> None:
    number.windmill.resources["f/whatsapp/cloud_api"] = {"base_url": "http://127.0.0.1:1", "app_id": "a"}
    assert connect(number)[1]["error"]["code"] == "whatsapp_unreachable"


def test_a_token_that_windmill_does_not_keep_connects_nothing(number: Office) -> None:
    number.windmill.fails_with["variables/create"] = 500
    assert connect(number)[1]["error"]["code"] == "unavailable"
    assert number.rows("select 1 from whatsapp_numbers where phone_number_id = %s", NUMBER_ID) == []
    assert [action for action, _ in number.audit()] == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"access_token": None}, 422),
        ({"access_token": "two words"}, 422),
        ({"access_token": "naïve"}, 422),
        ({"waba_id": "../me"}, 422),
        ({"chatbot": "harbour-dental"}, 404),
        ({"app_id": "a b"}, 422),
    ],
)
def test_what_is_wrong_before_meta_is_asked(number: Office, changes: dict, status: int) -> None:
    assert connect(number, **changes)[0] == status
    assert number.graph.subscribed == []


def test_without_an_app_of_the_installation_it_must_be_named(number: Office) -> None:
    number.graph.resource["app_id"] = ""
    assert connect(number)[1]["error"]["message"].startswith("app_id: is missing")
    assert connect(number, app_id="app")[0] == 200


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


# Keys -------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_only_its_hash_is_kept(office: Office) -> None:
    status, made = office.call("create_api_key", BICIS_KEY, {"name": "k", "scopes": ["admin"], "expires_in_days": 1})
    assert status == 201 and made["key"].startswith("mr_")
    assert office.call("show_organization", made["key"])[0] == 200
    everything = json.dumps(
        [office.rows("select * from api_keys"), office.rows("select * from audit_log")], default=str
    )
    assert made["key"] not in everything and hashed(made["key"]) in everything
    assert office.windmill.queued[0][0] == "f/admin/erase_run"
    shown = office.call("show_organization", BICIS_KEY)[1]["api_keys"]
    assert {"key", "key_hash"} & shown[-1].keys() == set()


def test_no_key_is_made_whose_showing_could_not_be_erased(office: Office) -> None:
    office.windmill.fails_with["jobs/run"] = 500
    assert office.call("create_api_key", BICIS_KEY, {"name": "k", "scopes": ["admin"]})[0] == 503
    assert office.rows("select 1 from api_keys where name = 'k'") == []


def test_rotation_overlaps_and_revocation_is_at_once(office: Office) -> None:
    _, old = office.call("create_api_key", BICIS_KEY, {"name": "k", "scopes": ["admin"]})
    status, new = office.call("rotate_api_key", BICIS_KEY, {"overlap_hours": 1}, id=old["id"])
    assert (status, new["name"], new["scopes"], new["replaces"]) == (201, "k", ["admin"], old["id"])
    assert [office.call("list_usage", key["key"])[0] for key in (old, new)] == [200, 200]
    office.rows("update api_keys set expires_at = now() where id = %s returning id", old["id"])
    assert [office.call("list_usage", key["key"])[0] for key in (old, new)] == [401, 200]
    assert office.call("rotate_api_key", BICIS_KEY, {}, id=old["id"])[0] == 409
    assert office.call("revoke_api_key", BICIS_KEY, {}, id=new["id"])[0] == 200
    assert office.call("list_usage", new["key"])[0] == 401
    assert office.call("revoke_api_key", BICIS_KEY, {}, id=new["id"])[0] == 200, "again"


def test_rotation_never_makes_an_old_key_last_longer(office: Office) -> None:
    _, old = office.call("create_api_key", BICIS_KEY, {"name": "k", "scopes": ["admin"], "expires_in_days": 1})
    _, new = office.call("rotate_api_key", BICIS_KEY, {"overlap_hours": 720}, id=old["id"])
    assert new["old_key_expires_at"] == old["expires_at"]
    query = "select valid_days, expires_at - now() > interval '23 hours' as lasts from api_keys where id = %s"
    assert office.rows(query, new["id"]) == [{"valid_days": 1, "lasts": True}]
    assert office.call("rotate_api_key", BICIS_KEY, {"overlap_hours": 0}, id=new["id"])[0] == 201
    assert office.call("list_usage", new["key"])[0] == 401


@pytest.mark.parametrize(
    "given",
    [
        {"name": "k"},
        {"name": "k", "scopes": []},
        {"name": "k", "scopes": ["operator"]},
        {"name": "k", "scopes": "admin"},
        {"scopes": ["admin"]},
        {"name": "k", "scopes": ["admin"], "expires_in_days": 0},
    ],
)
def test_a_key_that_cannot_be_is_refused(office: Office, given: dict) -> None:
    assert office.call("create_api_key", BICIS_KEY, given)[0] == 422


def test_a_key_revoked_while_its_request_runs_changes_nothing(office: Office) -> None:
    office.graph.numbers["EAAsecret"] = [(NUMBER_ID, NUMBER["waba_id"])]
    office.graph.before_answer = lambda: office.rows(
        "update api_keys set revoked_at = now() where key_hash = %s returning id", hashed(BICIS_KEY)
    )
    status, answer = connect(office)
    assert status == 401 and "nothing was changed" in answer["error"]["message"]
    assert office.rows("select 1 from whatsapp_numbers where phone_number_id = %s", NUMBER_ID) == []
    assert office.windmill.secrets == {} and office.audit() == []


@pytest.mark.parametrize(("key", "table"), [(BICIS_KEY, "api_keys"), (OPERATOR, "operator_keys")])
def test_a_revocation_waits_for_the_change_that_has_begun(office: Office, key: str, table: str) -> None:
    office.graph.numbers["EAAsecret"] = [(NUMBER_ID, NUMBER["waba_id"])]
    refused = []

    def revoke() -> None:
        with office.owner.transaction():
            office.owner.execute("set local lock_timeout = '300ms'")
            try:
                with office.owner.transaction():
                    office.rows(f"update {table} set revoked_at = now() where key_hash = %s returning id", hashed(key))
            except psycopg.errors.LockNotAvailable:
                refused.append(True)

    office.windmill.before_secret = revoke
    assert connect(office, key, organization="bicis-ribera")[0] == 200
    assert refused == [True]


# Who calls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "", "mr_unknown", "$var:f/admin/database_password"])
def test_without_a_valid_key_nothing_is_told(office: Office, key: str | None) -> None:
    for given in ({}, {"nonsense": 1}, "{"):
        status, answer = office.call("save_chatbot", key, given, slug="x")
        assert (status, answer["error"]["code"]) == (401, "unauthorized")
    assert office.audit() == []


def test_a_key_without_the_scope_is_refused(office: Office) -> None:
    assert office.call("list_usage", KNOWLEDGE_KEY)[1]["error"]["code"] == "missing_scope"


def test_operators_say_for_whom(office: Office) -> None:
    assert office.call("list_usage", OPERATOR)[0] == 422
    assert office.call("list_usage", OPERATOR, {"organization": "nobody"})[0] == 404
    assert office.call("list_usage", OPERATOR, {"organization": str(uuid4())})[0] == 404


def test_a_body_that_is_no_object_of_known_arguments(office: Office) -> None:
    for sent in ("{", '{"nonsense": 1}'):
        status, answer = office.call("list_usage", BICIS_KEY, sent)
        assert (status, answer["error"]["code"]) == (422, "invalid_request")


def test_in_the_form_a_windmill_user_is_an_operator_and_errors_fail_the_run(office: Office) -> None:
    made = office.form("create_organization", slug="third", name="Third")
    assert made["plan"] == "free"
    with pytest.raises(ApiError, match="organization: is missing"):
        office.form("list_usage")
    logged = office.rows("select actor_kind, actor, job_id is not null as has_job from audit_log")
    assert logged == [{"actor_kind": "windmill", "actor": "ada", "has_job": True}]


def test_the_database_or_windmill_is_away(office: Office) -> None:
    office.windmill.resources["f/admin/database"] = office.windmill.resources["f/admin/database"] | {"port": 1}
    assert office.call("list_usage", BICIS_KEY)[1]["error"]["code"] == "unavailable"
    office.windmill.fails_with["resources"] = 500
    assert office.call("list_usage", BICIS_KEY)[0] == 503


def test_a_fault_of_ours_tells_nothing_of_our_insides(office: Office) -> None:
    office.owner.execute("set role owner")
    office.owner.execute("alter table usage_logs rename to usage_logs_gone")
    status, answer = office.call("list_usage", BICIS_KEY)
    assert (status, answer["error"]["code"]) == (500, "internal")
    assert "usage_logs" not in json.dumps(answer)


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


def test_organization_of_a_key(office: Office) -> None:
    for name in (DENTAL, "harbour-dental", "nobody", str(uuid4())):
        status, answer = office.call("list_usage", BICIS_KEY, {"organization": name})
        assert (status, answer["error"]["code"]) == (403, "other_organization"), "the same, whether it exists or not"
    for name in (BICIS, "bicis-ribera"):
        assert office.call("list_usage", BICIS_KEY, {"organization": name})[0] == 200
