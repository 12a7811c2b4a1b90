"""What a measurement runs on and nobody misses afterwards: a database, tool servers, a server that takes all.

Everything listens on 127.0.0.1, on free ports, and ends with the block.
"""

import json
import os
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.conninfo import make_conninfo

from db import manage
from local.install import ROOT
from local.postgres import Cluster
from local.processes import free_port, spawn, stop, tail
from local.running import StackError
from local.stack import answers

DATABASE = "evaluation"

#: Our tool servers and the variable that each takes its port from.
TOOL_SERVERS = {
    "pricing_calculator": "MCP_PRICING_PORT",
    "lead_capture": "MCP_LEADS_PORT",
    "contact_owner": "MCP_OWNER_PORT",
}
START_SECONDS = 60


@dataclass(frozen=True)
class Database:
    """A database with our schema: addresses of a superuser and the owner, and the resource of the role app."""

    superuser_url: str
    owner_url: str
    app: dict[str, Any]

    @property
    def app_url(self) -> str:
        return make_conninfo(**self.app)


@contextmanager
def database(*, seeded: bool = False) -> Iterator[Database]:
    """A database for as long as the block lasts; `seeded`: with the demo tenants."""
    with (
        tempfile.TemporaryDirectory(prefix="millrace-eval-") as folder,
        Cluster(Path(folder) / "postgres", durable=False) as cluster,
    ):
        words = {"owner": secrets.token_urlsafe(16), "app": secrets.token_urlsafe(16)}
        with psycopg.connect(cluster.superuser_url, autocommit=True) as server:
            server.execute("create role owner createrole createdb")
            manage.set_passwords(server, {"owner": words["owner"]})
        owner_url = cluster.url(DATABASE, "owner", words["owner"])
        manage.reset(owner_url, passwords={"app": words["app"]}, seeded=seeded)
        app = {"host": "127.0.0.1", "port": cluster.port, "user": "app", "password": words["app"]}
        app |= {"dbname": DATABASE, "sslmode": "disable"}
        yield Database(make_conninfo(cluster.superuser_url, dbname=DATABASE), owner_url, app)


@dataclass(frozen=True)
class Services:
    """What runs beside the database: what the resource f/agent/tool_servers holds, and where the exchange is."""

    tool_servers: dict[str, str]
    exchange_url: str
    exchange_key: str


@contextmanager
def services(database_url: str) -> Iterator[Services]:
    """Our tool servers and the exchange, as processes. Raises StackError."""
    tools_key, exchange_key = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    ports = {name: free_port() for name in (*TOOL_SERVERS, "exchange")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    own = {"DATABASE_URL": database_url, "MCP_SIGNING_KEY": tools_key, "EXCHANGE_SIGNING_KEY": exchange_key}
    own |= {variable: str(ports[name]) for name, variable in TOOL_SERVERS.items()}
    own |= {"EXCHANGE_PORT": str(ports["exchange"]), "PYTHONPATH": str(ROOT)}
    with ExitStack() as running, tempfile.TemporaryDirectory(prefix="millrace-services-") as folder:
        processes = {}
        for name in ports:
            log = Path(folder) / f"{name}.log"
            with log.open("ab") as file:
                command = [sys.executable, "-m", "exchange" if name == "exchange" else f"mcp_servers.{name}"]
                processes[name] = spawn(command, log=file, environment={**os.environ, **own}, directory=ROOT)
            running.callback(stop, processes[name])
        deadline = time.monotonic() + START_SECONDS
        for name, process in processes.items():
            while not answers(f"{urls[name]}/health"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise StackError(f"{name} does not start:\n{tail(Path(folder) / f'{name}.log')}")
                time.sleep(0.05)
        yield Services(
            {"signing_key": tools_key} | {name: urls[name] for name in TOOL_SERVERS}, urls["exchange"], exchange_key
        )


@contextmanager
def takes_all() -> Iterator[str]:
    """The address of a server that takes whatever is posted: messages as WhatsApp does, runs as Windmill does."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _TakesAll)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _TakesAll(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        is_read = body.get("status") == "read"
        told = {"success": True} if is_read else {"messages": [{"id": f"wamid.{uuid4().hex}"}]}
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Not of interest."""
