"""Databases on a server: connect to them, make and drop them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

OLDEST_SERVER = 16


class DatabaseError(Exception):
    """The database cannot be brought to the wanted state; the message says why."""


def create_role(connection: psycopg.Connection, name: str, attributes: LiteralString) -> None:
    """Make a role unless it exists."""
    if not connection.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone():
        connection.execute(sql.SQL("create role {} " + attributes).format(sql.Identifier(name)))


def create_database(url: str) -> None:
    """Make the database of `url` unless it exists."""
    with _maintenance(url) as connection:
        name = database_name(url)
        if not connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))


def drop_database(url: str) -> None:
    """Drop the database of `url`, if it exists, with whoever is connected to it."""
    with _maintenance(url) as connection, _may_end_connections(connection):
        name = sql.Identifier(database_name(url))
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))


def database_name(url: str) -> str:
    """The database that `url` names. Raises DatabaseError when it names none."""
    name = conninfo_to_dict(url).get("dbname")
    if not name:
        raise DatabaseError("DATABASE_URL names no database: it must end in /NAME")
    return str(name)


def with_database(url: str, name: str) -> str:
    """`url` with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def connect(url: str) -> Iterator[psycopg.Connection]:
    """A connection in autocommit mode to a server that is new enough. Raises DatabaseError."""
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=10, application_name="millrace-manage")
    except psycopg.OperationalError as error:
        raise DatabaseError(f"cannot connect to the database: {str(error).strip()}") from None
    with connection:
        if connection.info.server_version < OLDEST_SERVER * 10000:
            raise DatabaseError(f"PostgreSQL {OLDEST_SERVER} or newer is needed")
        yield connection


@contextmanager
def _maintenance(url: str) -> Iterator[psycopg.Connection]:
    """A connection to the server's database `postgres`, to create and drop others."""
    if database_name(url) in ("postgres", "template0", "template1"):
        raise DatabaseError(f"{database_name(url)} belongs to the server: name a database of your own")
    with connect(with_database(url, "postgres")) as connection:
        try:
            yield connection
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseError(
                f"the role may not create or drop this database: {error.diag.message_primary}"
            ) from None


@contextmanager
def _may_end_connections(connection: psycopg.Connection) -> Iterator[None]:
    """Be a member, for a moment, of the roles that log in: only then may we end their connections."""
    rows = connection.execute(
        "select rolname from pg_roles where rolname in ('app', 'manager', 'backup') and rolname <> current_user"
        " and pg_has_role(current_user, oid, 'member with admin option')"
    ).fetchall()
    roles = [sql.Identifier(name) for (name,) in rows]
    for role in roles:
        connection.execute(sql.SQL("grant {} to current_user with inherit true, set false").format(role))
    try:
        yield
    finally:
        for role in roles:
            connection.execute(sql.SQL("revoke {} from current_user granted by current_user").format(role))
