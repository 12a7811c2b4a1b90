"""An exchange on a test's database, served on this machine."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from exchange.app import build
from exchange.config import Config
from local.processes import free_port

KEY = "exchange-key-of-the-tests-0123456789abcdef"


@contextmanager
def serving(database_url: str) -> Iterator[str]:
    """Its address."""
    config = Config(database_url, KEY, port=free_port())
    server = uvicorn.Server(uvicorn.Config(build(config), host=config.host, port=config.port, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://{config.host}:{config.port}"
    server.should_exit = True
    thread.join(10)
