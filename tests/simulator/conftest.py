"""Simulators with a webhook: one of a test's own, and one that many share."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from pytest_httpserver import HTTPServer
from simulator_systems import Simulator, Webhook, new_phone, running
from systems import PASSWORDS

from local.postgres import Cluster


@pytest.fixture
def webhook(httpserver: HTTPServer) -> Webhook:
    return Webhook(httpserver)


@pytest.fixture
def simulator(tmp_path: Path, webhook: Webhook) -> Iterator[Simulator]:
    with running(tmp_path, webhook.url) as simulator:
        yield simulator
        assert webhook.unsigned == 0


@pytest.fixture(scope="session")
def shared_database(cluster: Cluster, templates: dict[bool, str]) -> str:
    """The owner's address of a seeded database."""
    name = "shared_simulator"
    with psycopg.connect(cluster.superuser_url, autocommit=True) as server:
        statement = sql.SQL("create database {} owner owner template {}")
        server.execute(statement.format(sql.Identifier(name), sql.Identifier(templates[True])))
    return cluster.url(name, "owner", PASSWORDS["owner"])


@pytest.fixture(scope="module")
def shared_simulator(
    tmp_path_factory: pytest.TempPathFactory, make_httpserver: HTTPServer, shared_database: str
) -> Iterator[Simulator]:
    """Ends with its module: what it still has to deliver would come to other tests, whose server is the same."""
    folder = tmp_path_factory.mktemp("simulator")
    with running(folder, make_httpserver.url_for(""), shared_database) as simulator:
        yield simulator


@pytest.fixture
def common(shared_simulator: Simulator, webhook: Webhook) -> Simulator:
    """The shared simulator, with a person and a webhook that are new."""
    shared_simulator.person = new_phone()
    shared_simulator.http.delete("/sim/faults")
    return shared_simulator
