"""Back a database up into a file, and restore it into an empty one, counting the rows of every table.

A backup is two files: PostgreSQL's own archive (`pg_dump --format=custom`) and beside it `FILE.manifest.json` with
what must come out of it. Both are taken from one snapshot by the role `backup`, which reads every row and writes none.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from db import manage, server
from db.server import DatabaseError

#: create.sql up to here makes what belongs to the server or is there before the backup's objects: roles, the
#: extension, rights on the schema.
OBJECTS = "-- Objects: "

#: Entries of an archive that `OBJECTS` stands for.
PREPARED = ("SCHEMA - public", "COMMENT - SCHEMA public", "ACL - SCHEMA public", "EXTENSION -", "COMMENT - EXTENSION")

TABLES = """
select c.relname from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
  and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e') order by 1
"""
OWN_OBJECTS = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
union all
select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
order by 1 limit 3
"""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. `rows` is the number of rows of each table, `sha256` that of the archive."""

    database: str
    taken_at: str
    server_version: int
    migrations: list[str]
    rows: dict[str, int]
    sha256: str
    format: int = 1


def backup(url: str, file: Path, pg_dump: Path) -> Manifest:
    """Write the database of `url`, whose role must be `backup`, into `file` and its manifest, both readable by their
    owner alone. Raises DatabaseError; then neither is there.
    """
    for path in (file, manifest_of(file)):
        if path.exists():
            raise DatabaseError(f"{path} exists: name another file")
    if not file.parent.is_dir():
        raise DatabaseError(f"{file.parent} is no folder")
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        with server.connect(url) as connection:
            connection.execute("begin isolation level repeatable read, read only")
            _check_role(connection)
            snapshot = _one(connection, "select pg_export_snapshot()")
            rows = count_rows(connection)
            migrations = connection.execute("select name from schema_migrations order by version").fetchall()
            _create_private(unfinished)
            # Row-level security stays on: the role is bound by it, and its policies show it everything.
            command: list[str | Path] = [
                pg_dump,
                "--format=custom",
                "--enable-row-security",
                "--schema=public",
                "--extension=vector",
            ]
            _run(url, [*command, "--no-password", f"--snapshot={snapshot}", f"--file={unfinished}"], "--dbname")
            manifest = Manifest(
                database=server.database_name(url),
                taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
                server_version=connection.info.server_version,
                migrations=[name for (name,) in migrations],
                rows=rows,
                sha256=_digest(unfinished),
            )
            connection.execute("rollback")
        _create_private(manifest_of(file))
        manifest_of(file).write_text(json.dumps(asdict(manifest), indent=2) + "\n")
        unfinished.rename(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        if not file.exists():
            manifest_of(file).unlink(missing_ok=True)
        raise
    return manifest


def restore(url: str, file: Path, pg_restore: Path, *, passwords: Mapping[str, str] | None = None) -> Manifest:
    """Make the database of `url` from `file`, all or nothing, and count its rows. The database must be empty or not
    exist; roles are made where they are missing. Raises DatabaseError.
    """
    manifest = read_manifest(file)
    entries = _list_entries(file, pg_restore)
    server.create_database(url)
    with server.connect(url) as connection:
        if found := connection.execute(cast(LiteralString, OWN_OBJECTS)).fetchall():
            names = ", ".join(name for (name,) in found)
            raise DatabaseError(f"the database {server.database_name(url)} is not empty ({names}): name another one")
        if connection.info.server_version // 10000 < manifest.server_version // 10000:
            raise DatabaseError(f"the backup is of PostgreSQL {manifest.server_version // 10000}, the server is older")
        with connection.transaction():
            manage.run_text(connection, _preparations(), manage.CREATE.name)
        listing = file.with_name(f".{file.name}.{os.getpid()}.list")
        try:
            _create_private(listing)
            listing.write_text("\n".join(entries) + "\n")
            command: list[str | Path] = [pg_restore, "--single-transaction", "--exit-on-error", "--no-password"]
            command += ["--role=owner", f"--use-list={listing}"]
            with _owner_may_be_router(connection):
                _run(url, [*command, file], "--dbname")
        finally:
            listing.unlink(missing_ok=True)
        manage.set_passwords(connection, passwords or {})
        with connection.transaction():
            connection.execute("set local role owner")
            differences = _differences(manifest.rows, count_rows(connection))
    if differences:
        raise DatabaseError("the restored database is not what was backed up: " + "; ".join(differences))
    return manifest


def read_manifest(file: Path) -> Manifest:
    """The manifest of the backup `file`, once the file is known to be the one it is about. Raises DatabaseError."""
    path = manifest_of(file)
    if not file.is_file():
        raise DatabaseError(f"there is no file {file}")
    try:
        manifest = Manifest(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise DatabaseError(f"{path} is missing: it belongs to the backup") from None
    except (ValueError, TypeError) as error:
        raise DatabaseError(f"{path} is no manifest of a backup ({type(error).__name__})") from None
    if manifest.format != 1:
        raise DatabaseError(f"{path} is of a later version of this program")
    if _digest(file) != manifest.sha256:
        raise DatabaseError(f"{file} is not the file that was backed up: it is damaged or cut off")
    return manifest


def manifest_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.manifest.json")


def count_rows(connection: psycopg.Connection) -> dict[str, int]:
    """The number of rows of each table, as the connection's role sees them."""
    tables = [name for (name,) in connection.execute(cast(LiteralString, TABLES))]
    count = sql.SQL("select count(*) from public.{}")
    return {name: int(_one(connection, count.format(sql.Identifier(name)))) for name in tables}


