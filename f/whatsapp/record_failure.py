# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""What the flow does when a step has failed for good: nothing ends silently."""

from psycopg.types.json import Jsonb

from f.lib.alerts import raise_alert
from f.lib.database import connect, tenant
from f.lib.logs import logged, note
from f.whatsapp import turn_queries
from f.whatsapp.leases import LeaseLost, Turn, hold_lease, release_lease


@logged
def main(database: dict, error_name: str, step_id: str, turn: dict | None = None) -> dict:
    """Purpose: the messages of a turn that failed get their outcome, and an operator an alert.

    Input: which error ended which step (not its message, which may hold a customer's words) and
    the turn, None when the first step failed; its message is found again by the sweep. What is
    being sent is left to the sweep as well: it may have gone out. Returns `state`: "recorded" or
    "superseded".
    """
    details = {"step": step_id, "error": error_name}
    note(**details)
    with connect(database) as connection:
        if turn is None:
            raise_alert(connection, None, "message_not_stored", step_id, details)
            return {"state": "recorded"}
        this = Turn.of(turn)
        reason = f"{error_name} in {step_id}"
        values = {**this.parameters, "position": 0, "error": Jsonb({"reason": reason}), "outcome_reason": reason}
        try:
            with tenant(connection, this.organization_id):
                hold_lease(connection, this)
                connection.execute(turn_queries.FAIL_UNSENT, values)
                connection.execute(turn_queries.FAIL_EVENTS, values)
                connection.execute(turn_queries.FINISH_TURN, {**values, "error": reason})
                release_lease(connection, this)
                raise_alert(connection, this.organization_id, "turn_failed", this.turn_id, details)
        except LeaseLost:
            return {"state": "superseded"}
    return {"state": "recorded"}
