"""db/backup.py: what is backed up comes back whole, on an empty server, or not at all."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from systems import PASSWORDS, Database, own_environment, run_dev

from db import backup, manage, server, verify
from local.postgres import Cluster
from local.postgres_files import packaged_binaries

BINARIES = packaged_binaries()


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database that does not exist on a server that has none of our roles; no superuser's."""
    with Cluster(tmp_path_factory.mktemp("other"), durable=False) as other:
        with psycopg.connect(other.superuser_url, autocommit=True) as connection:
            connection.execute("create role administrator login createrole createdb password 'word'")
        yield other.url("chatbots", "administrator", "word")


@pytest.fixture
def full_database(seeded_database: Database) -> Database:
    """With rows in tables of tenants, of nobody, and in those that are filled by a trigger or numbered."""
    with psycopg.connect(seeded_database.owner_url, autocommit=True) as connection:
        for number in range(3):
            contact, talk, turn = (f"00000000-0000-4000-8000-{number}0000000000{n}" for n in range(3))
            organization, chatbot, phone = connection.execute(
                "select organization_id, chatbot_id, phone_number_id from whatsapp_numbers order by 3 limit 1"
            ).fetchone() or ("", "", "")
            for statement, values in {
                "insert into contacts (organization_id, id, wa_id, profile_name) values (%s, %s, %s, 'Añá 🦷')": (
                    [organization, contact, f"3460011100{number}"]
                ),
                "insert into conversations (organization_id, id, chatbot_id, phone_number_id, contact_id)"
                " values (%s, %s, %s, %s, %s)": [organization, talk, chatbot, phone, contact],
                "insert into turns (organization_id, id, conversation_id, fence) values (%s, %s, %s, 1)": (
                    [organization, turn, talk]
                ),
                "insert into webhook_events (organization_id, phone_number_id, wamid, conversation_id, kind, payload,"
                " position, sent_at, received_at) values (%s, %s, %s, %s, 'text', '{}', 0, now(), now())": (
                    [organization, phone, f"wamid.{number}", talk]
                ),
                "insert into usage_logs (organization_id, turn_id, call, provider, model, prompt_tokens,"
                " completion_tokens) values (%s, %s, 0, 'demo', 'demo', 1, 1)": [organization, turn],
                "insert into system_alerts (kind, subject) values (%s, %s)": ["message_unrouted", str(number)],
            }.items():
                connection.execute(statement.encode(), values)
    return seeded_database


def take(database: Database, file: Path) -> backup.Manifest:
    return backup.backup(database.backup_url, file, BINARIES / "pg_dump")


def test_a_backup_comes_back_on_an_empty_server(full_database: Database, empty_server: str, tmp_path: Path) -> None:
    file = tmp_path / "today.dump"
    taken = take(full_database, file)
    assert {
        "webhook_events": 3,
        "usage_summary": 1,
        "system_alerts": 3,
        "organizations": 2,
    }.items() <= taken.rows.items()
    logins = {role: PASSWORDS[role] for role in ("app", "backup")}
    assert backup.restore(empty_server, file, BINARIES / "pg_restore", passwords=logins) == taken
    with psycopg.connect(empty_server, autocommit=True) as connection:
        connection.execute("set role owner")
        assert backup.count_rows(connection) == taken.rows
        names = connection.execute("select distinct profile_name from contacts").fetchall()
        assert names == [("Añá 🦷",)]
        new = connection.execute(
            "insert into webhook_events (organization_id, phone_number_id, wamid, conversation_id, kind, payload,"
            " position, sent_at, received_at) select organization_id, phone_number_id, 'new', conversation_id, kind,"
            " payload, position, sent_at, received_at from webhook_events limit 1 returning id"
        ).fetchone()
        assert new == (4,), "numbers go on where they were"
    assert verify.problems(empty_server, BINARIES / "pg_dump") == []
    app = dict(psycopg.conninfo.conninfo_to_dict(empty_server)) | {"user": "app", "password": PASSWORDS["app"]}
    with psycopg.connect(**app) as connection:  # type: ignore[arg-type]
        assert connection.execute("select count(*) from contacts").fetchone() == (0,), "bound to no tenant"
        assert connection.execute("select organization_id is not null from route_number('100000000000001')").fetchone()
    with pytest.raises(server.DatabaseError, match="is not empty"):
        backup.restore(empty_server, file, BINARIES / "pg_restore")


