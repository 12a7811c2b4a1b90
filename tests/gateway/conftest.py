from collections.abc import Callable, Iterator

import pytest
from gateway_fakes import FakeWindmill, GatewayProcess


@pytest.fixture(scope="session")
def shared_windmill() -> Iterator[FakeWindmill]:
    fake = FakeWindmill()
    yield fake
    fake.stop()


@pytest.fixture
def windmill(shared_windmill: FakeWindmill) -> FakeWindmill:
    """An empty Windmill that queues everything, until a test tells it otherwise."""
    shared_windmill.clear()
    return shared_windmill


@pytest.fixture(scope="session")
def shared_gateway(shared_windmill: FakeWindmill) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(shared_windmill.url)
    yield gateway
    gateway.stop()


@pytest.fixture
def gateway(windmill: FakeWindmill, shared_gateway: GatewayProcess) -> GatewayProcess:
    """A gateway in front of `windmill`, with its limits out of the way."""
    return shared_gateway


@pytest.fixture
def start_gateway(windmill: FakeWindmill) -> Iterator[Callable[..., GatewayProcess]]:
    """Start a gateway of one's own with these environment variables."""
    started: list[GatewayProcess] = []

    def start(**environment: str) -> GatewayProcess:
        started.append(GatewayProcess(windmill.url, **environment))
        return started[-1]

    yield start
    for gateway in started:
        if gateway.process.returncode is None:
            gateway.stop()
