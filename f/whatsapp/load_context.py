# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0", "wmill==1.850.0",
# ]
# ///
"""Step 1: store the message, then try to become the one run that answers its conversation."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from f.lib.alerts import raise_alert
from f.lib.database import Connection, connect, tenant
from f.lib.logs import logged, note
from f.lib.runs import has_failed_before
from f.whatsapp import event_queries, turn_queries
from f.whatsapp.contacts import ContactErased, change_contact, contact_of
from f.whatsapp.deliveries import Identity, Inbound, parse_message
from f.whatsapp.leases import take_lease

#: Seconds that a turn waits when its message had to wait for the database: longer than the flow's pause between two
#: attempts (30 s and a tenth), so that what the person wrote before is there.
LATE_SECONDS = 40

#: On a busy installation the rest of a burst comes later, as its first message does: a turn waits by what that was
#: behind. A delay up to the first of these seconds is that of any run, and more than the second is not waited for.
BEHIND_SECONDS = (1, 10)

#: An attempt that failed is at least 2 s ago, the first pause of the flow's retry, and at most as long as all of it.
LATE_AGES = (timedelta(seconds=1.5), timedelta(hours=1))


@logged
def main(database: dict, delivery: str | None = None, conversation: dict | None = None) -> dict:
    """Purpose: no accepted message is ever lost, and one run at a time answers a conversation.

    Input: the `postgresql` resource; `delivery`, JSON text of one message as the gateway queued
    it, or `conversation` (`organization_id`, `conversation_id`) when a run takes up what waits.

    The event is committed before anything else is tried. Returns `state`: "working" with `turn`
    and what the next steps need (paths of secrets, never their values); or how it ended:
    "busy" (another run will answer it), "waiting" (WhatsApp does not take it now: the sweep takes
    it up), "settled", "idle", "unrouted". Raises ContactBusy or ContactErased for the flow to retry.
    """
    job_id = os.environ.get("WM_FLOW_JOB_ID") or os.environ["WM_JOB_ID"]
    with connect(database) as connection:
        late, behind = False, 0.0
        if delivery is not None:
            inbound = parse_message(delivery)
            found = store(connection, inbound, job_id)
            if found["state"] != "stored":
                return found
            conversation = found
            late = is_late(inbound, job_id)
            behind = (datetime.now(UTC) - inbound.received_at).total_seconds()
        if conversation is None:
            raise ValueError("give either `delivery` or `conversation`")
        return begin_turn(
            connection, conversation["organization_id"], conversation["conversation_id"], job_id, late, behind
        )


def is_late(inbound: Inbound, job_id: str) -> bool:
    """Whether this message had to wait for the database. Others of the same person may still be in their pause between
    two attempts, earlier ones too: answered as soon as it is stored, each would be answered in the order of pauses.
    """
    if not LATE_AGES[0] < datetime.now(UTC) - inbound.received_at < LATE_AGES[1]:
        return False
    import wmill  # a third of a second that hardly any message needs

    return has_failed_before(wmill.Windmill(), job_id)


def store(connection: Connection, inbound: Inbound, job_id: str) -> dict[str, Any]:
    """Commit the message. A message that is stored already is left as it is."""
    note(wamid=inbound.wamid, phone_number_id=inbound.phone_number_id)
    route = connection.execute(event_queries.ROUTE_NUMBER, {"phone_number_id": inbound.phone_number_id}).fetchone()
    if route is None:
        return store_unrouted(connection, inbound, job_id, "unknown number")
    if route["app_id"] != inbound.app_id:
        return store_unrouted(connection, inbound, job_id, "signed by another app")
    if inbound.user_id is None and inbound.wa_id is None:
        return store_unrouted(connection, inbound, job_id, "no sender")
    organization_id = str(route["organization_id"])
    with tenant(connection, organization_id):
        values: dict[str, Any] = {
            "organization_id": organization_id,
            "phone_number_id": inbound.phone_number_id,
            "wamid": inbound.wamid,
            "job_id": job_id,
            "kind": inbound.kind,
            "text": inbound.text,
            "note": inbound.content.note,
            "reply_to": inbound.content.reply_to,
            "author": "contact",
            "payload": Jsonb(inbound.payload),
            "position": inbound.position,
            "sent_at": inbound.sent_at,
            "received_at": inbound.received_at,
        }
        known = connection.execute(event_queries.FIND_EVENT, values).fetchone()
        if known is None:
            values |= connection.execute(event_queries.FIND_CHATBOT, values).fetchone() or {}
            values["contact_id"] = sender_of(connection, organization_id, inbound)
            opened = connection.execute(event_queries.OPEN_CONVERSATION, values).fetchone()
            assert opened is not None
            if opened["is_erased"]:
                raise ContactErased
            values["conversation_id"] = opened["id"]
            values["outcome"], values["outcome_reason"] = outcome_at_once(inbound, values["is_active"], opened["mode"])
            if connection.execute(event_queries.STORE_EVENT, values).fetchone():
                if inbound.content.is_message:
                    connection.execute(event_queries.STORE_MESSAGE, values)
                elif inbound.kind == "revoke":
                    connection.execute(event_queries.REVOKE_MESSAGE, values)
            known = connection.execute(event_queries.FIND_EVENT, values).fetchone()
            assert known is not None
    note(organization_id=organization_id, conversation_id=known["conversation_id"])
    state = "stored" if known["outcome"] is None else "settled"
    return {
        "state": state,
        "outcome": known["outcome"],
        "reason": known["outcome_reason"],
        "organization_id": organization_id,
        "conversation_id": str(known["conversation_id"]),
    }


def sender_of(connection: Connection, organization_id: str, inbound: Inbound) -> Any:
    """The contact who wrote; after a message that says who the sender is from now, as that."""
    if inbound.change:
        known = Identity(inbound.user_id, inbound.wa_id)
        contact_id = change_contact(connection, organization_id, known, inbound.change)
        return contact_id or contact_of(connection, organization_id, inbound.change, None)
    return contact_of(connection, organization_id, Identity(inbound.user_id, inbound.wa_id), inbound.profile_name)


def outcome_at_once(inbound: Inbound, is_active: bool, mode: str) -> tuple[str | None, str | None]:
    """How a message ends that no turn is needed for; (None, None) when it waits for an answer."""
    if inbound.limited:
        return "refused", f"limit: {inbound.limited}"
    if not inbound.wants_answer:
        return "refused", inbound.content.silence
    if not is_active:
        return "refused", "chatbot is not active"
    if mode == "person":
        return "handed_over", "a person answers"
    return None, None


def begin_turn(
    connection: Connection,
    organization_id: str,
    conversation_id: str,
    job_id: str,
    late: bool = False,
    behind: float = 0,
) -> dict[str, Any]:
    """Take the lease, if it is free. `behind`: seconds between gateway and here."""
    with tenant(connection, organization_id):
        turn = take_lease(connection, organization_id, conversation_id, job_id)
        if turn is None:
            keys = {"organization_id": organization_id, "conversation_id": conversation_id}
            waiting = connection.execute(turn_queries.ANYTHING_WAITING, keys).fetchone()
            if waiting is None or not waiting["waiting"]:
                return {"state": "idle"}
            obstacle = connection.execute(turn_queries.READ_OBSTACLE, keys).fetchone()
            return {"state": "waiting", "reason": obstacle["reason"]} if obstacle else {"state": "busy"}
        settings = connection.execute(turn_queries.TURN_SETTINGS, turn.parameters).fetchone()
        assert settings is not None
        if late:
            connection.execute(turn_queries.PROLONG_LEASE, {**turn.parameters, "seconds": LATE_SECONDS})
    return {
        "state": "working",
        "turn": turn.parameters,
        "merge_seconds": LATE_SECONDS if late else merge_seconds(float(settings["merge_seconds"]), behind),
        "access_token_path": settings["access_token_path"],
        "model_resources": settings["model_resources"],
    }


def merge_seconds(setting: float, behind: float) -> float:
    """Seconds to wait for the rest of a burst; none for a chatbot that does not merge."""
    usual, most = BEHIND_SECONDS
    return round(setting + min(max(behind - usual, 0), most), 1) if setting else 0


def store_unrouted(connection: Connection, inbound: Inbound, job_id: str, reason: str) -> dict[str, Any]:
    """Keep a message that no conversation can be found for, and tell the operators."""
    with connection.transaction():
        values = {
            "job_id": job_id,
            "position": inbound.position,
            "reason": reason,
            "phone_number_id": inbound.phone_number_id,
            "waba_id": inbound.waba_id,
            "app_id": inbound.app_id,
            "field": "messages",
            "payload": Jsonb(inbound.payload),
            "received_at": inbound.received_at,
        }
        connection.execute(event_queries.STORE_UNROUTED, values)
        raise_alert(connection, None, "message_unrouted", inbound.phone_number_id, {"reason": reason})
    return {"state": "unrouted", "reason": reason}