def _check_role(connection: psycopg.Connection) -> None:
    if _one(connection, "select current_user") != "backup":
        raise DatabaseError("a backup is taken by the role backup: other roles do not see every row")
    if not manage.is_managed(connection):
        raise DatabaseError("the database has no schema of ours: there is nothing to back up")


def _differences(wanted: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    return [
        f"{table} has {found.get(table, 'no')} rows instead of {wanted.get(table, 'none')}"
        for table in sorted(wanted.keys() | found.keys())
        if wanted.get(table) != found.get(table)
    ]


def _preparations() -> str:
    text, marker, _ = manage.CREATE.read_text().partition(OBJECTS)
    if not marker:
        raise DatabaseError(f"{manage.CREATE.name} has no line that begins with {OBJECTS!r}")
    return text


def _list_entries(file: Path, pg_restore: Path) -> list[str]:
    """The archive's entries that are restored, in pg_restore's own format."""
    done = subprocess.run([pg_restore, "--list", file], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DatabaseError(f"{file} is no backup: {done.stderr.strip()}")
    # "12; 1259 16412 TABLE public contacts owner": what it is follows the three numbers.
    return [
        line
        for line in done.stdout.splitlines()
        if not line.startswith(";") and not line.partition("; ")[2].split(" ", 2)[-1].startswith(PREPARED)
    ]


@contextmanager
def _owner_may_be_router(connection: psycopg.Connection) -> Any:
    """For the time of the restore, owner may make functions that belong to router, and say who may call them."""
    _as_owner(connection, "grant create on schema public to router")
    connection.execute("grant router to owner with inherit true, set true")
    try:
        yield
    finally:
        connection.execute("grant router to owner with inherit false, set true")
        _as_owner(connection, "revoke create on schema public from router")


def _as_owner(connection: psycopg.Connection, statement: LiteralString) -> None:
    with connection.transaction():
        connection.execute("set local role owner")
        connection.execute(statement)


def _run(url: str, command: Sequence[str | Path], option: str) -> None:
    """Run one of PostgreSQL's programs with the address as its `option`, and the password out of everybody's sight."""
    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    program = Path(command[0]).name
    arguments = [*map(str, command), f"{option}={make_conninfo('', **parts)}"]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DatabaseError(f"{program} failed: {done.stderr.strip()[-1500:]}")


def _create_private(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _one(connection: psycopg.Connection, query: LiteralString | sql.Composed) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
