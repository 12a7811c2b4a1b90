from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer
from routes import Call
from shelf import Shelf
from systems import Database, RunningStack
from websites import WebSite
from windmills import Windmill

from f.lib import outside
from f.lib.database import connect


@pytest.fixture
def shelf(seeded_database: Database) -> Iterator[Shelf]:
    with connect(seeded_database.app_resource) as connection:
        made = Shelf(connection, seeded_database.owner_url)
        yield made
        made.owner.close()


@pytest.fixture
def site(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> WebSite:
    """A web site on this machine that may be read as if it were outside."""
    monkeypatch.setattr(outside, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(outside, "PORTS", (httpserver.port,))
    return WebSite(httpserver)


@pytest.fixture
def windmill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Windmill]:
    with HTTPServer() as server:
        monkeypatch.setenv("BASE_INTERNAL_URL", server.url_for("").rstrip("/"))
        monkeypatch.setenv("WM_WORKSPACE", "local")
        monkeypatch.setenv("WM_TOKEN", "a-token")
        yield Windmill(server)


@pytest.fixture
def call(stack: RunningStack) -> Call:
    def make(method: str, path: str, key: str | None = None, bot: str = "harbour-dental", **request: Any):
        headers = request.pop("headers", {})
        if key != "":
            headers["authorization"] = f"Bearer {key or stack.demo2_api_key}"
        url = f"{stack.api_url}/api/chatbots/{bot}/knowledge/{path}"
        return httpx.request(method, url, headers=headers, timeout=60, **request)

    return make
