"""Is a database what this repository says it is? Every difference is one line of text."""

import difflib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString, cast
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from db import manage, server

#: The first pgvector with iterative index scans, without which a filtered search loses rows.
OLDEST_PGVECTOR = (0, 8)

#: Role → what it must be: may log in (None: either), may create roles, may create databases.
ROLES: dict[str, tuple[bool | None, bool | None, bool | None]] = {
    "owner": (None, None, None),
    "app": (None, False, False),
    "manager": (None, False, False),
    "router": (False, False, False),
    "backup": (None, False, False),
}
WITHOUT_FORCED_SECURITY = """
select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attname = 'organization_id'
  and not (c.relrowsecurity and c.relforcerowsecurity) order by 1
"""
WITHOUT_POLICY = """
select c.relname, r.rolname
from pg_class c join pg_attribute a on a.attrelid = c.oid
cross join pg_roles r
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attname = 'organization_id'
  and r.rolname in ('owner', 'app', 'backup')
  and not exists (select from pg_policy p where p.polrelid = c.oid and r.oid = any(p.polroles)) order by 1, 2
"""
ROLE_ATTRIBUTES = """
select rolname, rolcanlogin, rolcreaterole, rolcreatedb, rolsuper, rolbypassrls from pg_roles where rolname = any(%s)
"""
OWNED_BY_OTHERS = """
select c.relname, pg_get_userbyid(c.relowner) from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S') and not exists (
  select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
  and pg_get_userbyid(c.relowner) <> 'owner' order by 1
"""
WRONG_MEMBERSHIPS = """
select m.rolname, g.rolname from pg_auth_members a
join pg_roles m on m.oid = a.member join pg_roles g on g.oid = a.roleid
where m.rolname in ('app', 'manager', 'backup', 'router')
"""


def problems(url: str, pg_dump: Path) -> list[str]:
    """What is wrong with the database of `url`; an empty list when nothing is."""
    with server.connect(url) as connection:
        if not manage.is_managed(connection):
            return ["the database has no schema of ours: ./dev db migrate"]
        found = [*_history(connection), *_roles(connection), *_security(connection), *_pgvector(connection)]
    return found + _schema(url, pg_dump)


def dump_schema(url: str, pg_dump: Path) -> list[str]:
    """The schema of `url` as SQL, without comments and what differs from dump to dump."""
    connection = conninfo_to_dict(url)
    # Not on the command line, which every user of the machine can read.
    password = connection.pop("password", None)
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    command = [str(pg_dump), "--schema-only", "--no-password", f"--dbname={make_conninfo('', **connection)}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise server.DatabaseError(f"pg_dump failed: {done.stderr.strip()}")
    noise = ("--", "\\restrict", "\\unrestrict", "SET ", "SELECT pg_catalog.set_config")
    return [line for line in done.stdout.splitlines() if line and not line.startswith(noise)]


def _schema(url: str, pg_dump: Path) -> list[str]:
    """How the schema differs from one that create.sql has just made beside it."""
    scratch = server.with_database(url, f"{server.database_name(url)[:40]}_verify_{uuid4().hex[:8]}")
    server.create_database(scratch)
    try:
        manage.create(scratch)
        wanted = dump_schema(scratch, pg_dump)
    finally:
        server.drop_database(scratch)
    changes = difflib.unified_diff(wanted, dump_schema(url, pg_dump), "create.sql", "the database", lineterm="", n=2)
    return [f"schema: {line}" for line in changes]


def _history(connection: psycopg.Connection) -> Iterator[str]:
    try:
        for migration in manage.pending(connection):
            yield f"not applied: {migration.path.name}"
    except server.DatabaseError as error:
        yield str(error)


def _roles(connection: psycopg.Connection) -> Iterator[str]:
    rows = {row[0]: row[1:] for row in connection.execute(ROLE_ATTRIBUTES, [list(ROLES)])}
    for role, wanted in ROLES.items():
        if role not in rows:
            yield f"role {role} is missing"
            continue
        *attributes, superuser, bypasses = rows[role]
        for name, wants, has in zip(("log in", "create roles", "create databases"), wanted, attributes, strict=True):
            if wants is not None and wants != has:
                yield f"role {role} may {'not ' if wants else ''}{name}"
        if superuser or bypasses:
            yield f"role {role} goes past row-level security"
    for member, group in connection.execute(cast(LiteralString, WRONG_MEMBERSHIPS)):
        yield f"role {member} is a member of {group}"


def _security(connection: psycopg.Connection) -> Iterator[str]:
    for (table,) in connection.execute(cast(LiteralString, WITHOUT_FORCED_SECURITY)):
        yield f"table {table}: row-level security is not enabled and forced"
    for table, role in connection.execute(cast(LiteralString, WITHOUT_POLICY)):
        yield f"table {table}: no policy for {role}"
    for name, role in connection.execute(cast(LiteralString, OWNED_BY_OTHERS)):
        yield f"{name} belongs to {role}, not to owner"


def _pgvector(connection: psycopg.Connection) -> Iterator[str]:
    row = connection.execute("select extversion from pg_extension where extname = 'vector'").fetchone()
    if row is None:
        yield "the extension vector is missing"
    elif tuple(int(part) for part in row[0].split(".")[:2]) < OLDEST_PGVECTOR:
        yield f"pgvector is {row[0]}: {'.'.join(map(str, OLDEST_PGVECTOR))} or newer is needed"
