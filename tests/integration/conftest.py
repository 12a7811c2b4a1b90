import pytest
from fakes import FakeWhatsApp, FakeWindmill
from steps import Platform


@pytest.fixture
def platform(seeded_database, monkeypatch):
    whatsapp = FakeWhatsApp()
    made = Platform(seeded_database.app_resource, seeded_database.owner_url, whatsapp, monkeypatch)
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
