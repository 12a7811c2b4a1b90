"""The whole system in a folder of its own, each part of which can be killed, stopped and started again."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from local import database
from local.chaos.echo import Echo
from local.chaos.upstream import Upstream
from local.postgres import Cluster, ClusterError
from local.processes import free_port, stop
from local.settings import PORTS, RealWindmill, load
from local.stack import Stack, answers

TRAP = Path(__file__).with_name("trap.py")
START_SECONDS = 60


class Installation(Stack):
    """Use it in a `with` block. The engine's database is a server of its own, so that either can be taken away.

    Between gateway and engine stands `upstream`, and the model is `echo`: both break on order. With a `real` Windmill
    in the engine's place there are no traps in the processes of steps, and nothing is done to that server.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fresh: bool,
        workers: int = 8,
        real: RealWindmill | None = None,
        say: Callable[[str], None],
    ) -> None:
        ports = {name: str(free_port()) for name, _ in PORTS.values()}
        self.echo = Echo()
        limits = {"GATEWAY_SENDER_LIMIT": "off", "GATEWAY_NUMBER_LIMIT": "off"}
        model = {"OPENAI_API_KEY": "stand-in", "OPENAI_BASE_URL": self.echo.resource["base_url"]}
        settings = replace(load(ports | {"DATA_DIR": str(folder)}), real_windmill=real)
        super().__init__(settings, {**os.environ, **limits, **model}, say)
        self.has_traps = real is None
        self.upstream = Upstream(self.settings.windmill_url)
        self.workers = workers
        self.faults = folder / "faults"
        self._fresh = fresh
        self._engine_cluster = None if real else Cluster(folder / "engine-postgres")
        self._commands: dict[str, tuple[str, list[object], Mapping[str, str], str]] = {}
        # A child ends with the thread that started it: this one lives as long as we do.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")

    def __enter__(self) -> "Installation":
        for name in ("plans", "taken"):
            (self.faults / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(TRAP, self.faults)
        self.settings.logs.mkdir(parents=True, exist_ok=True)
        try:
            self._starter.submit(self._start).result()
            self._prepare_tenants()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._leave_windmill()
        for service in reversed(self._services):
            stop(service.process, seconds=15)
        for cluster in (self._cluster, self._engine_cluster):
            if cluster:
                self._starter.submit(cluster.stop).result()
        self._starter.shutdown()
        self.upstream.close()
        self.echo.close()

    def connect(self) -> psycopg.Connection[Any]:
        """The platform's database, as its owner."""
        url = database.addresses(self.settings, self.credentials).owner_url
        connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
        connection.execute("set role owner")
        return connection

    @property
    def platform(self) -> Cluster:
        assert self._cluster is not None
        return self._cluster

    @property
    def engine_cluster(self) -> Cluster:
        assert self._engine_cluster is not None
        return self._engine_cluster

    # Breaking -----------------------------------------------------------------------------------

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End the service; SIGKILL by default. It stays away until `start`."""
        for service in [service for service in self._services if service.name == name]:
            self._services.remove(service)
            if number == signal.SIGKILL:
                service.process.kill()
            stop(service.process, number, seconds=15)

    def start(self, name: str, **environment: str) -> None:
        """Start the service again as it was started first, and wait until it works."""
        module, arguments, given, health = self._commands[name]
        self._starter.submit(self._spawn, name, module, arguments, {**given, **environment}, health).result()
        self._await(next(service for service in self._services if service.name == name))

    def restart(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        self.kill(name, number)
        self.start(name)

    def stop_database(self, cluster: Cluster, number: signal.Signals = signal.SIGINT) -> None:
        """SIGINT rolls back, SIGQUIT ends at once, as a crash does."""
        if cluster.process:
            stop(cluster.process, number, seconds=30)
        self._starter.submit(cluster.stop).result()

    def start_database(self, cluster: Cluster) -> None:
        # The server that is ending may still hold its port for a moment.
        deadline = time.monotonic() + START_SECONDS
        cluster._chooses_port = False  # the same as before, also where it was chosen
        while True:
            try:
                self._starter.submit(cluster.start).result()
                return
            except ClusterError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    # Starting -----------------------------------------------------------------------------------

    def _start_database(self) -> database.Databases:
        databases = super()._start_database()
        if self._engine_cluster is None:
            return databases
        self._engine_cluster.start()
        return database.Databases(databases.owner_url, self._engine_cluster.url("engine"))

    def _spawn(
        self, name: str, module: str, arguments: list[object], environment: Mapping[str, str], health: str
    ) -> None:
        self._commands[name] = (module, arguments, environment, health)
        if name == "engine":
            arguments = [*arguments, "--workers", self.workers, "--trap", self.faults / TRAP.name]
            arguments += ["--fresh"] if self._fresh else []
        elif name == "gateway":
            environment = {**environment, "WINDMILL_URL": self.upstream.url}
        super()._spawn(name, module, arguments, environment, health)

    def _prepare_tenants(self) -> None:
        """Let them use the stand-in for a model, and as much of it as they like."""
        with self.connect() as connection:
            connection.execute(
                "update organizations set monthly_messages = 1000000000, monthly_tokens = 1000000000000,"
                " daily_messages_per_contact = 1000000"
            )
            connection.execute(
                "update chatbots set model_provider = 'openai', model_name = 'echo',"
                " model_resource_path = 'f/agent/openai', max_tokens = 1000000, max_cost = null"
            )

    def is_up(self, name: str) -> bool:
        return answers(self._commands[name][3])
