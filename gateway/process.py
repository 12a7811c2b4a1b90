"""A small HTTP server as a process: the gateway's, and those of the tool servers."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import uvicorn
from starlette.applications import Starlette

from gateway import logs

#: Seconds for requests in flight when the process is told to stop.
GRACE_SECONDS = 5


class ConfigError(Exception):
    """The server cannot start; `problems` says why, without any value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Address(Protocol):
    """What any server's configuration says."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


C = TypeVar("C", bound=Address)


def serve(
    name: str,
    purpose: str,
    variables: Mapping[str, str],
    load: Callable[[Mapping[str, str]], C],
    build: Callable[[C], Starlette],
    *,
    connections: int,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run `python -m NAME` until SIGTERM or SIGINT; `variables` is for its --help.

    connections: idle ones included, beyond which uvicorn answers 503 by itself: it bounds the memory for bodies

    Exit status: 0 stopped as told, 2 the configuration is incomplete or wrong, 3 could not listen.
    """
    width = max(map(len, variables)) + 2
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=purpose,
        epilog="environment variables:\n" + "\n".join(f"  {key:{width}}{text}" for key, text in variables.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    try:
        config = load(os.environ)
    except ConfigError as error:
        for problem in error.problems:
            print(f"{name.rpartition('.')[2]}: {problem}", file=sys.stderr)
        return 2
    logs.configure()
    server = uvicorn.Server(
        uvicorn.Config(
            build(config),
            host=config.host,
            port=config.port,
            # A path may hold a token, and X-Forwarded-For is ours to read.
            access_log=False,
            proxy_headers=False,
            server_header=False,
            log_config=None,
            ws="none",
            lifespan="on",
            limit_concurrency=connections,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    # uvicorn raises the signal once more when it has stopped; by default that would end us with a failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    server.run()
    return 0 if server.started else 3
