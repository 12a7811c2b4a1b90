# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0", "wmill==1.850.0",
# ]
# ///
"""Take a message up again that failed, or that came before its number was known"""

import json
from typing import Any

import wmill

from f.admin.desk import Desk, open_desk
from f.lib.alerts import resolve_alert, resolve_alerts
from f.lib.database import Connection, connect, tenant
from f.lib.ids import continuation_job_id
from f.lib.runs import MESSAGE_FLOW, start_flow
from f.lib.windmill import get_resource
from f.ops import queries, repair_queries
from f.whatsapp import event_queries
from f.whatsapp.deliveries import parse_message
from f.whatsapp.load_context import store

#: Messages of one number that one run takes up; the next one goes on.
MOST = 200


class NotFound(Exception):
    """There is no such message, or the number is still nobody's."""


class NotReplayed(Exception):
    """The message is left as it is; the text says why."""


def main(organization: str = "", message: str = "", phone_number_id: str = "", again: bool = False) -> dict:
    """Purpose: what went wrong is mended, and the customer still gets the answer.

    organization: slug or id of the organisation that the message is for
    message: its `event_id` in outcome_ledger, or Meta's id (wamid)
    phone_number_id: instead of both, Meta's id of a number that is connected by now: all that came to it before
    again: also a message that was answered, left to a person or wants no answer; there may be a second answer then

    What was to be answered together is answered together. A message that waits or is being answered is left alone,
    so running this twice sends nothing twice. Refused are messages of which the customer may have seen a part of a
    reply and those that want none (unless `again`), those older than WhatsApp's 24 hours, and those in a conversation
    that a person has: run resume_conversation first.

    Returns `state`: "started", "waits already", "nothing to replay", and the conversations.
    """
    message, phone_number_id = (message or "").strip(), (phone_number_id or "").strip()
    if bool(message) == bool(phone_number_id):
        raise ValueError("fill in organization and message, or phone_number_id")
    with open_desk("replay_message", None) as desk, connect(get_resource("f/lib/database")) as connection:
        if phone_number_id:
            return replay_unrouted(desk, connection, phone_number_id)
        organization_id = desk.organization((organization or "").strip() or None)
        return replay_stored(desk, connection, organization_id, message, bool(again))


def replay_stored(desk: Desk, connection: Connection, organization_id: str, message: str, again: bool) -> dict:
    is_number = message.isascii() and message.isdigit() and len(message) < 19
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "event_id": int(message) if is_number else None,
        "wamid": message,
    }
    with desk.work(organization_id) as record, tenant(connection, organization_id):
        found = connection.execute(repair_queries.FIND_EVENT, values).fetchone()
        if found is None:
            raise NotFound("no message of this organisation has this id")
        values |= found
        conversation = connection.execute(repair_queries.LOCK_CONVERSATION, values).fetchone()
        event = connection.execute(repair_queries.READ_EVENT, values).fetchone()
        assert conversation is not None and event is not None
        values |= event
        if why := reason_to_leave(conversation, event, again):
            raise NotReplayed(why)
        reopened, fence = 0, None
        if event["outcome"] is not None:
            reopened = len(connection.execute(repair_queries.REOPEN_EVENTS, values).fetchall())
            fence = take_up(connection, values)
            resolve_alert(connection, organization_id, "turn_failed", str(event["turn_id"]))
            resolve_alert(connection, organization_id, "reply_failed", str(values["conversation_id"]))
        record(
            "message",
            str(event["event_id"]),
            old={"outcome": event["outcome"]},
            new={"messages": reopened, "again": again},
        )
    if fence is not None:
        start(organization_id, str(values["conversation_id"]), fence)
    return {
        "state": "started" if reopened else "waits already",
        "messages": reopened,
        "conversations": [str(values["conversation_id"])],
    }


def reason_to_leave(conversation: dict[str, Any], event: dict[str, Any], again: bool) -> str | None:
    if conversation["is_erased"]:
        return "the person was erased"
    if event["outcome"] is None:
        return None
    if not event["is_text"]:
        return "there is nothing in it to answer"
    if event["is_too_late"]:
        return "it is more than 24 hours old: WhatsApp takes no reply to it any more"
    if conversation["mode"] == "person":
        return "a person has the conversation: run resume_conversation first"
    if not conversation["is_active"]:
        return "the chatbot is not active"
    if not again and event["is_silent"]:
        return "it wants no answer: tick `again` to answer it all the same"
    if not again and (event["is_answered"] or event["outcome"] not in ("failed", "refused")):
        return f"it is {event['outcome']}, and the customer may have seen a reply: tick `again` for a second one"
    return None


def replay_unrouted(desk: Desk, connection: Connection, phone_number_id: str) -> dict:
    route = connection.execute(event_queries.ROUTE_NUMBER, {"phone_number_id": phone_number_id}).fetchone()
    if route is None:
        raise NotFound("no chatbot has this number: connect it first")
    organization_id = str(route["organization_id"])
    fences: dict[str, int | None] = {}
    with desk.work(organization_id) as record, tenant(connection, organization_id):
        values: dict[str, Any] = {"phone_number_id": phone_number_id, "most": MOST}
        rows = connection.execute(repair_queries.TAKE_UNROUTED, values).fetchall()
        for row in rows:
            inbound = parse_message(delivery_of(row, phone_number_id))
            stored = store(connection, inbound, str(row["job_id"]))
            if stored["state"] == "stored":
                keys = {"organization_id": organization_id, "conversation_id": stored["conversation_id"]}
                connection.execute(repair_queries.DATE_BACK, {**keys, **values, "wamid": inbound.wamid})
                fences.setdefault(stored["conversation_id"], None)
        for conversation_id in fences:
            keys = {"organization_id": organization_id, "conversation_id": conversation_id}
            fences[conversation_id] = take_up(connection, keys)
        if len(rows) < MOST:
            resolve_alerts(connection, None, "message_unrouted", [phone_number_id])
        record("number", phone_number_id, new={"messages": len(rows), "conversations": len(fences)})
    for conversation_id, fence in fences.items():
        if fence is not None:
            start(organization_id, conversation_id, fence)
    return {
        "state": "started" if fences else "nothing to replay",
        "messages": len(rows),
        "conversations": list(fences),
        "more": len(rows) == MOST,
    }


def delivery_of(row: dict[str, Any], phone_number_id: str) -> str:
    """The message as the gateway queued it."""
    return json.dumps(
        {
            "app_id": row["app_id"],
            "waba_id": row["waba_id"],
            "phone_number_id": phone_number_id,
            "message": row["payload"],
            "received_at": row["received_at"].isoformat(),
            "position": row["place"],
        }
    )


def take_up(connection: Connection, keys: dict[str, Any]) -> int | None:
    """The fence under which a run may begin; None when one is at work, which finds what waits when it ends."""
    lease = connection.execute(queries.RESUME_CONVERSATION, keys).fetchone()
    return lease["lease_fence"] if lease else None


def start(organization_id: str, conversation_id: str, fence: int) -> None:
    """When Windmill does not take it, the sweep does within a minute or two."""
    conversation = {"organization_id": organization_id, "conversation_id": conversation_id}
    job_id = continuation_job_id(conversation_id, fence)
    start_flow(wmill.Windmill(), MESSAGE_FLOW, {"conversation": conversation}, job_id)
