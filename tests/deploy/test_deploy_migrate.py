"""The job `migrate`, on a PostgreSQL that has nothing but its superuser."""

from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from db import manage, verify
from db.server import DatabaseError
from docker import migrate
from local.postgres import Cluster
from local.postgres_files import packaged_binaries
from local.processes import free_port

PASSWORDS = {
    "OWNER_PASSWORD": "own/er:w@rd",
    "APP_PASSWORD": "app word%",
    "MANAGER_PASSWORD": "manager",
    "BACKUP_PASSWORD": "backup",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("postgres") / "data", free_port()) as cluster:
        yield cluster


@pytest.fixture
def environment(server: Cluster) -> dict[str, str]:
    address = urlsplit(server.superuser_url)
    return PASSWORDS | {
        "DATABASE_HOST": address.hostname or "",
        "DATABASE_PORT": str(address.port),
        "DATABASE_NAME": "chatbots",
        "DATABASE_SSLMODE": "disable",
        "DATABASE_ADMIN": address.username or "",
        "DATABASE_ADMIN_PASSWORD": address.password or "",
    }


def connect(environment: dict[str, str], role: str) -> psycopg.Connection:
    return psycopg.connect(
        host=environment["DATABASE_HOST"],
        port=environment["DATABASE_PORT"],
        dbname="chatbots",
        user=role,
        password=environment[f"{role.upper()}_PASSWORD"],
    )


def test_it_makes_the_database_once_and_then_only_migrates(environment: dict[str, str]) -> None:
    assert migrate.run(environment).endswith(": created and seeded")
    with connect(environment, "app") as connection:
        connection.execute("select 1")
    with connect(environment, "owner") as connection:
        connection.execute("set local role owner")
        assert connection.execute("select count(*) from organizations").fetchone() == (2,)
        assert connection.execute("select rolsuper, rolbypassrls from pg_roles where rolname = 'owner'").fetchone() == (
            False,
            False,
        )
        connection.execute("update organizations set name = 'Ours' where slug = 'harbour-dental'")
    assert migrate.run(environment).endswith(": up to date")
    with connect(environment, "owner") as connection:
        connection.execute("set local role owner")
        assert connection.execute("select count(*) from organizations where name = 'Ours'").fetchone() == (1,)


def test_what_it_makes_is_what_the_repository_says(environment: dict[str, str]) -> None:
    migrate.run(environment)
    host, port = environment["DATABASE_HOST"], environment["DATABASE_PORT"]
    url = f"postgresql://owner:{quote(PASSWORDS['OWNER_PASSWORD'], safe='')}@{host}:{port}/chatbots"
    assert verify.problems(url, packaged_binaries() / "pg_dump") == []
    assert manage.migrations()


def test_a_changed_password_counts_from_then_on(environment: dict[str, str]) -> None:
    migrate.run(environment)
    changed = environment | {"APP_PASSWORD": "another"}
    migrate.run(changed)
    with connect(changed, "app"), pytest.raises(psycopg.OperationalError):
        connect(environment, "app")


@pytest.mark.parametrize("name", ["DATABASE_HOST", "DATABASE_ADMIN_PASSWORD", *PASSWORDS])
def test_what_is_missing_is_named(environment: dict[str, str], name: str) -> None:
    with pytest.raises(DatabaseError, match=name):
        migrate.run(environment | {name: ""})


def test_a_wrong_password_is_said_without_it(environment: dict[str, str]) -> None:
    with pytest.raises(DatabaseError, match="cannot connect") as caught:
        migrate.run(environment | {"DATABASE_ADMIN_PASSWORD": "s3cret"})
    assert "s3cret" not in str(caught.value)
