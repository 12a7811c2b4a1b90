# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "psycopg==3.3.9",
#   "psycopg-binary==3.3.9", "referencing==0.37.0", "rpds-py==2026.9.1", "typing-extensions==4.16.0",
# ]
# ///
"""Ask tool servers anew what they offer: every five minutes, by a schedule."""

from f.agent import queries
from f.agent.tool_records import refresh
from f.agent.tool_servers import server_of
from f.lib.caller_tokens import Caller
from f.lib.database import connect, tenant
from f.lib.logs import logged

#: Servers that one run asks; the next one goes on.
MOST = 20


@logged
def main(database: dict, tool_servers: dict) -> dict:
    """Purpose: a chatbot's tools are known before a customer writes, and change when their server does.

    Input: the resources for the database and for our own tool servers. A server that does not answer
    keeps its last list and raises an alert. Returns how many lists were refreshed and how many failed.
    """
    counts = {"refreshed": 0, "failed": 0}
    with connect(database) as connection:
        for stale in connection.execute(queries.STALE_INTEGRATIONS, {"most": MOST}).fetchall():
            organization_id = str(stale["organization_id"])
            with tenant(connection, organization_id):
                row = connection.execute(queries.READ_INTEGRATION, stale).fetchone()
            if row is None:
                continue
            server = server_of(row, tool_servers, Caller(organization_id, str(row["chatbot_id"])))
            if server is None:
                with tenant(connection, organization_id):
                    connection.execute(
                        queries.STORE_REFRESH_FAILURE, {**stale, "error": "not run by this installation"}
                    )
                continue
            tools = refresh(connection, organization_id, row["id"], row["name"], server)
            counts["failed" if tools is None else "refreshed"] += 1
    return counts
