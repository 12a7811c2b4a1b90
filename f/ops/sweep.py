"""Take up what was stranded: every 30 seconds, by a schedule."""

from datetime import UTC, datetime, timedelta
from typing import Any

import wmill

from f.lib.alerts import raise_alert
from f.lib.database import Connection, connect, tenant
from f.lib.ids import continuation_job_id, message_job_id, rerun_job_id
from f.lib.runs import MESSAGE_FLOW, arguments_of, failed_runs, start_flow
from f.ops import queries
from f.whatsapp.deliveries import Inbound, parse_message
from f.whatsapp.send_reply import settle_uncertain

#: Rows of each kind that one sweep takes up; the next one goes on.
MOST = 200

#: How far back unsuccessful runs are looked at. One is repeated after 0, 1, 2, 4, 8 … minutes.
LOOK_BACK = timedelta(hours=24)


def main(database: dict) -> dict:
    """Purpose: whatever was killed, lost or left behind still gets its outcome.

    Never sends anything itself and never repeats a send. Returns how many sends were settled as
    uncertain, conversations resumed, and runs repeated whose message had not been stored.
    """
    client = wmill.Windmill()
    with connect(database) as connection:
        return {
            "uncertain": settle_stuck_sends(connection),
            "resumed": resume_conversations(connection, client),
            "rerun": rerun_lost_messages(connection, client),
        }


def settle_stuck_sends(connection: Connection) -> int:
    """A call that began a minute ago and has no result: its process is gone, the message may not be."""
    stuck = connection.execute(queries.STUCK_SENDS, {"most": MOST}).fetchall()
    for row in stuck:
        with tenant(connection, row["organization_id"]):
            settle_uncertain(connection, row, "the process that sent it is gone")
    return len(stuck)


def resume_conversations(connection: Connection, client: Any) -> int:
    """Start a run for each conversation in which a message waits and no run has the lease."""
    resumed = 0
    for row in connection.execute(queries.STRANDED, {"most": MOST}).fetchall():
        with tenant(connection, row["organization_id"]):
            lease = connection.execute(queries.RESUME_CONVERSATION, row).fetchone()
        if lease is None:
            continue  # somebody was faster
        conversation = {key: str(row[key]) for key in ("organization_id", "conversation_id")}
        job_id = continuation_job_id(conversation["conversation_id"], lease["lease_fence"])
        resumed += start_flow(client, MESSAGE_FLOW, {"conversation": conversation}, job_id)
    return resumed


def rerun_lost_messages(connection: Connection, client: Any) -> int:
    """Repeat runs that failed, or were cancelled, before their message was stored."""
    rerun = 0
    now = datetime.now(UTC)
    for run in failed_runs(client, MESSAGE_FLOW, (now - LOOK_BACK).isoformat()):
        delivery = arguments_of(client, run["id"]).get("delivery")
        if delivery is None:
            continue  # it took up a conversation, and that is resumed above
        try:
            inbound = parse_message(delivery)
        except (KeyError, TypeError, ValueError) as error:
            raise_alert(connection, None, "run_not_readable", run["id"], {"error": type(error).__name__})
            continue
        if run["id"] != str(message_job_id(inbound.phone_number_id, inbound.wamid)) or is_stored(connection, inbound):
            continue  # only the first run counts: its repetitions are its own attempts
        age = now - datetime.fromisoformat(run["created_at"])
        attempt = 1 + int(age.total_seconds() // 60).bit_length()
        rerun += start_flow(client, MESSAGE_FLOW, {"delivery": delivery}, rerun_job_id(run["id"], attempt))
    return rerun


def is_stored(connection: Connection, inbound: Inbound) -> bool:
    keys: dict[str, Any] = {"phone_number_id": inbound.phone_number_id, "wamid": inbound.wamid}
    route = connection.execute(queries.ROUTE_NUMBER, keys).fetchone()
    if route is None:
        return False
    with tenant(connection, route["organization_id"]):
        keys["organization_id"] = route["organization_id"]
        return connection.execute(queries.EVENT_KNOWN, keys).fetchone() is not None
