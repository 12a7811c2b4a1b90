# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0", "wmill==1.850.0",
# ]
# ///
"""Say whether a reply of which nobody knows was sent, and have it sent again if you want"""

from typing import Any, Literal

import wmill
from psycopg.types.json import Jsonb

from f.admin.desk import open_desk
from f.lib import http
from f.lib.alerts import resolve_alert
from f.lib.database import Connection, connect, tenant
from f.lib.ids import continuation_job_id
from f.lib.runs import MESSAGE_FLOW, start_flow
from f.lib.windmill import get_resource
from f.ops import queries, repair_queries
from f.whatsapp.outbox_queries import DELIVERY_OF_TURN
from f.whatsapp.send_reply import outcome_of

REASON = "a person says that it was not sent"


class NotFound(Exception):
    """This organisation has no such reply."""


class NotSettled(Exception):
    """The reply is left as it is; the text says why."""


def main(organization: str, reply_id: str, outcome: Literal["sent", "failed"], send_again: bool = False) -> dict:
    """Purpose: a reply in the state `uncertain` gets the outcome that you found out on the phone or from the customer.

    organization: slug or id
    reply_id: the subject of the alert reply_uncertain, `id` in outbox
    outcome: sent, the customer has it; failed, the customer does not have it
    send_again: with failed: send it, and the parts after it; if you are wrong, the customer gets it twice

    The same part is sent again, under its id: should WhatsApp report the first one after all before it goes out, it
    does not. It is sent only as the answer to the latest messages, within 24 hours, while the bot has the
    conversation. A part that failed for another reason can be sent again, too. The alert ends.

    Returns `state` of the reply now, and the messages' outcome.
    """
    if outcome not in ("sent", "failed"):
        raise ValueError("outcome: sent or failed")
    if send_again and outcome == "sent":
        raise ValueError("send_again: not what was sent")
    with open_desk("settle_reply", None) as desk, connect(get_resource("f/lib/database")) as connection:
        organization_id = desk.organization(organization)
        values: dict[str, Any] = {
            "organization_id": organization_id,
            "reply_id": http.uuid("reply_id", (reply_id or "").strip()),
        }
        with desk.work(organization_id) as record, tenant(connection, organization_id):
            found = connection.execute(repair_queries.FIND_REPLY, values).fetchone()
            if found is None:
                raise NotFound(values["reply_id"])
            values |= found
            conversation = connection.execute(repair_queries.LOCK_CONVERSATION, values).fetchone()
            reply = connection.execute(repair_queries.READ_REPLY, values).fetchone()
            assert conversation is not None and reply is not None
            values |= {name: reply[name] for name in ("turn_id", "position", "is_open", "has_newer", "is_too_late")}
            if reply["state"] == "uncertain":
                settle(connection, values, outcome)
            elif reply["state"] != outcome:
                raise NotSettled(f"it is {reply['state']}")
            resolve_alert(connection, organization_id, "reply_uncertain", values["reply_id"])
            fence = reopen(connection, values, conversation) if send_again else None
            result = {"state": "pending" if send_again else outcome, "outcome": end_turn(connection, values)}
            record("reply", values["reply_id"], old={"state": reply["state"]}, new=result)
    if fence is not None:
        ids = {"organization_id": organization_id, "conversation_id": str(values["conversation_id"])}
        job_id = continuation_job_id(ids["conversation_id"], fence)
        start_flow(wmill.Windmill(), MESSAGE_FLOW, {"conversation": ids}, job_id)
    return result


def settle(connection: Connection, values: dict[str, Any], outcome: str) -> None:
    error = Jsonb({"reason": REASON}) if outcome == "failed" else None
    connection.execute(repair_queries.SETTLE_REPLY, {**values, "state": outcome, "error": error})


def end_turn(connection: Connection, values: dict[str, Any]) -> str | None:
    """Bring the messages' outcome up to date; None while the turn is open: its end does that."""
    if connection.execute(repair_queries.READ_REPLY, values).fetchone()["is_open"]:  # type: ignore[index]
        return None
    delivery = connection.execute(DELIVERY_OF_TURN, values).fetchone()
    assert delivery is not None
    outcome, reason = outcome_of(delivery)
    connection.execute(repair_queries.RESETTLE_EVENTS, {**values, "outcome": outcome, "outcome_reason": reason})
    return outcome


def reopen(connection: Connection, values: dict[str, Any], conversation: dict[str, Any]) -> int | None:
    """Make the turn one that has a reply and has not sent it; the fence under which a run goes on with it."""
    obstacles = {
        "the person was erased": conversation["is_erased"],
        "a run is at work on the conversation: try again in a minute": conversation["is_leased"] or values["is_open"],
        "the conversation has gone on: answer by hand": values["has_newer"],
        "the message is more than 24 hours old: WhatsApp takes no reply to it any more": values["is_too_late"],
        "a person has the conversation": conversation["mode"] == "person",
    }
    if why := next((text for text, holds in obstacles.items() if holds), None):
        raise NotSettled(f"not sent again: {why}")
    if not connection.execute(repair_queries.REOPEN_PARTS, values).fetchall():
        raise NotSettled("not sent again: WhatsApp has taken it and could not deliver it")
    connection.execute(repair_queries.REOPEN_TURN, values)
    connection.execute(repair_queries.REOPEN_EVENTS_OF_TURN, values)
    lease = connection.execute(queries.RESUME_CONVERSATION, values).fetchone()
    return lease["lease_fence"] if lease else None
