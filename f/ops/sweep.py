# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "psycopg==3.3.9",
#   "psycopg-binary==3.3.9", "referencing==0.37.0", "rpds-py==2026.9.1", "typing-extensions==4.16.0", "wmill==1.850.0",
# ]
# ///
"""Take up what was stranded: every 30 seconds, by a schedule."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import wmill

from f.lib.alerts import raise_alert
from f.lib.database import Connection, connect, tenant
from f.lib.ids import continuation_job_id, events_job_id, message_job_id, rerun_job_id
from f.lib.logs import logged
from f.lib.runs import (
    EVENTS_SCRIPT,
    MESSAGE_FLOW,
    arguments_of,
    failed_runs,
    start_flow,
    start_script,
    success_of,
)
from f.ops import queries
from f.ops.ledger import follow_overdue
from f.usage.quotas import release_stale
from f.whatsapp import event_queries
from f.whatsapp.deliveries import Inbound, parse_message
from f.whatsapp.send_reply import settle_uncertain

#: Rows of each kind that one sweep takes up; the next one goes on.
MOST = 200

#: How far back unsuccessful runs are looked at, and for how long one is repeated: after 0, 1, 2, 4, 8 … minutes.
LOOK_BACK = timedelta(hours=24)

#: How long a run may take until it fails. What was created before that and is remembered ends the search.
LONGEST_RUN = timedelta(hours=2)


@logged
def main(database: dict) -> dict:
    """Purpose: whatever was killed, lost or left behind still gets its outcome.

    Never sends anything itself and never repeats a send. Returns how many sends were settled as
    uncertain, conversations resumed, runs repeated whose message, or whose delivery's statuses or
    other updates, had not been stored, and messages that are overdue since the last sweep.
    """
    client = wmill.Windmill()
    with connect(database) as connection:
        return {
            "uncertain": settle_stuck_sends(connection),
            "resumed": resume_conversations(connection, client),
            "released": release_stale(connection, MOST),
            "rerun": rerun_lost_messages(connection, client) + rerun_lost_events(connection, client),
            "overdue": follow_overdue(connection, MOST),
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

    def reason_to_leave(run: dict[str, Any], arguments: dict[str, Any]) -> str | None:
        if arguments.get("delivery") is None:
            return "it took up a conversation, which is resumed"
        inbound = parse_message(arguments["delivery"])
        if run["job_id"] != message_job_id(inbound.phone_number_id, inbound.wamid):
            return "a repetition"  # only the first run counts: its repetitions are its own attempts
        return "its message is stored" if is_stored(connection, inbound) else None

    return rerun(connection, client, MESSAGE_FLOW, start_flow, reason_to_leave)


def rerun_lost_events(connection: Connection, client: Any) -> int:
    """Repeat runs of store_events that failed, until one succeeds: what they had stored already stays as it is."""

    def reason_to_leave(run: dict[str, Any], arguments: dict[str, Any]) -> str | None:
        envelope = json.loads(arguments["delivery"])
        if run["job_id"] != events_job_id(envelope["kind"], envelope["body_sha256"]):
            return "a repetition"
        if run["attempts"] and success_of(client, rerun_job_id(run["job_id"], run["attempts"])):
            return "a repetition succeeded"
        return None

    return rerun(connection, client, EVENTS_SCRIPT, start_script, reason_to_leave)


def rerun(
    connection: Connection,
    client: Any,
    path: str,
    start: Callable[..., bool],
    reason_to_leave: Callable[[dict[str, Any], dict[str, Any]], str | None],
) -> int:
    """Repeat what is due of the failed runs of `path`, and remember which need not be looked at again."""
    remember_runs(connection, client, path)
    repeated = 0
    for run in connection.execute(queries.DUE_RUNS, {"path": path, "most": MOST}).fetchall():
        arguments = arguments_of(client, str(run["job_id"]))
        try:
            reason = reason_to_leave(run, arguments)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = "not readable"
            raise_alert(connection, None, "run_not_readable", str(run["job_id"]), {"error": type(error).__name__})
        if reason is None and run["created_at"] < datetime.now(UTC) - LOOK_BACK:
            reason = "given up"
            raise_alert(connection, None, "run_given_up", str(run["job_id"]), {"path": path})
        if reason is not None:
            connection.execute(queries.SETTLE_RUN, {"job_id": run["job_id"], "reason": reason})
            continue
        repetition_id = rerun_job_id(run["job_id"], run["attempts"] + 1)
        repeated += start(client, path, arguments, repetition_id)
        connection.execute(queries.REMEMBER_REPETITION, {"repetition_id": repetition_id, "path": path})
        connection.execute(queries.RUN_REPEATED, run)
    return repeated


def remember_runs(connection: Connection, client: Any, path: str) -> None:
    """Write down failed runs that are new. In quiet times this is one call, however many failed today."""
    now = datetime.now(UTC)
    for page in failed_runs(client, path, (now - LOOK_BACK).isoformat()):
        created = [datetime.fromisoformat(row["created_at"]) for row in page]
        found = {"path": path, "job_ids": [row["id"] for row in page], "created_at": created}
        new = connection.execute(queries.REMEMBER_RUNS, found).fetchall()
        if not new and min(created) < now - LONGEST_RUN:
            break
    connection.execute(queries.FORGET_RUNS)


def is_stored(connection: Connection, inbound: Inbound) -> bool:
    keys: dict[str, Any] = {"phone_number_id": inbound.phone_number_id, "wamid": inbound.wamid}
    route = connection.execute(event_queries.ROUTE_NUMBER, keys).fetchone()
    if route is None:
        return False
    with tenant(connection, route["organization_id"]):
        keys["organization_id"] = route["organization_id"]
        return connection.execute(queries.EVENT_KNOWN, keys).fetchone() is not None
