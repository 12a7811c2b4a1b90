"""The engine's database: connections, transactions that outlive its restarts, and rows of jobs."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any, LiteralString, TypeVar, cast
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout

from local.engine import queries
from local.engine.jobs import Job

T = TypeVar("T")
Connection = psycopg.Connection[Any]

#: Key of the advisory lock that says "an engine serves this database".
LOCK_KEY = 0x6D696C6C
#: Seconds that PostgreSQL may take to notice that an engine which served it before was killed.
PATIENCE_FOR_THE_DEAD = 2.0
#: Errors after which the same transaction may succeed: a lost connection, a database that restarts, a deadlock.
PASSING = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.DeadlockDetected, PoolTimeout)
#: Among them, but no repetition helps: a value larger than PostgreSQL takes.
LASTING = (psycopg.errors.ProgramLimitExceeded,)
JSON_COLUMNS = {"args", "flow", "code", "status", "items", "leaf_jobs", "result"}


class StoreError(Exception):
    """The database cannot be used; the message says why and what to do."""


class Unavailable(Exception):
    """The database did not answer in time. Nothing is known about what was asked of it."""


class Store:
    """The database at `url`, which is created when it does not exist. `size` is the number of connections."""

    def __init__(self, url: str, size: int) -> None:
        try:
            conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise StoreError(f"--database-url is no address of a database: {error}".strip()) from None
        self._url = url
        self._pool = ConnectionPool(
            url, min_size=2, max_size=size, open=False, timeout=5, kwargs={"autocommit": True}, reconnect_timeout=1
        )
        self._guard: Connection | None = None
        self.stopping = Event()
        #: Set when a transaction had to be repeated: an earlier attempt may have been committed all the same.
        self.was_away = Event()

    def open(self) -> None:
        """Connect, create what is missing, and make sure that no other engine serves this database."""
        try:
            guard = self._connect_guard(patience=PATIENCE_FOR_THE_DEAD)
        except psycopg.Error as error:
            raise StoreError(f"cannot use the database at {_without_password(self._url)}: {error}".strip()) from None
        self._guard = guard
        self._pool.open()
        schema = cast(LiteralString, (Path(__file__).parent / "schema.sql").read_text())
        with self._pool.connection() as connection:
            connection.execute(schema)

    def close(self) -> None:
        self.stopping.set()
        self._pool.close(timeout=2)
        if self._guard:
            self._guard.close()

    def keep_guard(self) -> None:
        """Take the lock anew when its connection was lost. Raises StoreError when another engine has it."""
        try:
            if self._guard is None:
                self._guard = self._connect_guard()
            self._guard.execute("select 1")
        except psycopg.Error:
            self._guard = None

    def run(self, work: Callable[[Connection], T], patience: float | None = None) -> T:
        """The result of `work` in a transaction, repeated while the database is away.

        Gives up with Unavailable after `patience` seconds (None: when the engine stops). `work` must bear repetition:
        a commit whose answer was lost may have happened.
        """
        deadline = None if patience is None else time.monotonic() + patience
        pause = 0.02
        while True:
            try:
                timeout = 1 if patience is None else min(patience, 1)
                with self._pool.connection(timeout=timeout) as connection, connection.transaction():
                    return work(connection)
            except LASTING:
                raise
            except PASSING as error:
                self.was_away.set()
                gone = self.stopping.is_set() or (deadline is not None and time.monotonic() + pause > deadline)
                if gone:
                    raise Unavailable(f"the engine's database does not answer: {error}") from error
            self.stopping.wait(pause)
            pause = min(pause * 2, 1)

    def _connect_guard(self, patience: float = 0) -> Connection:
        try:
            guard = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError as error:
            if "does not exist" not in str(error):
                raise
            _create_database(self._url)
            guard = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
        deadline = time.monotonic() + patience
        while (row := guard.execute(queries.CLAIM_DATABASE, (LOCK_KEY, LOCK_KEY)).fetchone()) and not row[0]:
            if time.monotonic() > deadline:
                guard.close()
                raise StoreError(
                    f"another engine serves the database {_without_password(self._url)} (its server process is "
                    f"{row[1]}): stop it, or name another --database-url"
                )
            time.sleep(0.1)
        return guard


@contextmanager
def unlogged(connection: Connection) -> Iterator[None]:
    """Commit without waiting for the disk: for what a restart finds out by itself."""
    connection.execute("set local synchronous_commit = off")
    yield


def get(connection: Connection, job_id: UUID, *, whole: bool = False) -> Job | None:
    """The job, without its result and logs unless `whole`."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(queries.GET_WHOLE if whole else queries.GET, (job_id,)).fetchone()


def start(connection: Connection, job_id: UUID) -> Job | None:
    """Mark the job as running; None when it is no longer queued."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(queries.START, (job_id,)).fetchone()


def insert(connection: Connection, job: Job) -> bool:
    """Insert `job`; False when its id is taken."""
    row = {item.name: _wrapped(item.name, getattr(job, item.name)) for item in fields(Job)}
    if job.state == "done":
        row["started_at"] = row["completed_at"] = datetime.now().astimezone()
        row["result"] = Jsonb(job.result)
    return connection.execute(queries.INSERT, row).rowcount == 1


def results(connection: Connection, job_ids: Iterable[UUID]) -> list[Any]:
    """Results of finished jobs, in the order of `job_ids`. Raises KeyError for one that is not finished."""
    wanted = list(job_ids)
    found = dict(connection.execute(queries.RESULTS, (wanted,)).fetchall())
    return [found[job_id] for job_id in wanted]


def rows(connection: Connection, query: Any, parameters: Any = None) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters).fetchall()


def jobs(connection: Connection, query: Any, parameters: Any) -> list[Job]:
    """The jobs that `query` finds."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(query, parameters).fetchall()


def _wrapped(name: str, value: Any) -> Any:
    return Jsonb(value) if name in JSON_COLUMNS and value is not None else value


def _create_database(url: str) -> None:
    name = str(conninfo_to_dict(url)["dbname"])
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True, connect_timeout=5) as server:
        server.execute(sql.SQL("create database {}").format(sql.Identifier(name)))


def _without_password(url: str) -> str:
    parts = conninfo_to_dict(url)
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
