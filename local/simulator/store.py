"""What the simulator remembers, in one SQLite file: people, what they saw, and deliveries that are still due."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.simulator.payloads import Person

VERSION = 1
SCHEMA = """
create table people (key text primary key, name text not null, wa_id text unique, user_id text unique);
create table contacts (
  phone_number_id text not null, user_id text not null, person text not null references people,
  primary key (phone_number_id, user_id)
);
create table messages (
  seq integer primary key, wamid text not null unique, person text not null references people,
  phone_number_id text not null, direction text not null check (direction in ('in', 'out')),
  kind text not null, text text not null, payload text not null, at real not null,
  status text not null, callback_data text,
  gateway_status integer, gateway_attempts integer not null default 0, gateway_error text
);
create index messages_chat on messages (person, phone_number_id, seq);
create table deliveries (
  id integer primary key, wamid text not null, status text, body blob not null,
  created_at real not null, due_at real not null, attempts integer not null default 0
);
create index deliveries_due on deliveries (due_at);
"""
#: Numbers that were bought; a state file of before has none.
NUMBERS = """
create table if not exists numbers (
  phone_number_id text primary key, display_phone_number text not null, name text not null, slug text not null,
  chatbot_id text not null, waba_id text not null, language text not null, access_token text not null
);
"""
#: A later status never gives way to an earlier one.
RANK = {"accepted": 0, "sent": 1, "delivered": 2, "read": 3, "failed": 4}


class StateError(Exception):
    """The state file cannot be used; the message says why."""


@dataclass(frozen=True)
class Delivery:
    """A body for the gateway. `status` is the status of message `wamid` that it tells, None for the message itself."""

    id: int
    wamid: str
    status: str | None
    body: bytes
    created_at: float
    attempts: int


class Store:
    """Everything in it is written at once; a killed process loses nothing that it had answered for."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path)
            self._db.row_factory = sqlite3.Row
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = normal")
            found = self._db.execute("pragma user_version").fetchone()[0]
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path} cannot be used: {error}") from error
        if found not in (0, VERSION):
            raise StateError(f"{path} is of another version of the simulator: delete it to begin anew")
        if found == 0:
            self._db.executescript(f"begin; {SCHEMA} pragma user_version = {VERSION}; commit;")
        self._db.executescript(NUMBERS)

    def close(self) -> None:
        self._db.close()

    # People -----------------------------------------------------------------------------------

    def people(self) -> list[Person]:
        return [
            Person(**row) for row in self._db.execute("select key, name, wa_id, user_id from people order by rowid")
        ]

    def person(self, key: str) -> Person | None:
        """By phone number in digits or by user id."""
        row = self._db.execute("select key, name, wa_id, user_id from people where ? in (key, wa_id, user_id)", [key])
        found = row.fetchone()
        return Person(**found) if found else None

    def person_known_as(self, phone_number_id: str, user_id: str) -> Person | None:
        """Whom a number knows under this business-scoped id."""
        found = self._db.execute(
            "select person from contacts where phone_number_id = ? and user_id = ?", [phone_number_id, user_id]
        ).fetchone()
        return self.person(found["person"]) if found else None

    def put_person(self, person: Person) -> None:
        with self._db:
            self._db.execute(
                "insert into people (key, name, wa_id, user_id) values (:key, :name, :wa_id, :user_id)"
                " on conflict (key) do update"
                " set name = excluded.name, wa_id = excluded.wa_id, user_id = excluded.user_id",
                vars(person),
            )

    # Numbers ----------------------------------------------------------------------------------

    def numbers(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._db.execute("select * from numbers order by rowid")]

    def add_number(self, number: dict[str, Any]) -> None:
        with self._db:
            self._db.execute(
                "insert into numbers values (:phone_number_id, :display_phone_number, :name, :slug, :chatbot_id,"
                " :waba_id, :language, :access_token)",
                number,
            )

    # Messages ---------------------------------------------------------------------------------

    def add_message(
        self, message: dict[str, Any], bodies: Iterable[tuple[str | None, bytes, float]], user_id: str
    ) -> list[int]:
        """Keep a message (columns by name) and the deliveries about it: (status, body, due at). Returns their ids.

        A message whose wamid is known is not kept again, its deliveries are.
        """
        row = {"callback_data": None, **message, "payload": json.dumps(message["payload"])}
        with self._db:
            self._db.execute(
                "insert into messages (wamid, person, phone_number_id, direction, kind, text, payload, at, status,"
                " callback_data) values (:wamid, :person, :phone_number_id, :direction, :kind, :text, :payload, :at,"
                " :status, :callback_data) on conflict (wamid) do nothing",
                row,
            )
            self._db.execute(
                "insert into contacts (phone_number_id, user_id, person) values (?, ?, ?)"
                " on conflict (phone_number_id, user_id) do update set person = excluded.person",
                [row["phone_number_id"], user_id, row["person"]],
            )
            ids = []
            for status, body, due_at in bodies:
                cursor = self._db.execute(
                    "insert into deliveries (wamid, status, body, created_at, due_at) values (?, ?, ?, ?, ?)",
                    [row["wamid"], status, body, row["at"], due_at],
                )
                ids.append(int(cursor.lastrowid or 0))
        return ids

    def message(self, wamid: str) -> dict[str, Any] | None:
        row = self._db.execute("select * from messages where wamid = ?", [wamid]).fetchone()
        return dict(row) if row else None

    def messages(self, person: str | None, phone_number_id: str | None, most: int) -> list[dict[str, Any]]:
        """The last `most` messages that people saw, in that order, of one person or number if named."""
        rows = self._db.execute(
            "select * from messages where (?1 is null or person = ?1) and (?2 is null or phone_number_id = ?2)"
            " and not (direction = 'out' and status = 'failed') order by seq desc limit ?3",
            [person, phone_number_id, most],
        ).fetchall()
        return [dict(row) for row in reversed(rows)]

    def last_inbound_at(self, person: str, phone_number_id: str) -> float | None:
        row = self._db.execute(
            "select max(at) from messages where person = ? and phone_number_id = ? and direction = 'in'",
            [person, phone_number_id],
        ).fetchone()
        return float(row[0]) if row[0] is not None else None

    def advance(self, wamid: str, status: str) -> bool:
        """Move a message's status forward; False when it is there already, or further."""
        behind = [name for name, rank in RANK.items() if rank < RANK[status]]
        marks = ",".join("?" * len(behind))
        with self._db:
            done = self._db.execute(
                f"update messages set status = ? where wamid = ? and status in ({marks})",  # noqa: S608 — marks only
                [status, wamid, *behind],
            )
        return done.rowcount > 0

    def read_until(self, wamid: str) -> list[str]:
        """Mark an inbound message and those before it in its chat as read. Returns the wamids that changed."""
        with self._db:
            rows = self._db.execute(
                "update messages set status = 'read' where direction = 'in' and status <> 'read' and exists ("
                " select 1 from messages m where m.wamid = ? and m.person = messages.person"
                " and m.phone_number_id = messages.phone_number_id and m.seq >= messages.seq) returning wamid",
                [wamid],
            ).fetchall()
        return [row["wamid"] for row in rows]

    # Deliveries -------------------------------------------------------------------------------

    def delivery(self, delivery_id: int) -> Delivery | None:
        row = self._db.execute(
            "select id, wamid, status, body, created_at, attempts from deliveries where id = ?", [delivery_id]
        ).fetchone()
        return Delivery(**row) if row else None

    def due(self, now: float, most: int) -> list[int]:
        rows = self._db.execute("select id from deliveries where due_at <= ? order by due_at, id limit ?", [now, most])
        return [row["id"] for row in rows]

    def next_due(self, now: float) -> float | None:
        row = self._db.execute("select min(due_at) from deliveries where due_at > ?", [now]).fetchone()
        return float(row[0]) if row[0] is not None else None

    def pending(self) -> list[dict[str, Any]]:
        rows = self._db.execute("select id, wamid, status, attempts, due_at from deliveries order by due_at, id")
        return [dict(row) for row in rows]

    def everything_is_due(self, now: float) -> None:
        """After a restart nothing waits for a backoff that began before it."""
        with self._db:
            self._db.execute("update deliveries set due_at = ? where attempts > 0 and due_at > ?", [now, now])

    def attempted(self, delivery: Delivery, http_status: int, error: str | None, again_at: float | None) -> None:
        """Note how an attempt went; `again_at` None: there will be no other."""
        with self._db:
            if again_at is None:
                self._db.execute("delete from deliveries where id = ?", [delivery.id])
            else:
                self._db.execute(
                    "update deliveries set attempts = attempts + 1, due_at = ? where id = ?", [again_at, delivery.id]
                )
            if delivery.status is None:
                self._db.execute(
                    "update messages set gateway_status = ?, gateway_error = ?, gateway_attempts = gateway_attempts + 1"
                    " where wamid = ?",
                    [http_status, error, delivery.wamid],
                )
