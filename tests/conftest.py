"""What tests stand on: a real PostgreSQL, cheap databases, and the whole system."""

import os
import signal
from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from systems import (
    IS_RUNNING_GIVEN,
    PASSWORDS,
    Database,
    RunningStack,
    given_windmill,
    own_environment,
    read_variables,
    run_dev,
)

from db import manage
from local.postgres import Cluster
from local.rerank_standin import RerankStandIn
from local.standins import OpenAIStandIn

# A shell tells what it starts in the background to ignore Ctrl-C, and that is passed on: tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m system`: what stands on the whole system, and so can stand on a real Windmill."""
    for item in items:
        if isinstance(item, pytest.Function) and "stack" in item.fixturenames:
            item.add_marker("system")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A PostgreSQL of this test run, with the role `owner`; it forgets everything at the end."""
    with Cluster(tmp_path_factory.mktemp("postgres"), durable=False) as served:
        with psycopg.connect(served.superuser_url, autocommit=True) as connection:
            connection.execute("create role owner createrole createdb")
            manage.set_passwords(connection, {"owner": PASSWORDS["owner"]})
        yield served


@pytest.fixture(scope="session")
def templates(cluster: Cluster) -> dict[bool, str]:
    """Databases to copy from, by whether they are seeded."""
    names = {False: "template_created", True: "template_seeded"}
    logins = {role: PASSWORDS[role] for role in ("app", "manager", "backup")}
    for seeded, name in names.items():
        url = cluster.url(name, "owner", PASSWORDS["owner"])
        manage.reset(url, passwords=logins, seeded=seeded)
    return names


@pytest.fixture
def make_database(cluster: Cluster, templates: dict[bool, str]) -> Iterator[Callable[..., Database]]:
    """`make_database(seeded=True)` is a database of this test's own, a copy that takes some milliseconds."""
    made: list[str] = []
    with psycopg.connect(cluster.superuser_url, autocommit=True) as server:

        def make(seeded: bool = True) -> Database:
            name = f"test_{uuid4().hex[:12]}"
            statement = sql.SQL("create database {} owner owner template {}")
            server.execute(statement.format(sql.Identifier(name), sql.Identifier(templates[seeded])))
            made.append(name)
            urls = {f"{role}_url": cluster.url(name, role, word) for role, word in PASSWORDS.items()}
            place = {"host": "127.0.0.1", "port": cluster.port, "dbname": name, "sslmode": "disable"}
            resources = {
                f"{role}_resource": {**place, "user": role, "password": PASSWORDS[role]} for role in ("app", "manager")
            }
            return Database(name=name, **resources, **urls)

        yield make
        for name in made:
            server.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def seeded_database(make_database: Callable[..., Database]) -> Database:
    """A database of this test's own with the demo tenants."""
    return make_database(seeded=True)


@pytest.fixture
def openai() -> Iterator[OpenAIStandIn]:
    server = OpenAIStandIn()
    yield server
    server.close()


@pytest.fixture
def api() -> Iterator[RerankStandIn]:
    """A re-ranker's API."""
    server = RerankStandIn()
    yield server
    server.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The whole system, started once for all tests, or the running one whose `./dev env` is in the environment.

    With WINDMILL_URL and what belongs to it, it stands on that Windmill.
    """
    if IS_RUNNING_GIVEN:
        yield RunningStack(dict(os.environ), dict(os.environ))
        return
    environment = own_environment(tmp_path_factory.mktemp("stack")) | given_windmill()
    run_dev("up", "--detach", environment=environment)
    try:
        variables = read_variables(run_dev("env", environment=environment).stdout)
        yield RunningStack(variables, environment)
    finally:
        run_dev("down", environment=environment)
