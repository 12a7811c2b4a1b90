from collections.abc import Iterator
from uuid import uuid4

import pytest
from office import NUMBER, NUMBER_ID, Graph, Office, Windmill
from systems import Database


@pytest.fixture
def office(seeded_database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    graph = Graph()
    windmill = Windmill({"f/admin/database": seeded_database.manager_resource, "f/whatsapp/cloud_api": graph.resource})
    variables = {"WM_WORKSPACE": "local", "WM_TOKEN": "windmill-token", "WM_USERNAME": "ada", "WM_JOB_ID": str(uuid4())}
    for name, value in {**variables, "BASE_INTERNAL_URL": windmill.url}.items():
        monkeypatch.setenv(name, value)
    made = Office(seeded_database.owner_url, graph, windmill)
    yield made
    made.owner.close()
    windmill.close()
    graph.close()


@pytest.fixture
def number(office: Office) -> Office:
    """A number of Meta's that the token may use."""
    office.graph.numbers["EAAsecret"] = [(f"90000{n}", NUMBER["waba_id"]) for n in range(3)]
    office.graph.numbers["EAAsecret"].append((NUMBER_ID, NUMBER["waba_id"]))
    return office
