"""What `python -m mcp_servers.NAME` does: read the settings, serve until SIGTERM or SIGINT."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

import uvicorn
from starlette.applications import Starlette

from gateway import logs
from mcp_servers.config import VARIABLES, Config, ConfigError, load

MAX_CONNECTIONS = 256
GRACE_SECONDS = 5


def main(
    name: str,
    port_variable: str,
    default_port: int,
    build_server: Callable[[Config], Starlette],
    arguments: Sequence[str] | None = None,
) -> int:
    """Exit status: 0 stopped as told, 2 the configuration is incomplete or wrong, 3 could not listen."""
    variables = VARIABLES | {port_variable: f"the port to listen on (default: {default_port})"}
    parser = argparse.ArgumentParser(
        prog=f"python -m mcp_servers.{name}",
        description=f"Serves the tools of {name} over MCP (/mcp) and plain HTTP (/tools).",
        epilog="environment variables:\n" + "\n".join(f"  {key:22}{text}" for key, text in variables.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    try:
        config = load(os.environ, port_variable, default_port)
    except ConfigError as error:
        for problem in error.problems:
            print(f"{name}: {problem}", file=sys.stderr)
        return 2
    logs.configure()
    server = uvicorn.Server(
        uvicorn.Config(
            build_server(config),
            host=config.host,
            port=config.port,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            log_config=None,
            ws="none",
            lifespan="on",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    # uvicorn raises the signal once more when it has stopped; by default that would end us with a failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    server.run()
    return 0 if server.started else 3
