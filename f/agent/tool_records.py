# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "psycopg==3.3.9",
#   "psycopg-binary==3.3.9", "referencing==0.37.0", "rpds-py==2026.9.1", "typing-extensions==4.16.0",
# ]
# ///
"""What the database knows of tools: servers, what they offer, and every call of a turn."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from f.agent import queries
from f.agent.tool_servers import CALL_SECONDS, Server, ToolUnavailable, ToolUncertain
from f.agent.tools import Execution, Offer, shorten, sound_tools
from f.lib.alerts import raise_alert, resolve_alert
from f.lib.database import Connection, tenant
from f.lib.ids import tool_execution_id


@dataclass(frozen=True)
class TurnRecords:
    """The calls of one turn. `hold` proves, inside a transaction, that the turn is still ours."""

    connection: Connection
    organization_id: str
    chatbot_id: str
    turn_id: str
    hold: Callable[[], Any]

    def begin(self, offer: Offer, arguments: dict[str, Any], repeatable: bool) -> Execution | None:
        """Record a call before it is made; None when the tool is not enabled any more."""
        canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        execution_id = tool_execution_id(self.turn_id, offer.integration_id, offer.tool_name, canonical)
        values = {
            "organization_id": self.organization_id,
            "chatbot_id": self.chatbot_id,
            "turn_id": self.turn_id,
            "execution_id": execution_id,
            "integration_id": offer.integration_id,
            "tool_name": offer.tool_name,
            "arguments": Jsonb(arguments),
            "repeatable": repeatable,
        }
        with tenant(self.connection, self.organization_id):
            self.hold()
            row = self.connection.execute(queries.BEGIN_EXECUTION, values).fetchone()
        return Execution(execution_id, row["state"], row["result"]) if row else None

    def finish(
        self, offer: Offer, execution: Execution, state: str, ms: int, result: str | None, error: str | None
    ) -> None:
        """How the call ended: true even if the turn is not ours any more."""
        values = {
            "organization_id": self.organization_id,
            "execution_id": execution.id,
            "state": state,
            "duration_ms": ms,
            "result": result,
            "error": error,
        }
        with tenant(self.connection, self.organization_id):
            self.connection.execute(queries.FINISH_EXECUTION, values)
            if error is not None:
                subject = f"{offer.integration}.{offer.tool_name}"
                details = {"state": state, "reason": error, "execution_id": str(execution.id)}
                raise_alert(self.connection, self.organization_id, "tool_failed", subject, details)

    def earlier(self) -> list[dict[str, Any]]:
        """The calls of this turn so far, in order."""
        values = {"organization_id": self.organization_id, "turn_id": self.turn_id}
        with tenant(self.connection, self.organization_id):
            return self.connection.execute(queries.READ_EXECUTIONS, values).fetchall()


def refresh(
    connection: Connection,
    organization_id: str,
    integration_id: UUID,
    name: str,
    server: Server,
    seconds: float = CALL_SECONDS,
) -> list[dict[str, Any]] | None:
    """Ask a server what it offers and keep what of it is sound; None, with an alert, when it does not answer."""
    values: dict[str, Any] = {"organization_id": organization_id, "integration_id": integration_id}
    try:
        tools, problems = sound_tools(server.list_tools(seconds))
    except (ToolUnavailable, ToolUncertain) as error:
        reason = shorten(str(error))
        with tenant(connection, organization_id):
            connection.execute(queries.STORE_REFRESH_FAILURE, {**values, "error": reason})
            raise_alert(connection, organization_id, "tools_not_listed", name, {"reason": reason})
        return None
    with tenant(connection, organization_id):
        error_text = "; ".join(problems) or None
        connection.execute(queries.STORE_TOOLS, {**values, "tools": Jsonb(tools), "error": error_text})
        resolve_alert(connection, organization_id, "tools_not_listed", name)
        if problems:
            raise_alert(connection, organization_id, "tools_not_sound", name, {"problems": problems[:20]})
        else:
            resolve_alert(connection, organization_id, "tools_not_sound", name)
    return tools
