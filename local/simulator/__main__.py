"""`python -m local.simulator`: serve until SIGTERM or SIGINT."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from aiohttp import web

from local.simulator.app import build_app
from local.simulator.config import Config, ConfigError, load
from local.simulator.deliveries import Courier
from local.simulator.faults import KINDS
from local.simulator.feed import Feed
from local.simulator.numbers import Numbers
from local.simulator.store import StateError, Store
from local.simulator.turns import Turns

HOST = "127.0.0.1"
CALLS = """
the Cloud API, with a number's access token as Bearer:
  POST /v24.0/{phone_number_id}/messages   send, or mark as read
  GET  /v24.0/{phone_number_id}            the number itself
  GET  /v24.0/{waba_id}/phone_numbers      the numbers of the account
  POST /v24.0/{waba_id}/subscribed_apps    let the app get what happens in it; GET tells which does
control calls, bodies in JSON:
  POST /sim/messages      {from | user_id, to, text | message, profile_name?}: a person writes
  GET /sim/turns?wamid=   what the platform made of it
  GET /witness            ?person= &chatbot= &limit=: what people saw, in order
  GET /sim/deliveries     what the gateway has not taken yet
  POST /sim/faults        {kind, times?, skip?, on?, to?, person?, code?, status?, seconds?,
                          statuses?}; GET lists, DELETE forgets
  POST /sim/people        {name, phone | user_id}
  POST /sim/numbers       {name, language?}: buy a number; answers its ids and its token
  GET /sim/events         server-sent events
  GET /health

kinds of faults:
"""
GRACE_SECONDS = 2


class CannotListen(Exception):
    """The port is not to be had; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 stopped as told, 2 configuration or state cannot be used, 3 could not listen."""
    parser = argparse.ArgumentParser(
        prog="python -m local.simulator",
        description="WhatsApp on this machine: the Cloud API, people with phones, and a chat page at /.",
        epilog=CALLS.strip("\n") + "\n" + "\n".join(f"  {kind:8}{text}" for kind, text in KINDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, required=True, help=f"port of {HOST} to serve on")
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="JSON with gateway_url, app_id, app_secret, database_url, state (an SQLite file) and numbers"
        " (phone_number_id, display_phone_number, name, slug, chatbot_id, waba_id, language, access_token)",
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config = load(options.config)
        with closing(Store(config.state)) as store:
            asyncio.run(serve(config, store, options.port))
    except (ConfigError, StateError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    except CannotListen as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 3
    return 0


async def serve(config: Config, store: Store, port: int) -> None:
    """Raises CannotListen, and what would end the deliveries."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    feed = Feed()
    numbers = Numbers(config.numbers, store)
    async with (
        Turns(config.database_url, numbers.ids) as turns,
        Courier(store, feed, f"{config.gateway_url}/webhook", config.app_secret) as courier,
    ):
        app = build_app(numbers, store, feed, courier, turns)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE_SECONDS)
        await runner.setup()
        try:
            await listen(runner, port)
            logging.info("serving http://%s:%d for %d numbers", HOST, port, len(numbers.all()))
            await run_until(stopping, courier.run())
        finally:
            await runner.cleanup()


async def listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, HOST, port).start()
    except (OSError, OverflowError) as error:
        raise CannotListen(f"cannot listen on port {port} of {HOST}: {error.args[-1]}") from error


async def run_until(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Let `work` run until the event is set. Raises what it raises."""
    tasks = {asyncio.create_task(work), asyncio.create_task(stopping.wait())}
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    for task in done:
        task.result()


if __name__ == "__main__":
    sys.exit(main())
