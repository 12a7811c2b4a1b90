"""`python -m gateway`: serve until SIGTERM or SIGINT. Settings come from the environment, see --help."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

import uvicorn

from gateway import logs
from gateway.app import build_app
from gateway.config import VARIABLES, ConfigError, load

#: Seconds for requests in flight when the process is told to stop.
GRACE_SECONDS = 5

#: Connections, idle ones included, beyond which uvicorn answers 503 by itself: it bounds the memory for bodies.
MAX_CONNECTIONS = 512


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 stopped as told, 2 the configuration is incomplete or wrong, 3 could not listen."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway",
        description="Takes Meta's webhook deliveries and queues them at Windmill.",
        epilog="environment variables:\n" + "\n".join(f"  {name:26}{text}" for name, text in VARIABLES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    try:
        config = load(os.environ)
    except ConfigError as error:
        for problem in error.problems:
            print(f"gateway: {problem}", file=sys.stderr)
        return 2
    logs.configure()
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(config),
            host=config.host,
            port=config.port,
            # The path of a verification holds the token, and X-Forwarded-For is ours to read.
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


if __name__ == "__main__":
    sys.exit(main())
