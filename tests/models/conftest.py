"""Both providers behind one name, so that one test is about both adapters."""

from collections.abc import Iterator

import pytest

from f.agent.chain import Link
from f.agent.models import build_model
from local.standins import GeminiStandIn, StandIn


@pytest.fixture
def gemini() -> Iterator[GeminiStandIn]:
    server = GeminiStandIn()
    yield server
    server.close()


@pytest.fixture(params=["openai", "gemini"])
def provider(request: pytest.FixtureRequest) -> StandIn:
    server: StandIn = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def link():
    """`link(server)` is a model at a stand-in, as a chatbot's chain has it."""

    def make(server: StandIn, name: str = "m", key: str | None = None) -> Link:
        kind = "gemini" if isinstance(server, GeminiStandIn) else "openai"
        resource = server.resource | ({"api_key": key} if key else {})
        return Link(kind, name, f"f/agent/{kind}", lambda: build_model(kind, name, resource, 0.2))

    return make
