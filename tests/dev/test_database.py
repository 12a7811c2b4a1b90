"""db/manage.py and db/verify.py: making, migrating and checking a database."""

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from systems import PASSWORDS, Database

from db import manage, server, verify
from local.credentials import APP_ID, DEMO1, DEMO2
from local.postgres import Cluster
from local.postgres_files import packaged_binaries

PG_DUMP = packaged_binaries() / "pg_dump"


@pytest.fixture
def empty_url(cluster: Cluster, make_database: Callable[..., Database]) -> str:
    """The address of a database with nothing in it, as its owner."""
    database = make_database()
    server.drop_database(database.owner_url)
    server.create_database(database.owner_url)
    return database.owner_url


def statement(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text)


def test_create_sql_equals_all_migrations(empty_url: str, make_database: Callable[..., Database]) -> None:
    manage.migrate(empty_url)
    created = make_database(seeded=False)
    assert verify.dump_schema(empty_url, PG_DUMP) == verify.dump_schema(created.owner_url, PG_DUMP)


def test_a_new_database_verifies(seeded_database: Database) -> None:
    assert verify.problems(seeded_database.owner_url, PG_DUMP) == []


def test_an_empty_database_does_not_verify(empty_url: str) -> None:
    assert verify.problems(empty_url, PG_DUMP) == ["the database has no schema of ours: ./dev db migrate"]


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("alter table contacts no force row level security", "table contacts: row-level security is not enabled"),
        ("alter table messages disable row level security", "table messages: row-level security is not enabled"),
        ("drop policy backup_read on outbox", "table outbox: no policy for backup"),
        ("alter table contacts add column note text", "schema: +    note text"),
        ("drop view turn_details", "schema: -CREATE VIEW public.turn_details"),
        ("create table notes (id integer)", "schema: +CREATE TABLE public.notes"),
        (
            "grant delete on messages to app",
            "schema: +GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.messages TO app;",
        ),
        ("delete from schema_migrations", "not applied: 0001_initial.sql"),
        ("update schema_migrations set sha256 = 'x'", "0001_initial.sql was changed after it was applied"),
        ("insert into schema_migrations values (9999, 'later', 'x')", "migrations that are not in migrations/: [9999]"),
    ],
)
def test_verify_names_what_differs(seeded_database: Database, change: str, finding: str) -> None:
    statement(seeded_database.owner_url, change)
    problems = verify.problems(seeded_database.owner_url, PG_DUMP)
    assert any(finding in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("change", "undo", "finding"),
    [
        ("alter role app bypassrls", "alter role app nobypassrls", "role app goes past row-level security"),
        ("alter role app createdb", "alter role app nocreatedb", "role app may create databases"),
        ("alter role router login", "alter role router nologin", "role router may log in"),
        (
            "grant pg_read_all_data to app",
            "revoke pg_read_all_data from app",
            "role app is a member of pg_read_all_data",
        ),
    ],
)
def test_verify_checks_the_roles(
    cluster: Cluster, seeded_database: Database, change: str, undo: str, finding: str
) -> None:
    statement(cluster.superuser_url, change)
    try:
        assert finding in verify.problems(seeded_database.owner_url, PG_DUMP)
    finally:
        statement(cluster.superuser_url, undo)


def test_verify_leaves_no_database_behind(cluster: Cluster, seeded_database: Database) -> None:
    verify.problems(seeded_database.owner_url, PG_DUMP)
    with psycopg.connect(cluster.superuser_url) as connection:
        assert connection.execute("select from pg_database where datname like '%verify%'").fetchall() == []


def test_reset_ends_the_connections_of_scripts_and_seeds_anew(seeded_database: Database) -> None:
    statement(seeded_database.owner_url, "update plans set name = 'changed'")
    with psycopg.connect(seeded_database.app_url) as script:
        manage.reset(seeded_database.owner_url)
        with pytest.raises(psycopg.OperationalError):
            script.execute("select 1")
    with psycopg.connect(seeded_database.owner_url) as connection:
        assert connection.execute("select name from plans where code = 'pro'").fetchone() == ("Pro",)
        assert connection.execute("select pg_has_role('app', 'usage')").fetchone() == (False,)
    assert verify.problems(seeded_database.owner_url, PG_DUMP) == []


def test_reset_refuses_the_servers_own_database(cluster: Cluster) -> None:
    with pytest.raises(server.DatabaseError, match="postgres belongs to the server"):
        manage.reset(cluster.url("postgres", "owner", PASSWORDS["owner"]))


