from uuid import uuid4

import pytest
from fakes import FakeWhatsApp, FakeWindmill
from steps import Platform


@pytest.fixture
def platform(seeded_database, monkeypatch):
    whatsapp = FakeWhatsApp()
    made = Platform(seeded_database.app_resource, seeded_database.owner_url, whatsapp, monkeypatch)
    made.manager = seeded_database.manager_resource
    yield made
    made.owner.close()
    whatsapp.close()


@pytest.fixture
def windmill(monkeypatch):
    """The Windmill that `wmill.Windmill()` finds."""
    fake = FakeWindmill()
    for name, value in fake.variables.items():
        monkeypatch.setenv(name, value)
    yield fake
    fake.close()


@pytest.fixture
def office(platform, windmill, monkeypatch):
    """Windmill as the forms of u/admin find it."""
    windmill.resources |= {"f/lib/database": platform.database, "f/admin/database": platform.manager}
    monkeypatch.setenv("WM_JOB_ID", str(uuid4()))
    monkeypatch.setenv("WM_USERNAME", "ada")
    return windmill
