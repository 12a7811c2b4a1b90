"""Starts the whole system on this machine, watches it, and stops it in reverse order."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from db import server
from local import bootstrap, database, proxy, real_windmill
from local.credentials import APP_ID, WORKSPACE, Credentials, write_private
from local.install import ROOT
from local.postgres import Cluster
from local.processes import free_port, is_taken, spawn, stop, tail
from local.running import StackError, claim
from local.settings import ENGINE_DATABASE_URL, ENGINE_TOKEN, PORTS, Settings
from local.windmill import Windmill, WindmillError

READY_SECONDS = 60
#: Settings of the gateway that the user may change here.
LIMITS = ("GATEWAY_SENDER_LIMIT", "GATEWAY_NUMBER_LIMIT", "GATEWAY_LIMITS_URL")
#: Variables of the user's that would tell our own children something else than we do.
OURS = (
    "META_",
    "WINDMILL_",
    "DATABASE_URL",
    "PYTHONPATH",
    "GATEWAY_",
    "API_",
    "SIMULATOR_",
    "WHATSAPP_",
    "MCP_",
    "EXCHANGE_",
)


@dataclass(frozen=True)
class Service:
    """A child process, where it logs, and an address that answers 200 once it works."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    health: str


class Stack:
    """The running system of one data directory. `say` gets a line of progress at a time."""

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.settings = settings if settings.exchange_port else replace(settings, exchange_port=free_port())
        self.credentials = Credentials.load(settings.data_dir)
        self.windmill = windmill_of(self.settings, self.credentials)
        self._has_taken_over = False
        self._environment = {k: v for k, v in environment.items() if not k.startswith(OURS) and k not in _port_names()}
        self._limits = {k: environment[k] for k in LIMITS if k in environment}
        self._say = say
        self._cluster: Cluster | None = None
        self._services: list[Service] = []

    def run(self) -> None:
        """Start everything, print the addresses and `ready`, and serve until SIGINT or SIGTERM (KeyboardInterrupt).

        Raises StackError when something does not start or ends by itself.
        """
        self.settings.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        with claim(self.settings) as mark_ready:
            try:
                self._start()
                mark_ready()
                for line in addresses(self.settings):
                    self._say(line)
                self._say("ready")
                self._watch()
            finally:
                self._stop()

    def _start(self) -> None:
        settings, credentials = self.settings, self.credentials
        self._check_ports()
        if settings.real_windmill:
            proxy.find_caddy()
            real_windmill.check(self.windmill)
        databases = self._start_database()
        self._say(f"database: {database.prepare(databases.owner_url, credentials)}")
        tools = {
            "DATABASE_URL": database.app_url(databases.owner_url, credentials),
            "MCP_SIGNING_KEY": credentials.mcp_signing_key,
            **{PORTS[field][0]: str(getattr(settings, field)) for field in PORTS if field.startswith("mcp_")},
        }
        for name, url in settings.tool_server_urls.items():
            self._spawn(name, f"mcp_servers.{name}", [], tools, f"{url}/health")
        exchange = {
            "DATABASE_URL": tools["DATABASE_URL"],
            "EXCHANGE_SIGNING_KEY": credentials.exchange_signing_key,
            "EXCHANGE_PORT": str(settings.exchange_port),
        }
        self._spawn("exchange", "exchange", [], exchange, f"{settings.exchange_url}/health")
        values = self._environment | database.catalogue_values(databases.owner_url, credentials, settings)
        token = self._use_windmill(values) if settings.real_windmill else self._start_engine(databases, values)
        gateway = {
            **self._limits,
            "GATEWAY_PORT": str(settings.gateway_port),
            "WINDMILL_URL": settings.windmill_url,
            "WINDMILL_WORKSPACE": self.windmill.workspace,
            "WINDMILL_TOKEN": token,
            "META_APP_SECRETS": f"{APP_ID}:{credentials.meta_app_secret}",
            "META_VERIFY_TOKEN": credentials.meta_verify_token,
        }
        self._launch("gateway", "gateway", [], gateway, f"{settings.gateway_url}/ready")
        simulator = ["--port", settings.simulator_port, "--config", self._simulator_config(databases.owner_url)]
        self._launch("simulator", "local.simulator", simulator, {}, f"{settings.simulator_url}/health")

    def _start_engine(self, databases: database.Databases, values: Mapping[str, str]) -> str:
        """Start the local engine and give it its values. Returns the gateway's token for it."""
        settings = self.settings
        server.create_database(databases.engine_url)
        engine = ["--workspace", ROOT, "--port", settings.windmill_port, "--api-port", settings.api_port]
        engine += ["--data-dir", settings.data_dir / "engine"]
        secret = {ENGINE_TOKEN: self.windmill.token, ENGINE_DATABASE_URL: databases.engine_url}
        self._launch("engine", "local.engine", engine, secret, f"{settings.windmill_url}/api/version")
        catalogue = bootstrap.read_catalogue(values)
        bootstrap.apply(catalogue, self.windmill.url, self.windmill.workspace, self.windmill.token, force=True)
        return self.windmill.token

    def _use_windmill(self, values: Mapping[str, str]) -> str:
        """Bring the real Windmill up to date and put the proxy before it. Returns the gateway's token for it."""
        settings = self.settings
        token_file = settings.data_dir / "gateway-token"
        self._has_taken_over = True
        real_windmill.take_over(self.windmill, values, token_file, self._say)
        served = ["--port", settings.api_port, "--windmill", self.windmill.url, "--data-dir", settings.data_dir]
        self._launch("proxy", "local.proxy", served, {}, f"{settings.api_url}/health")
        return token_file.read_text().strip()

    def _check_ports(self) -> None:
        unused = {"postgres_port": self.settings.database_url, "windmill_port": self.settings.real_windmill}
        for field in PORTS:
            if unused.get(field):
                continue
            port = getattr(self.settings, field)
            if is_taken(port):
                raise StackError(f"port {port} is in use: stop the program that uses it, or set {PORTS[field][0]}")

    def _start_database(self) -> database.Databases:
        databases = database.addresses(self.settings, self.credentials)
        if not self.settings.database_url:
            self._say(f"postgres: starting on port {self.settings.postgres_port}")
            self._cluster = database.make_cluster(self.settings)
            self._cluster.start()
            database.make_roles(self._cluster, self.credentials)
        return databases

    def _launch(
        self, name: str, module: str, arguments: list[object], environment: Mapping[str, str], health: str
    ) -> None:
        """Start a service and wait until it and all before it work."""
        self._spawn(name, module, arguments, environment, health)
        for service in self._services:
            self._await(service)

    def _spawn(
        self, name: str, module: str, arguments: list[object], environment: Mapping[str, str], health: str
    ) -> None:
        """Start a service; it works once `health` answers 200."""
        self._say(f"{name}: starting")
        log = self.settings.logs / f"{name}.log"
        with log.open("ab") as file:
            process = spawn(
                [sys.executable, "-m", module, *map(str, arguments)],
                log=file,
                environment={**self._environment, "PYTHONUNBUFFERED": "1", **environment},
                directory=ROOT,
            )
        self._services.append(Service(name, process, log, health))

    def _await(self, service: Service) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not answers(service.health):
            self._check(service)
            if time.monotonic() > deadline:
                raise StackError(f"{service.name} does not answer at {service.health}:\n{tail(service.log)}")
            time.sleep(0.1)

    def _watch(self) -> None:
        while True:
            for service in self._services:
                self._check(service)
            if self._cluster and self._cluster.process and (status := self._cluster.process.poll()) is not None:
                raise StackError(f"postgres ended with status {status}:\n{tail(self._cluster.log)}")
            time.sleep(0.5)

    def _check(self, service: Service) -> None:
        if (status := service.process.poll()) is not None:
            raise StackError(f"{service.name} ended with status {status}:\n{tail(service.log)}")

    def _stop(self) -> None:
        # Impatience must not leave anything running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._leave_windmill()
        for service in reversed(self._services):
            self._say(f"{service.name}: stopping")
            stop(service.process, seconds=15)
        if self._cluster:
            self._say("postgres: stopping")
            self._cluster.stop()

    def _leave_windmill(self) -> None:
        if self._has_taken_over:
            try:
                real_windmill.leave(self.windmill)
            except WindmillError as error:
                self._say(f"warning: its schedules stay on: {error}")

    def _simulator_config(self, owner_url: str) -> Path:
        path = self.settings.data_dir / "simulator.json"
        configuration = {
            "gateway_url": self.settings.gateway_url,
            "app_id": APP_ID,
            "app_secret": self.credentials.meta_app_secret,
            "database_url": owner_url,
            "state": str(self.settings.data_dir / "simulator.sqlite"),
            "numbers": database.demo_numbers(owner_url, self.credentials),
        }
        write_private(path, json.dumps(configuration, indent=2, ensure_ascii=False) + "\n")
        return path


def windmill_of(settings: Settings, credentials: Credentials) -> Windmill:
    """The Windmill of an installation, whichever it is, with an administrator's token."""
    real = settings.real_windmill
    if real:
        return Windmill(real.url, real.workspace, real.token)
    return Windmill(settings.windmill_url, WORKSPACE, credentials.windmill_token)


def addresses(settings: Settings) -> Iterator[str]:
    """Lines that tell a person where things are."""
    yield f"chat page   {settings.simulator_url}"
    yield f"gateway     {settings.gateway_url}/webhook"
    yield f"API         {settings.api_url}"
    real = settings.real_windmill
    yield f"Windmill    {settings.windmill_url}  (workspace {real.workspace if real else WORKSPACE})"
    for name, url in settings.tool_server_urls.items():
        yield f"MCP         {url}/mcp  ({name}; ./dev mcp-token)"
    yield "secrets     ./dev env"


def answers(url: str) -> bool:
    """Whether `url` answers 200."""
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _port_names() -> set[str]:
    return {name for name, _ in PORTS.values()}
