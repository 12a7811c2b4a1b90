"""Whoever asks, the database shows one organisation at a time."""

import psycopg
import pytest
from psycopg import sql

from f.lib.alerts import raise_alert
from f.lib.database import connect, tenant

BICIS = "11111111-1111-4111-8111-111111111111"
DENTAL = "22222222-2222-4222-8222-222222222222"

TENANT_TABLES = """
select c.relname as name, c.relrowsecurity as enabled, c.relforcerowsecurity as forced,
       array(select polname::text from pg_policy p where p.polrelid = c.oid order by 1) as policies
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id'
where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace order by 1
"""


@pytest.fixture
def app(seeded_database):
    with connect(seeded_database.app_resource) as connection:
        yield connection


@pytest.fixture
def owner(seeded_database):
    with psycopg.connect(seeded_database.owner_url, autocommit=True) as connection:
        yield connection


def test_a_refused_connection_does_not_show_its_password(seeded_database):
    """Windmill keeps the attributes of an exception with the run."""
    values = {**seeded_database.app_resource, "port": 1}
    with pytest.raises(psycopg.OperationalError) as caught, connect(values):
        pass
    assert not vars(caught.value)


def test_every_table_with_an_organization_has_forced_row_level_security(app):
    tables = app.execute(TENANT_TABLES).fetchall()
    assert len(tables) >= 12
    for table in tables:
        assert table["enabled"] and table["forced"], table["name"]
        assert {"owner_all", "tenant", "backup_read"} <= set(table["policies"]), table["name"]


def test_without_an_organization_nothing_is_visible(app):
    for table in app.execute(TENANT_TABLES).fetchall():
        query = sql.SQL("select count(*) as n from {}").format(sql.Identifier(table["name"]))
        assert app.execute(query).fetchone()["n"] == 0, table["name"]


def test_one_organization_sees_its_own_rows_only(app):
    for organization, slug in ((BICIS, "bicis-ribera"), (DENTAL, "harbour-dental")):
        with tenant(app, organization):
            assert [row["slug"] for row in app.execute("select slug from organizations")] == [slug]
            assert [row["slug"] for row in app.execute("select slug from chatbots")] == [slug]
    assert app.execute("select count(*) as n from chatbots").fetchone()["n"] == 0, "bound to the transaction only"


def test_writing_for_another_organization_is_refused(app):
    with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant(app, BICIS):
        app.execute("insert into contacts (organization_id, wa_id) values (%s, '1')", [DENTAL])
    with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant(app, BICIS):
        raise_alert(app, DENTAL, "kind", "subject", {})


def test_a_row_cannot_point_into_another_organization(app):
    with tenant(app, BICIS):
        contact = app.execute(
            "insert into contacts (organization_id, wa_id) values (%s, '1') returning id", [BICIS]
        ).fetchone()
    with pytest.raises(psycopg.errors.ForeignKeyViolation), tenant(app, DENTAL):
        app.execute(
            "insert into conversations (organization_id, chatbot_id, phone_number_id, contact_id)"
            " select organization_id, id, '100000000000002', %s from chatbots",
            [contact["id"]],
        )


@pytest.mark.parametrize(
    "table", ["organizations", "chatbots", "whatsapp_numbers", "api_keys", "plans", "chatbot_tools"]
)
def test_scripts_cannot_change_settings(app, table):
    with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant(app, BICIS):
        app.execute(sql.SQL("delete from {}").format(sql.Identifier(table)))
    if table != "plans":
        with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant(app, BICIS):
            app.execute(sql.SQL("update {} set created_at = now()").format(sql.Identifier(table)))


def test_scripts_may_change_of_a_number_only_whether_it_is_held(app):
    with tenant(app, BICIS):
        assert app.execute("update whatsapp_numbers set held_since = now(), held_reason = 'x'").rowcount == 1
    with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant(app, BICIS):
        app.execute("update whatsapp_numbers set access_token_path = 'u/evil/token'")


def test_the_roles_are_what_the_design_says(owner):
    roles = owner.execute(
        "select rolname, rolsuper, rolbypassrls, rolcanlogin from pg_roles"
        " where rolname in ('owner', 'app', 'router', 'backup')"
    ).fetchall()
    assert len(roles) == 4
    assert not any(is_super or bypasses for _, is_super, bypasses, _ in roles)
    assert {name for name, _, _, logs_in in roles if not logs_in} >= {"router"}
    assert owner.execute("select count(*) from pg_tables where tableowner = 'app'").fetchone() == (0,)
    assert not owner.execute(
        "select pg_has_role('app', 'owner', 'member') or pg_has_role('app', 'router', 'member')"
    ).fetchone()[0]


def test_routing_gives_ids_and_nothing_else(app, owner):
    assert [str(v) for v in app.execute("select * from route_number('100000000000001')").fetchone().values()] == [
        BICIS,
        "demo-app",
    ]
    assert app.execute("select * from route_number('nope')").fetchone() is None
    assert str(app.execute("select route_waba('200000000000002', 'demo-app') as id").fetchone()["id"]) == DENTAL
    assert app.execute("select route_waba('200000000000002', 'other') as id").fetchone()["id"] is None
    functions = owner.execute(
        "select p.proname, r.rolname, p.prosecdef, p.proconfig from pg_proc p join pg_roles r on r.oid = p.proowner"
        " where p.prosecdef and p.pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert len(functions) >= 8
    for name, role, _, config in functions:
        assert role == "router" and config == ["search_path=pg_catalog, public"], name


def test_an_account_shared_by_two_organizations_routes_to_neither(app, owner):
    owner.execute("update whatsapp_numbers set waba_id = 'shared'")
    assert app.execute("select route_waba('shared', 'demo-app') as id").fetchone()["id"] is None


def test_an_api_key_opens_its_organization_until_it_is_revoked_or_expires(app, owner):
    for number, state in enumerate(("null, null", "now() - interval '1 s', null", "null, now()")):
        owner.execute(
            "insert into api_keys (organization_id, name, key_prefix, key_hash, scopes, expires_at, revoked_at)"
            f" values ('{BICIS}', 'k', 'mr_', repeat('{number}', 64), '{{knowledge}}', {state})"
        )
    found = [
        app.execute("select organization_id from route_api_key(repeat(%s, 64))", [str(n)]).fetchone() for n in range(4)
    ]
    assert [bool(row) for row in found] == [True, False, False, False]


def test_alerts_are_counted_not_repeated(app):
    with tenant(app, BICIS):
        for _ in range(3):
            raise_alert(app, BICIS, "model_failed", "m", {"reason": "x"})
        raise_alert(app, None, "sweep_failed", "", {})
        rows = app.execute("select kind, occurrences from system_alerts order by kind").fetchall()
    assert rows == [{"kind": "model_failed", "occurrences": 3}, {"kind": "sweep_failed", "occurrences": 1}]
    with tenant(app, DENTAL):
        assert [r["kind"] for r in app.execute("select kind from system_alerts")] == ["sweep_failed"]


def test_backup_reads_everything(owner, seeded_database):
    with owner.transaction():
        owner.execute("grant backup to owner")
        owner.execute("set local role backup")
        assert owner.execute("select count(*) from chatbots").fetchone() == (2,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), owner.transaction():
            owner.execute("delete from chatbots")
