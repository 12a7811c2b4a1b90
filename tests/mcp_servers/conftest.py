from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql
from systems import PASSWORDS, Database
from tool_processes import Tenant, ToolProcess, tenant_of

from local.postgres import Cluster


@pytest.fixture(scope="session")
def shared_database(cluster: Cluster, templates: dict[bool, str]) -> Database:
    """A seeded database for all tests of this folder that only add to it."""
    name = "test_tool_servers"
    with psycopg.connect(cluster.superuser_url, autocommit=True) as server:
        template = sql.Identifier(templates[True])
        server.execute(sql.SQL("create database {} owner owner template {}").format(sql.Identifier(name), template))
    urls = {f"{role}_url": cluster.url(name, role, word) for role, word in PASSWORDS.items()}
    return Database(name=name, app_resource={}, manager_resource={}, **urls)


@pytest.fixture(scope="session")
def running(shared_database: Database) -> Iterator[Callable[[str], ToolProcess]]:
    """`running(name)` is that tool server on the shared database, started when it is first needed."""
    started: dict[str, ToolProcess] = {}

    def get(name: str) -> ToolProcess:
        if name not in started:
            started[name] = ToolProcess(name, shared_database.app_url)
        return started[name]

    yield get
    for server in started.values():
        server.stop()


@pytest.fixture
def pricing(running: Callable[[str], ToolProcess]) -> ToolProcess:
    return running("pricing_calculator")


@pytest.fixture
def leads(running: Callable[[str], ToolProcess]) -> ToolProcess:
    return running("lead_capture")


@pytest.fixture
def owner(running: Callable[[str], ToolProcess]) -> ToolProcess:
    return running("contact_owner")


@pytest.fixture
def bicis(shared_database: Database) -> Iterator[Tenant]:
    with tenant_of(shared_database, "bicis-ribera") as tenant:
        yield tenant


@pytest.fixture
def dental(shared_database: Database) -> Iterator[Tenant]:
    with tenant_of(shared_database, "harbour-dental") as tenant:
        yield tenant


@pytest.fixture
def own_dental(seeded_database: Database) -> Iterator[Tenant]:
    """A tenant on a database of the test's own."""
    with tenant_of(seeded_database, "harbour-dental") as tenant:
        yield tenant


@pytest.fixture
def start_server(seeded_database: Database) -> Iterator[Callable[[str], ToolProcess]]:
    """Start a tool server on a database of the test's own."""
    started: list[ToolProcess] = []

    def start(name: str) -> ToolProcess:
        started.append(ToolProcess(name, seeded_database.app_url))
        return started[-1]

    yield start
    for server in started:
        server.stop()
