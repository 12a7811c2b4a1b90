"""Create, migrate and seed the database of an address, for any PostgreSQL 16+ with pgvector.

The address' role must be able to create roles and databases; it need not be a superuser. A migration is a file
`migrations/NNNN_name.sql` that runs in one transaction; it starts with `set local role owner;` so that what it makes
belongs to `owner` whoever runs it.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, cast

import psycopg
from psycopg import sql

from db.server import DatabaseError, connect, create_database, drop_database

FOLDER = Path(__file__).parent
CREATE = FOLDER / "create.sql"
SEED = FOLDER / "seed.sql"
MIGRATIONS = FOLDER / "migrations"

#: Key of the advisory lock under which one process at a time changes a schema.
LOCK_KEY = 0x6D696C6C  # "mill"

HISTORY = """
create table if not exists schema_migrations (
  version integer primary key,
  name text not null,
  sha256 text not null,
  applied_at timestamptz not null default now()
);
grant select on schema_migrations to backup, manager;
"""


@dataclass(frozen=True)
class Migration:
    version: int
    name: str
    path: Path

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """The migrations in `folder`, in the order they are applied."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)", path.stem)
        if not match:
            raise DatabaseError(f"{path.name} is not named NNNN_name.sql")
        if found and found[-1].version == int(match[1]):
            raise DatabaseError(f"{path.name} has the number of {found[-1].path.name}")
        found.append(Migration(int(match[1]), match[2], path))
    return found


def reset(url: str, *, passwords: Mapping[str, str] | None = None, seeded: bool = True) -> None:
    """Drop the database and make it anew from create.sql. Roles stay: they belong to the whole server."""
    drop_database(url)
    create_database(url)
    create(url, passwords=passwords)
    if seeded:
        seed(url)


def prepare(url: str, *, passwords: Mapping[str, str] | None = None) -> str:
    """Make and seed the database of `url`, or apply the migrations that it lacks. Returns what was done."""
    create_database(url)
    with connect(url) as connection:
        is_new = not is_managed(connection)
    if is_new:
        create(url, passwords=passwords)
        seed(url)
        return "created and seeded"
    applied = migrate(url, passwords=passwords)
    return f"migrated to {applied[-1].version:04}" if applied else "up to date"


def create(url: str, *, passwords: Mapping[str, str] | None = None) -> None:
    """Make roles and schema in an empty database; every migration counts as applied."""
    with _changing(url) as connection:
        with connection.transaction():
            run_file(connection, CREATE)
            connection.execute("set local role owner")
            connection.execute(cast(LiteralString, HISTORY))
            for migration in migrations():
                _record(connection, migration)
        set_passwords(connection, passwords or {})


def migrate(url: str, *, passwords: Mapping[str, str] | None = None, folder: Path = MIGRATIONS) -> list[Migration]:
    """Apply what is not applied yet, each file in its own transaction; an empty database gets all. Returns them."""
    with _changing(url) as connection:
        todo = pending(connection, folder)
        for migration in todo:
            with connection.transaction():
                run_file(connection, migration.path)
                connection.execute("set local role owner")
                connection.execute(cast(LiteralString, HISTORY))
                _record(connection, migration)
        set_passwords(connection, passwords or {})
    return todo


def seed(url: str) -> None:
    """Add plans and the demo tenants; what is there stays."""
    with _changing(url) as connection, connection.transaction():
        connection.execute("set local role owner")
        run_file(connection, SEED)


def pending(connection: psycopg.Connection, folder: Path = MIGRATIONS) -> list[Migration]:
    """Migrations that the database does not have. Raises when its history is not the one in `folder`."""
    available = migrations(folder)
    applied: dict[int, tuple[str, str]] = {}
    if is_managed(connection):
        rows = connection.execute("select version, name, sha256 from schema_migrations").fetchall()
        applied = {version: (name, sha256) for version, name, sha256 in rows}
    for migration in available:
        name, sha256 = applied.get(migration.version, (migration.name, migration.sha256))
        if (name, sha256) != (migration.name, migration.sha256):
            raise DatabaseError(f"{migration.path.name} was changed after it was applied: add a new migration instead")
    if unknown := applied.keys() - {migration.version for migration in available}:
        raise DatabaseError(f"the database has migrations that are not in {folder.name}/: {sorted(unknown)}")
    newest = max(applied, default=0)
    todo = [migration for migration in available if migration.version not in applied]
    if todo and todo[0].version < newest:
        raise DatabaseError(f"{todo[0].path.name} comes before {newest:04}, which is applied: give it a higher number")
    return todo


def is_managed(connection: psycopg.Connection) -> bool:
    """Whether the database was made by `create` or `migrate`."""
    row = connection.execute("select to_regclass('public.schema_migrations') is not null").fetchone()
    return bool(row and row[0])


def set_passwords(connection: psycopg.Connection, passwords: Mapping[str, str]) -> None:
    """Let roles log in with these passwords (role → password), which reach the server only as SCRAM verifiers."""
    for role, password in passwords.items():
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        try:
            connection.execute(
                sql.SQL("alter role {} login password {}").format(sql.Identifier(role), sql.Literal(verifier))
            )
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseError(f"the role may not set {role}'s password: it did not create it ({error})") from None


def run_file(connection: psycopg.Connection, path: Path) -> None:
    """Execute a file of SQL; an error names file and line."""
    run_text(connection, path.read_text(), path.name)


def run_text(connection: psycopg.Connection, text: str, name: str) -> None:
    """Execute the SQL `text` of the file `name`."""
    try:
        connection.execute(cast(LiteralString, text))
    except psycopg.Error as error:
        position = int(error.diag.statement_position or 0)
        line = f":{text.count(chr(10), 0, position - 1) + 1}" if position else ""
        hint = " (a superuser must run it in template1 first)" if "create extension" in str(error).lower() else ""
        raise DatabaseError(f"{name}{line}: {error.diag.message_primary or error}{hint}") from error


@contextmanager
def _changing(url: str) -> Iterator[psycopg.Connection]:
    """A connection that alone may change the schema; others wait."""
    with connect(url) as connection:
        connection.execute("select pg_advisory_lock(%s)", [LOCK_KEY])
        yield connection


def _record(connection: psycopg.Connection, migration: Migration) -> None:
    connection.execute(
        "insert into schema_migrations (version, name, sha256) values (%s, %s, %s)",
        [migration.version, migration.name, migration.sha256],
    )