def test_both_files_are_private_and_nothing_else_is_left(full_database: Database, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        take(full_database, tmp_path / "a.dump")
    finally:
        os.umask(old)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "a.dump": 0o600,
        "a.dump.manifest.json": 0o600,
    }
    with pytest.raises(server.DatabaseError, match=r"a\.dump exists"):
        take(full_database, tmp_path / "a.dump")


def test_only_the_role_backup_sees_everything(full_database: Database, tmp_path: Path) -> None:
    for url in (full_database.app_url, full_database.owner_url):
        with pytest.raises(server.DatabaseError, match="taken by the role backup"):
            backup.backup(url, tmp_path / "a.dump", BINARIES / "pg_dump")
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_not_empty_is_left_alone(
    full_database: Database, seeded_database: Database, tmp_path: Path
) -> None:
    take(full_database, tmp_path / "a.dump")
    with pytest.raises(server.DatabaseError, match=r"is not empty .*name another one"):
        backup.restore(seeded_database.owner_url, tmp_path / "a.dump", BINARIES / "pg_restore")
    assert verify.problems(seeded_database.owner_url, BINARIES / "pg_dump") == []


def test_a_file_that_is_not_a_backup_is_named(full_database: Database, tmp_path: Path) -> None:
    file = tmp_path / "a.dump"
    url = full_database.owner_url

    def problem() -> str:
        with pytest.raises(server.DatabaseError) as caught:
            backup.restore(url, file, BINARIES / "pg_restore")
        return str(caught.value)

    assert "there is no file" in problem()
    take(full_database, file)
    whole, manifest = file.read_bytes(), backup.manifest_of(file).read_text()
    file.write_bytes(whole[:-100])
    assert "damaged or cut off" in problem()
    file.write_bytes(whole)
    backup.manifest_of(file).write_text("[]")
    assert "is no manifest" in problem()
    backup.manifest_of(file).write_text(json.dumps(json.loads(manifest) | {"format": 2}))
    assert "later version" in problem()
    backup.manifest_of(file).unlink()
    assert "manifest.json is missing" in problem()


def test_rows_that_are_missing_are_named(full_database: Database, tmp_path: Path) -> None:
    file = tmp_path / "a.dump"
    taken = take(full_database, file)
    forged = json.loads(backup.manifest_of(file).read_text())
    forged["rows"]["contacts"] += 1
    backup.manifest_of(file).write_text(json.dumps(forged))
    url = server.with_database(full_database.owner_url, f"{full_database.name}_restored")
    try:
        with pytest.raises(server.DatabaseError, match=f"contacts has {taken.rows['contacts']} rows instead of 4"):
            backup.restore(url, file, BINARIES / "pg_restore")
    finally:
        server.drop_database(url)


def test_an_empty_database_is_no_backup(full_database: Database, tmp_path: Path) -> None:
    empty = server.with_database(full_database.owner_url, f"{full_database.name}_empty")
    server.create_database(empty)
    try:
        url = server.with_database(full_database.backup_url, f"{full_database.name}_empty")
        with pytest.raises(server.DatabaseError, match="nothing to back up"):
            backup.backup(url, tmp_path / "a.dump", BINARIES / "pg_dump")
    finally:
        server.drop_database(empty)


def test_the_preparations_are_the_beginning_of_create_sql() -> None:
    text = backup._preparations()
    assert manage.CREATE.read_text().startswith(text) and "create extension" in text and "create table" not in text


def test_the_commands(full_database: Database, tmp_path: Path) -> None:
    passwords = {"APP_PASSWORD": PASSWORDS["app"], "BACKUP_PASSWORD": PASSWORDS["backup"]}
    environment = own_environment(tmp_path / "data") | passwords | {"DATABASE_URL": full_database.owner_url}
    done = run_dev("db", "backup", str(tmp_path / "a.dump"), environment=environment)
    assert done.stdout.startswith("backed up: ")
    url = server.with_database(full_database.owner_url, f"{full_database.name}_again")
    try:
        environment["DATABASE_URL"] = url
        done = run_dev("db", "restore", str(tmp_path / "a.dump"), environment=environment)
        assert done.stdout.startswith("restored and counted: ")
        again = run_dev("db", "restore", str(tmp_path / "a.dump"), environment=environment, check=False)
        assert again.returncode == 1 and "is not empty" in again.stderr
    finally:
        server.drop_database(url)
    missing = run_dev(
        "db", "backup", str(tmp_path / "b.dump"), environment=environment | {"BACKUP_PASSWORD": ""}, check=False
    )
    assert missing.returncode == 1 and "BACKUP_PASSWORD is not set" in missing.stderr
