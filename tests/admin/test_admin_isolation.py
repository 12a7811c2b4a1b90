"""No route shows or changes another tenant's rows, whatever ids it is given."""

from typing import Any

import psycopg
import pytest
from office import ACTIONS, BICIS, BICIS_KEY, DENTAL, DENTAL_KEY, KNOWLEDGE_KEY, OPERATOR, Office
from psycopg import sql
from systems import Database

from f.lib.database import connect, tenant

NUMBER_ID = "100000000000002"
DENTALS = {"slug": "harbour-dental", "chatbot": "2b2c2d2e-0000-4000-8000-000000000002"}
TABLES = (
    "organizations chatbots whatsapp_numbers api_keys org_integrations chatbot_tools contacts conversations messages"
    " pricing_tiers qualification_questions alert_channels"
).split()

#: For each action, calls that name what is Harbour Dental's: body and path, and the statuses that refuse or miss it.
ATTEMPTS: dict[str, list[tuple[dict[str, Any], dict[str, str], set[int]]]] = {
    "create_organization": [({"slug": "harbour-dental", "name": "x"}, {}, {403})],
    "list_organizations": [({"after": "a"}, {}, {200})],
    "show_organization": [({"organization": DENTAL}, {}, {403}), ({"organization": "harbour-dental"}, {}, {403})],
    "set_plan": [({"organization": DENTAL, "plan": "free"}, {}, {403})],
    "save_chatbot": [
        ({"organization": DENTAL, "name": "x"}, {"slug": "harbour-dental"}, {403}),
        ({"name": "x"}, {"slug": "harbour-dental"}, {422}),
    ],
    "connect_number": [
        (
            {"waba_id": "200000000000002", "chatbot": "bicis-ribera", "access_token": "EAAdental"},
            {"phone_number_id": NUMBER_ID},
            {409},
        ),
        (
            {"waba_id": "200000000000002", "chatbot": "harbour-dental", "access_token": "EAAdental"},
            {"phone_number_id": NUMBER_ID},
            {404},
        ),
        (
            {"organization": DENTAL, "waba_id": "200000000000002", "chatbot": "x", "access_token": "EAAdental"},
            {"phone_number_id": NUMBER_ID},
            {403},
        ),
    ],
    "save_integration": [
        ({"organization": DENTAL, "is_enabled": False}, {"name": "lead_capture"}, {403}),
        ({"chatbot": "harbour-dental", "tools": ["x"]}, {"name": "lead_capture"}, {404}),
        ({"is_enabled": False}, {"name": "dentals_own"}, {422}),
    ],
    "set_prices": [({"organization": DENTAL, "prices": []}, {}, {403})],
    "save_channel": [
        ({"organization": DENTAL, "email": "a@b.example"}, {"name": "reception"}, {403}),
        ({"is_enabled": True}, {"name": "reception"}, {422}),
        ({"operators": True, "email": "a@b.example"}, {"name": "reception"}, {403}),
    ],
    "create_api_key": [({"organization": DENTAL, "name": "x", "scopes": ["admin"]}, {}, {403})],
    "rotate_api_key": [({}, {"id": "KEY"}, {404}), ({"organization": DENTAL}, {"id": "KEY"}, {403})],
    "revoke_api_key": [({}, {"id": "KEY"}, {404}), ({"organization": DENTAL}, {"id": "KEY"}, {403})],
    "list_conversations": [
        ({"organization": DENTAL}, {}, {403}),
        ({"chatbot": "harbour-dental"}, {}, {200}),
        ({"after": "CONVERSATION"}, {}, {200}),
    ],
    "list_usage": [({"organization": DENTAL}, {}, {403})],
    "list_audit_log": [
        ({"organization": DENTAL}, {}, {403}),
        ({"before": 999999}, {}, {200}),
        ({"operators": True}, {}, {403}),
    ],
}
CASES = [
    pytest.param(action, *attempt, id=f"{action}-{place}")
    for action, attempts in ATTEMPTS.items()
    for place, attempt in enumerate(attempts)
]


@pytest.fixture
def dental(office: Office) -> Office:
    """Harbour Dental has a bit of everything, and its number's token is known to the caller, the worst case."""
    office.graph.numbers["EAAdental"] = [(NUMBER_ID, "200000000000002")]
    office.call("save_integration", DENTAL_KEY, {"kind": "mcp", "url": "https://d.example.com"}, name="dentals_own")
    office.call("save_channel", DENTAL_KEY, {"email": "reception@dental.example"}, name="reception")
    office.rows(
        "with k as (insert into contacts (organization_id, wa_id) values (%s, '441') returning *)"
        " insert into conversations (organization_id, chatbot_id, phone_number_id, contact_id)"
        " select k.organization_id, %s, %s, k.id from k returning id",
        DENTAL,
        DENTALS["chatbot"],
        NUMBER_ID,
    )
    return office


