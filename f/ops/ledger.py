# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Messages that get no outcome: an alert for each, closed when it has one after all."""

from f.lib.alerts import raise_alert, resolve_alert
from f.lib.database import Connection, tenant
from f.ops import queries

KIND = "message_without_outcome"


def follow_overdue(connection: Connection, most: int) -> int:
    """Raise what is overdue, `most` at once; close the alerts of what is settled. Returns how many were raised."""
    for row in connection.execute(queries.SETTLED_MESSAGES, {"most": most}).fetchall():
        with tenant(connection, row["organization_id"]):
            resolve_alert(connection, row["organization_id"], KIND, row["event_id"])
    raised = 0
    for row in connection.execute(queries.OVERDUE_MESSAGES, {"most": most}).fetchall():
        with tenant(connection, row["organization_id"]):
            if connection.execute(queries.IS_OPEN, row).fetchone() is None:
                continue  # it was settled meanwhile
            details = {"conversation_id": str(row["conversation_id"])}
            raise_alert(connection, row["organization_id"], KIND, str(row["event_id"]), details)
            raised += 1
    return raised
