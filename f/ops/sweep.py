"""Take up what was stranded: every 30 seconds, by a schedule."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import wmill

from f.lib.alerts import raise_alert
from f.lib.database import Connection, connect, tenant
from f.lib.ids import continuation_job_id, events_job_id, message_job_id, rerun_job_id
from f.lib.runs import EVENTS_SCRIPT, MESSAGE_FLOW, arguments_of, failed_runs, start_flow, start_script
from f.ops import queries
from f.usage.quotas import release_stale
from f.whatsapp.deliveries import Inbound, parse_message
from f.whatsapp.send_reply import settle_uncertain

#: Rows of each kind that one sweep takes up; the next one goes on.
MOST = 200

#: How far back unsuccessful runs are looked at. One is repeated after 0, 1, 2, 4, 8 … minutes.
LOOK_BACK = timedelta(hours=24)


def main(database: dict) -> dict:
    """Purpose: whatever was killed, lost or left behind still gets its outcome.

    Never sends anything itself and never repeats a send. Returns how many sends were settled as
    uncertain, conversations resumed, and runs repeated whose message, or whose delivery's statuses
    or other updates, had not been stored.
    """
    client = wmill.Windmill()
    with connect(database) as connection:
        return {
            "uncertain": settle_stuck_sends(connection),
            "resumed": resume_conversations(connection, client),
            "released": release_stale(connection, MOST),
            "rerun": rerun_lost_messages(connection, client) + rerun_lost_events(connection, client),
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
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise_alert(connection, None, "run_not_readable", run["id"], {"error": type(error).__name__})
            continue
        if run["id"] != str(message_job_id(inbound.phone_number_id, inbound.wamid)) or is_stored(connection, inbound):
            continue  # only the first run counts: its repetitions are its own attempts
        rerun += start_flow(client, MESSAGE_FLOW, {"delivery": delivery}, next_job_id(run, now))
    return rerun


def rerun_lost_events(connection: Connection, client: Any) -> int:
    """Repeat runs of store_events that failed: what they had stored already stays as it is."""
    rerun = 0
    now = datetime.now(UTC)
    for run in failed_runs(client, EVENTS_SCRIPT, (now - LOOK_BACK).isoformat()):
        arguments = arguments_of(client, run["id"])
        try:
            envelope = json.loads(arguments["delivery"])
            first = events_job_id(envelope["kind"], envelope["body_sha256"])
        except (KeyError, TypeError, ValueError) as error:
            raise_alert(connection, None, "run_not_readable", run["id"], {"error": type(error).__name__})
            continue
        if run["id"] == str(first):
            rerun += start_script(client, EVENTS_SCRIPT, arguments, next_job_id(run, now))
    return rerun


def next_job_id(run: dict[str, Any], now: datetime) -> UUID:
    """The id of a run's repetition: another one after 1, 2, 4, 8 … minutes."""
    age = now - datetime.fromisoformat(run["created_at"])
    return rerun_job_id(run["id"], 1 + int(age.total_seconds() // 60).bit_length())


def is_stored(connection: Connection, inbound: Inbound) -> bool:
    keys: dict[str, Any] = {"phone_number_id": inbound.phone_number_id, "wamid": inbound.wamid}
    route = connection.execute(queries.ROUTE_NUMBER, keys).fetchone()
    if route is None:
        return False
    with tenant(connection, route["organization_id"]):
        keys["organization_id"] = route["organization_id"]
        return connection.execute(queries.EVENT_KNOWN, keys).fetchone() is not None
