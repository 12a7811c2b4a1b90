from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from routes import Call
from shelf import Shelf
from systems import Database, RunningStack

from f.lib.database import connect


@pytest.fixture
def shelf(seeded_database: Database) -> Iterator[Shelf]:
    with connect(seeded_database.app_resource) as connection:
        made = Shelf(connection, seeded_database.owner_url)
        yield made
        made.owner.close()


@pytest.fixture
def call(stack: RunningStack) -> Call:
    def make(method: str, path: str, key: str | None = None, bot: str = "harbour-dental", **request: Any):
        headers = request.pop("headers", {})
        if key != "":
            headers["authorization"] = f"Bearer {key or stack.demo2_api_key}"
        url = f"{stack.api_url}/api/chatbots/{bot}/knowledge/{path}"
        return httpx.request(method, url, headers=headers, timeout=60, **request)

    return make
