# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""The one way to the database: a short connection, and transactions bound to one organisation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

Connection = psycopg.Connection[dict[str, Any]]

#: A statement that takes longer is a fault; a step is repeated rather than left hanging.
SESSION = (
    "-c application_name=millrace -c statement_timeout=15s -c lock_timeout=10s"
    " -c idle_in_transaction_session_timeout=20s"
)


@contextmanager
def connect(database: dict[str, Any]) -> Iterator[Connection]:
    """A connection to the `postgresql` resource `database`, closed at the end.

    It is in autocommit mode, so that nothing is held open while a model or WhatsApp is called;
    work happens in `tenant()` blocks.
    """
    try:
        connection = psycopg.connect(
            host=database["host"],
            port=database.get("port") or 5432,
            dbname=database["dbname"],
            user=database["user"],
            password=database["password"],
            sslmode=database.get("sslmode") or "prefer",
            connect_timeout=10,
            options=SESSION,
            autocommit=True,
            row_factory=dict_row,
        )
    except psycopg.Error as error:
        # Windmill shows the attributes of an exception with the run, and here they hold the password.
        vars(error).clear()
        raise
    with connection:
        yield connection


@contextmanager
def tenant(connection: Connection, organization_id: UUID | str) -> Iterator[Connection]:
    """A transaction that sees and writes the rows of one organisation only.

    `organization_id` must come from a verified id (the number that was written to, an API key),
    never from a model or a request's body.
    """
    with connection.transaction():
        connection.execute("select set_config('app.organization_id', %s, true)", [str(organization_id)])
        yield connection
