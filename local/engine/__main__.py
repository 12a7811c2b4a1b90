"""`./dev engine`: serve a Windmill workspace folder, alone or as part of `./dev up`."""

import argparse
import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from local.engine.access import Access
from local.engine.app import build_app, build_public_app
from local.engine.engine import Engine
from local.engine.objects import VARIABLES, ObjectStorage, StorageError
from local.engine.processes import Processes
from local.engine.schedules import Schedules
from local.engine.store import Store, StoreError, Unavailable
from local.engine.workspace import WorkspaceError, load
from local.postgres import Cluster
from local.postgres_files import ClusterError
from local.settings import ENGINE_DATABASE_URL, ENGINE_TOKEN

log = logging.getLogger("engine")

WORKSPACE = "local"
WORKERS = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 stopped as told, 1 something went wrong meanwhile, 2 it cannot start."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if not options.token:
        parser.error(f"--token is missing, and ${ENGINE_TOKEN} is not set")
    if options.workers < 1:
        parser.error("--workers must be at least 1")
    # Until the server is up, and has a gentler way: leave through all that is open.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        workspace = load(options.workspace.resolve())
        with ExitStack() as resources:
            ports = [options.port, options.api_port] if options.api_port else [options.port]
            sockets = [resources.enter_context(listen(port)) for port in ports]
            directory = options.data_dir
            if directory is None:
                directory = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="millrace-engine-")))
            directory = directory.resolve()
            directory.mkdir(parents=True, exist_ok=True)
            url = options.database_url or resources.enter_context(throw_away_database(directory))
            jobs = Store(url, options.workers + 12)
            jobs.open()
            resources.callback(jobs.close)
            root = options.workspace.resolve()
            processes = Processes(root, directory, fresh=options.fresh, trap=options.trap)
            job_token = secrets.token_urlsafe(24)
            engine = Engine(
                workspace,
                root,
                jobs,
                processes,
                name=WORKSPACE,
                base_url=f"http://127.0.0.1:{options.port}",
                token=job_token,
                workers=options.workers,
                storage=ObjectStorage.from_environment(os.environ),
            )
            engine.start()
            resources.callback(engine.stop)
            schedules = Schedules(engine)
            schedules.start()
            resources.callback(schedules.stop)
            access = Access(jobs, WORKSPACE, options.token, job_token)
            apps = [build_app(engine, access), build_public_app(engine, access)]
            return serve(engine, list(zip(apps, sockets, strict=False)))
    except (WorkspaceError, StoreError, StorageError, ClusterError, PortTaken) as error:
        print(f"engine: {error}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./dev engine",
        description="Serve a Windmill workspace folder behind Windmill's API, on 127.0.0.1. "
        f"The workspace's id is `{WORKSPACE}`, the user `admin`.",
        epilog="environment variables:\n" + "\n".join(f"  {name:15}{text}" for name, text in VARIABLES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workspace", type=Path, required=True, metavar="DIR", help="the folder with f/ and u/")
    parser.add_argument("--port", type=int, required=True, metavar="N", help="where Windmill's API listens")
    parser.add_argument(
        "--token",
        default=os.environ.get(ENGINE_TOKEN),
        metavar="T",
        help=f"the token that may do everything (default: ${ENGINE_TOKEN})",
    )
    parser.add_argument("--api-port", type=int, metavar="N", help="where the tenants' API listens (default: nowhere)")
    parser.add_argument(
        "--database-url",
        default=os.environ.get(ENGINE_DATABASE_URL),
        metavar="URL",
        help=f"where jobs are kept (default: ${ENGINE_DATABASE_URL}, else a throw-away PostgreSQL)",
    )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="for caches (default: a temporary folder)")
    parser.add_argument("--workers", type=int, default=WORKERS, metavar="N", help="jobs at once (default: %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="a new process for each job, as Windmill has it")
    parser.add_argument("--trap", type=Path, metavar="FILE", help="tests: Python that each job's process runs first")
    return parser


@contextmanager
def throw_away_database(directory: Path) -> Iterator[str]:
    """A PostgreSQL that is gone, with all jobs, when the engine ends."""
    cluster = Cluster(directory / "postgres", durable=False)
    try:
        with cluster:
            yield cluster.url("engine")
    finally:
        cluster.remove()


class PortTaken(Exception):
    """Somebody else listens where we should."""


def listen(port: int) -> socket.socket:
    """A socket at `port` of 127.0.0.1, where connections wait until somebody accepts them. Raises PortTaken."""
    # With the protocol named: asyncio sends small packets at once only where it sees that it is TCP.
    place = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", port))
        place.listen(2048)
    except (OSError, OverflowError) as error:
        place.close()
        raise PortTaken(f"cannot listen on port {port}: {error}") from None
    return place


def serve(engine: Engine, apps: list[tuple[Starlette, socket.socket]]) -> int:
    """Serve each app at its socket until SIGTERM or SIGINT."""
    servers = [
        uvicorn.Server(
            uvicorn.Config(
                app,
                access_log=False,
                log_level="warning",
                ws="none",
                lifespan="off",
                timeout_graceful_shutdown=2,
            )
        )
        for app, _ in apps
    ]
    lost = threading.Event()

    def end(*_: object) -> None:
        for server in servers:
            server.should_exit = True

    async def guard() -> None:
        """Another engine on our database would run our jobs: then this one must end."""
        while not all(server.should_exit for server in servers):
            await asyncio.sleep(1)
            try:
                await asyncio.to_thread(engine.keep_going)
            except StoreError:
                log.exception("the database is served by another engine")
                lost.set()
                end()
            except Unavailable as error:
                log.warning("%s", error)

    async def run() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end)
        watch = asyncio.create_task(guard())
        await asyncio.gather(*(server._serve([place]) for server, (_, place) in zip(servers, apps, strict=True)))
        watch.cancel()

    asyncio.run(run())
    return 1 if lost.is_set() or not all(server.started for server in servers) else 0


if __name__ == "__main__":
    sys.exit(main())
