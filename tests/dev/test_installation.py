"""local/database.py: what a local installation adds to a database."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from systems import PASSWORDS, Database

from db import server
from local import database
from local.credentials import DEMO1, DEMO2, Credentials, key_hash
from local.postgres import Cluster


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    """Those of a new installation, except that the roles' passwords stay those of the whole test run."""
    passwords = {f"{role}_password": PASSWORDS[role] for role in ("app", "manager", "backup")}
    return replace(Credentials.load(tmp_path), **passwords)


@pytest.fixture
def owner_url(make_database: Callable[..., Database]) -> str:
    """The address of a database that does not exist."""
    made = make_database()
    server.drop_database(made.owner_url)
    return made.owner_url


def test_a_first_start_makes_everything_and_later_ones_keep_it(owner_url: str, credentials: Credentials) -> None:
    assert database.prepare(owner_url, credentials) == "created and seeded"
    with psycopg.connect(owner_url) as connection:
        connection.execute("update organizations set name = 'Renamed' where slug = 'bicis-ribera'")
    assert database.prepare(owner_url, credentials) == "up to date"
    with psycopg.connect(owner_url) as connection:
        assert connection.execute("select count(*) from organizations where name = 'Renamed'").fetchone() == (1,)
        keys = connection.execute("select organization_id::text, key_hash from api_keys order by 1").fetchall()
    hashes = [key_hash(key) for key in (credentials.demo1_api_key, credentials.demo2_api_key)]
    assert keys == list(zip((DEMO1.organization_id, DEMO2.organization_id), hashes, strict=True))


def test_api_keys_lead_to_their_tenant_alone(seeded_database: Database, credentials: Credentials) -> None:
    database.grant_access(seeded_database.owner_url, credentials)
    with psycopg.connect(seeded_database.owner_url) as connection:
        row = connection.execute(
            "select organization_id::text, scopes from route_api_key(%s)", [key_hash(credentials.demo2_api_key)]
        ).fetchone()
    assert row == (DEMO2.organization_id, database.SCOPES)


def test_a_revoked_key_stays_revoked(seeded_database: Database, credentials: Credentials) -> None:
    database.grant_access(seeded_database.owner_url, credentials)
    with psycopg.connect(seeded_database.owner_url) as connection:
        connection.execute("update api_keys set revoked_at = now()")
    database.grant_access(seeded_database.owner_url, credentials)
    with psycopg.connect(seeded_database.owner_url) as connection:
        assert connection.execute("select count(*) from api_keys where revoked_at is null").fetchone() == (0,)


def test_roles_are_made_once(cluster: Cluster, credentials: Credentials) -> None:
    own = Cluster(cluster.home.parent / "roles", durable=False)
    with own:
        database.make_roles(own, credentials)
        database.make_roles(own, credentials)
        psycopg.connect(own.url("postgres", "owner", credentials.owner_password)).close()
        psycopg.connect(own.url("postgres", "engine", credentials.engine_password)).close()


def test_the_simulator_is_told_of_both_demo_numbers(seeded_database: Database, credentials: Credentials) -> None:
    first, second = database.demo_numbers(seeded_database.owner_url, credentials)
    assert (first["slug"], first["language"], first["access_token"]) == (
        "bicis-ribera",
        "es",
        credentials.demo1_access_token,
    )
    assert (second["slug"], second["chatbot_id"]) == ("harbour-dental", DEMO2.chatbot_id)
