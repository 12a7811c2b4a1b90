import pytest, psycopg, uuid
from types import SimpleNamespace
from pathlib import Path

ROOT = Path("/work/main")


@pytest.fixture
def seeded_database():
    name = "t" + uuid.uuid4().hex[:8]
    a = psycopg.connect("host=127.0.0.1 port=13432 user=owner dbname=postgres", autocommit=True)
    a.execute(f"create database {name} template tseed")
    url = f"postgresql://owner@127.0.0.1:13432/{name}"
    yield SimpleNamespace(
        owner_url=url, app_resource={"host": "127.0.0.1", "port": 13432, "user": "app", "password": "x", "dbname": name}
    )
    a.execute(f"drop database {name} with (force)")
