"""What the platform made of a message, read from its database's view turn_details."""

import re
from collections.abc import Callable
from types import TracebackType
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

#: Seconds to wait for the database before saying that it is not there.
WAIT_SECONDS = 2

READ = """
select d.outcome, d.outcome_reason, d.turn_id, d.model, d.steps, d.tools, d.prompt_tokens, d.completion_tokens,
       d.error, d.duration_ms, d.outbox
from whatsapp_numbers n
join turn_details d on (d.organization_id, d.phone_number_id) = (n.organization_id, n.phone_number_id)
where n.phone_number_id = any(%(numbers)s) and """
#: The turn of an inbound message.
OF_MESSAGE = READ + "d.wamid = %(wamid)s"
#: The turn that sent a row of the outbox, told for the message that it answered rather than one that was merged.
REPLY = """d.turn_id = (
  select o.turn_id from outbox o where o.organization_id = n.organization_id and o.id = %(outbox_id)s::uuid)
order by (d.outcome = 'answered') desc nulls last limit 1"""
OF_REPLY = READ + REPLY
NUMBER_OF = """
select n.phone_number_id from whatsapp_numbers n
join chatbots c on (c.organization_id, c.id) = (n.organization_id, n.chatbot_id)
where n.phone_number_id = any(%(numbers)s)
  and (c.slug = %(chatbot)s or c.id::text = %(chatbot)s or lower(c.name) = lower(%(chatbot)s))
order by n.created_at limit 1"""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)


class DatabaseUnavailable(Exception):
    """The platform's database does not answer."""


class Turns:
    """Use it in an `async with` block. It connects when it is first asked."""

    def __init__(self, database_url: str, numbers: Callable[[], list[str]]) -> None:
        self._numbers = numbers
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[DictRow]] = AsyncConnectionPool(
            database_url,
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs={"row_factory": dict_row, "connect_timeout": WAIT_SECONDS},
            min_size=0,
            max_size=4,
            open=False,
            timeout=WAIT_SECONDS,
            check=AsyncConnectionPool.check_connection,
        )

    async def __aenter__(self) -> "Turns":
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def of_message(self, wamid: str) -> dict[str, Any] | None:
        """The outcome, reply and turn of an inbound message; None while it is not stored."""
        return await self._read(OF_MESSAGE, {"wamid": wamid})

    async def of_reply(self, callback_data: str) -> dict[str, Any] | None:
        """The same for a message that a chatbot sent, by its `biz_opaque_callback_data`: the outbox row's id."""
        return await self._read(OF_REPLY, {"outbox_id": callback_data}) if UUID.fullmatch(callback_data) else None

    async def number_of(self, chatbot: str) -> str | None:
        """The number that answers as the chatbot of this slug, name or id: the first that was connected."""
        row = await self._row(NUMBER_OF, {"chatbot": chatbot})
        return str(row["phone_number_id"]) if row else None

    async def _read(self, query: str, values: dict[str, Any]) -> dict[str, Any] | None:
        row = await self._row(query, values)
        return _as_answer(row) if row else None

    async def _row(self, query: str, values: dict[str, Any]) -> dict[str, Any] | None:
        try:
            async with self._pool.connection() as connection:
                # Row-level security shows the tenants' rows to this role alone.
                await connection.execute("set local role owner")
                cursor = await connection.execute(query, {**values, "numbers": self._numbers()})
                return await cursor.fetchone()
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise DatabaseUnavailable(str(error)) from error


def _as_answer(row: dict[str, Any]) -> dict[str, Any]:
    parts = row.pop("outbox") or []
    answer = {"outcome": row.pop("outcome"), "outcome_reason": row.pop("outcome_reason")}
    answer |= {"reply": [part["text"] for part in parts], "parts": parts}
    return answer | {"turn": row if row.pop("turn_id") else None}
