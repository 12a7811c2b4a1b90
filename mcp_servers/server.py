"""A server of tools: calls them for a verified caller, each in one transaction, each effect once."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout
from starlette.concurrency import run_in_threadpool

from f.lib.caller_tokens import Caller
from f.lib.database import Connection, tenant
from mcp_servers import queries
from mcp_servers.errors import InternalError, KeyReused, Refusal, Unauthorized, Unavailable, UnknownTool
from mcp_servers.tool import Arguments, Call, Tool

log = logging.getLogger("mcp_servers")

#: Below the ten seconds that callers wait.
SESSION = "-c application_name=millrace-tools -c statement_timeout=5s -c lock_timeout=4s"
POOL_SECONDS = 3.0


class ToolServer:
    """`name` and `instructions` are what MCP clients see."""

    def __init__(self, name: str, instructions: str, tools: Sequence[Tool], database_url: str) -> None:
        self.name = name
        self.instructions = instructions
        self.tools = {tool.name: tool for tool in tools}
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            database_url,
            min_size=1,
            max_size=8,
            open=False,
            timeout=POOL_SECONDS,
            check=ConnectionPool.check_connection,
            kwargs={"autocommit": True, "row_factory": dict_row, "options": SESSION, "connect_timeout": 3},
        )

    def open(self) -> None:
        self._pool.open()

    def close(self) -> None:
        self._pool.close()

    async def check(self) -> None:
        """Raises Unavailable when the database does not answer."""
        try:
            await run_in_threadpool(self._ping)
        except (psycopg.Error, PoolTimeout) as error:
            raise Unavailable from error

    async def call(self, caller: Caller, name: str, arguments: dict[str, Any], key: UUID | None = None) -> Any:
        """The tool's result as JSON values. Raises a Refusal."""
        tool = self.tools.get(name)
        if tool is None:
            raise UnknownTool
        parsed = tool.parse(arguments)
        try:
            return await run_in_threadpool(self._run, tool, parsed, caller, key)
        except Refusal:
            raise
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("unavailable", extra={"fields": {"tool": name, "error": type(error).__name__}})
            raise Unavailable from error
        except Exception as error:
            log.exception("tool failed", extra={"fields": {"tool": name}})
            raise InternalError from error

    def _ping(self) -> None:
        with self._pool.connection() as connection:
            connection.execute("select 1")

    def _run(self, tool: Tool, arguments: Arguments, caller: Caller, key: UUID | None) -> Any:
        with self._pool.connection() as connection, tenant(connection, caller.organization_id):
            call = Call(connection, caller)
            row = connection.execute(queries.CALLER_KNOWN, call.parameters).fetchone()
            if row is None or not row["known"]:
                raise Unauthorized("the token names a chatbot, contact or conversation that is not served")
            if tool.has_effect and key is not None:
                return _once(tool, arguments, call, key)
            return tool.run(call, arguments).model_dump(mode="json")


def _once(tool: Tool, arguments: Arguments, call: Call, key: UUID) -> Any:
    """The effect, and its result under `key`, in the caller's transaction; or what was stored under it before."""
    request = json.dumps([tool.name, arguments.model_dump(mode="json"), asdict(call.caller)], sort_keys=True)
    values = {
        **call.parameters,
        "key": key,
        "request_hash": hashlib.sha256(request.encode()).hexdigest(),
    }
    if call.connection.execute(queries.CLAIM_KEY, values).fetchone() is None:
        stored = call.connection.execute(queries.READ_EFFECT, values).fetchone()
        if stored is None or stored["request_hash"] != values["request_hash"]:
            raise KeyReused
        return stored["result"]
    result = tool.run(call, arguments).model_dump(mode="json")
    call.connection.execute(queries.STORE_EFFECT, {**values, "result": Jsonb(result)})
    return result