def of_dental(office: Office) -> dict[str, Any]:
    """All rows of Harbour Dental."""
    query = "select * from {} where organization_id = %s order by 1, 2"
    return {
        name: office.owner.execute(sql.SQL(query).format(sql.Identifier(name)), [DENTAL]).fetchall() for name in TABLES
    }


def test_every_route_is_tried() -> None:
    assert set(ATTEMPTS) == set(ACTIONS)


@pytest.mark.parametrize(("action", "given", "params", "statuses"), CASES)
def test_another_tenants_ids_lead_nowhere(
    dental: Office, action: str, given: dict, params: dict, statuses: set[int]
) -> None:
    ids = {
        "KEY": str(dental.rows("select id from api_keys where organization_id = %s", DENTAL)[0]["id"]),
        "CONVERSATION": str(dental.rows("select id from conversations")[0]["id"]),
    }
    given = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in given.items()}
    before, secrets = of_dental(dental), dict(dental.windmill.secrets)
    status, answer = dental.call(action, BICIS_KEY, given, **{n: ids.get(v, v) for n, v in params.items()})
    assert status in statuses, answer
    assert of_dental(dental) == before and dental.windmill.secrets == secrets
    told = str(answer).lower()
    assert not [word for word in (DENTAL, "dental", *ids.values()) if word in told]
    assert dental.rows("select 1 from audit_log where organization_id = %s and actor_kind = 'api_key'"
                       " and action not in ('save_integration', 'save_channel')", DENTAL) == []  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
def test_every_route_wants_a_key_with_the_scope(office: Office, action: str) -> None:
    assert office.call(action, None)[0] == 401
    assert office.call(action, "mr_wrong")[0] == 401
    assert office.call(action, KNOWLEDGE_KEY)[0] == 403
    assert office.audit() == []


def test_an_operators_key_opens_nothing_for_tenants_alone(office: Office) -> None:
    """A hash that is no organisation's is an operator's only if the operators' table has it."""
    office.rows("update operator_keys set revoked_at = now() returning id")
    assert office.call("list_organizations", OPERATOR)[0] == 401


# The role manager -------------------------------------------------------------------------------


@pytest.fixture
def manager(seeded_database: Database) -> Any:
    with connect(seeded_database.manager_resource) as connection:
        yield connection


@pytest.mark.parametrize("table", TABLES)
def test_the_database_itself_shows_one_organisation(manager: Any, table: str) -> None:
    query = sql.SQL("select organization_id::text from {} group by 1").format(sql.Identifier(table))
    assert manager.execute(query).fetchall() == []
    with tenant(manager, BICIS):
        assert manager.execute(query).fetchall() in ([], [{"organization_id": BICIS}])


@pytest.mark.parametrize(
    "statement",
    [
        "delete from api_keys",
        "update api_keys set scopes = '{admin}'",
        "update api_keys set key_hash = repeat('0', 64)",
        "delete from organizations",
        "update audit_log set actor = 'x'",
        "delete from audit_log",
        "select * from operator_keys",
        "insert into operator_keys (name, key_prefix, key_hash) values ('x', 'x', repeat('0', 64))",
        "select body from messages",
        "select payload from webhook_events",
        "select profile_name from contacts",
        "update plans set monthly_messages = 1",
        "update conversations set mode = 'person'",
        "insert into organizations (slug, name, plan_code) values ('x', 'x', 'free')",
        f"update chatbots set organization_id = '{DENTAL}'",
        f"insert into audit_log (organization_id, actor_kind, actor, action, target)"
        f" values ('{DENTAL}', 'windmill', 'x', 'x', 'x')",
        "insert into alert_channels (name, kind, target) values ('x', 'email', 'a@b.example')",
    ],
)
def test_the_role_manager_may_do_no_more_than_it_must(manager: Any, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant(manager, BICIS):
        manager.execute(statement)


def test_a_transaction_for_a_tenant_sees_nothing_of_the_operators(office: Office, manager: Any) -> None:
    office.call("save_channel", OPERATOR, {"operators": True, "email": "a@b.example"}, name="on_call")
    for statement in ("select 1 from alert_channels", "select 1 from audit_log where organization_id is null"):
        assert len(manager.execute(statement).fetchall()) == 1
        with tenant(manager, BICIS):
            assert manager.execute(statement).fetchall() == []


def test_scripts_that_read_customers_words_cannot_use_any_of_it(seeded_database: Database) -> None:
    with connect(seeded_database.app_resource) as app:
        for statement in (
            "select * from operator_keys",
            "select * from route_operator_key('x')",
            "select route_organization('bicis-ribera')",
            "select * from known_organizations('', 10)",
            "insert into audit_log (actor_kind, actor, action, target) values ('windmill', 'x', 'x', 'x')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant(app, BICIS):
                app.execute(statement)