def test_migrations_are_applied_once_and_in_order(seeded_database: Database, tmp_path: Path) -> None:
    add(tmp_path, "9001_notes.sql", "set local role owner; create table notes (id integer primary key);")
    add(tmp_path, "9002_more.sql", "set local role owner; alter table notes add column body text;")
    applied = manage.migrate(seeded_database.owner_url, folder=tmp_path)
    assert [migration.version for migration in applied] == [9001, 9002]
    assert manage.migrate(seeded_database.owner_url, folder=tmp_path) == []


def test_two_migrating_at_once_apply_each_file_once(seeded_database: Database, tmp_path: Path) -> None:
    add(tmp_path, "9001_slow.sql", "set local role owner; create table slow (); select pg_sleep(0.3);")
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(len(manage.migrate(seeded_database.owner_url, folder=tmp_path))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 1]


def test_a_migration_that_fails_leaves_nothing_and_names_its_line(seeded_database: Database, tmp_path: Path) -> None:
    add(tmp_path, "9001_broken.sql", "set local role owner;\ncreate table half ();\nselect nonsense;")
    with pytest.raises(server.DatabaseError, match=r'9001_broken\.sql:3: column "nonsense" does not exist'):
        manage.migrate(seeded_database.owner_url, folder=tmp_path)
    with psycopg.connect(seeded_database.owner_url) as connection:
        assert connection.execute("select to_regclass('half')").fetchone() == (None,)


def test_a_changed_migration_is_refused(seeded_database: Database, tmp_path: Path) -> None:
    path = add(tmp_path, "9001_notes.sql", "set local role owner; create table notes ();")
    manage.migrate(seeded_database.owner_url, folder=tmp_path)
    path.write_text("select 1;")
    with pytest.raises(server.DatabaseError, match="was changed after it was applied"):
        manage.migrate(seeded_database.owner_url, folder=tmp_path)


def test_a_migration_that_comes_too_late_is_refused(seeded_database: Database, tmp_path: Path) -> None:
    add(tmp_path, "9002_third.sql", "select 1;")
    manage.migrate(seeded_database.owner_url, folder=tmp_path)
    add(tmp_path, "9001_second.sql", "select 1;")
    with pytest.raises(server.DatabaseError, match="give it a higher number"):
        manage.migrate(seeded_database.owner_url, folder=tmp_path)


def test_another_role_than_owner_may_manage_the_database(cluster: Cluster) -> None:
    """As on a managed server: the administrator is no superuser and has another name."""
    statement(cluster.superuser_url, "create role administrator login createrole createdb password 'word'")
    statement(cluster.superuser_url, "grant owner to administrator with admin true")
    url = cluster.url("of_the_administrator", "administrator", "word")
    manage.reset(url)
    try:
        assert verify.problems(url, PG_DUMP) == []
    finally:
        server.drop_database(url)


def test_a_server_of_its_own_needs_no_superuser(tmp_path: Path) -> None:
    """Where none of our roles exist yet: whoever makes them may pass on only what it was given itself."""
    with Cluster(tmp_path / "postgres", durable=False) as own:
        statement(own.superuser_url, "create role administrator login createrole createdb password 'word'")
        url = own.url("shop", "administrator", "word")
        for _ in range(2):
            manage.reset(url)
        assert verify.problems(url, PG_DUMP) == []


def test_passwords_reach_the_server_only_as_verifiers(cluster: Cluster, seeded_database: Database) -> None:
    with psycopg.connect(cluster.superuser_url) as connection:
        row = connection.execute("select rolpassword from pg_authid where rolname = 'app'").fetchone()
    assert row is not None and row[0].startswith("SCRAM-SHA-256$")
    psycopg.connect(seeded_database.app_url).close()


def test_the_demo_tenants_are_those_that_commands_name(seeded_database: Database) -> None:
    with psycopg.connect(seeded_database.owner_url) as connection:
        rows = connection.execute(
            "select organization_id::text, chatbot_id::text, phone_number_id, app_id from whatsapp_numbers order by 3"
        ).fetchall()
    assert rows == [(t.organization_id, t.chatbot_id, t.phone_number_id, APP_ID) for t in (DEMO1, DEMO2)]


def add(folder: Path, name: str, text: str) -> Path:
    """Write a migration into `folder`, after the repository's own."""
    for migration in manage.migrations():
        (folder / migration.path.name).write_bytes(migration.path.read_bytes())
    (folder / name).write_text(text)
    return folder / name
