"""Step 1: store the message, then try to become the one run that answers its conversation."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from f.lib.alerts import raise_alert
from f.lib.database import Connection, connect, tenant
from f.lib.runs import has_failed_before
from f.whatsapp import queries
from f.whatsapp.deliveries import Inbound, parse_message
from f.whatsapp.leases import take_lease

#: Seconds that a turn waits when its message had to wait for the database: longer than the flow's pause between two
#: attempts (30 s and a tenth), so that what the person wrote before is there.
LATE_SECONDS = 40

#: An attempt that failed is at least 2 s ago, the first pause of the flow's retry, and at most as long as all of it.
LATE_AGES = (timedelta(seconds=1.5), timedelta(hours=1))


def main(database: dict, delivery: str | None = None, conversation: dict | None = None) -> dict:
    """Purpose: no accepted message is ever lost, and one run at a time answers a conversation.

    Input: the `postgresql` resource; `delivery`, JSON text of one message as the gateway queued
    it, or `conversation` (`organization_id`, `conversation_id`) when a run takes up what waits.

    The event is committed before anything else is tried. Returns `state`: "working" with `turn`
    and what the next steps need (paths of secrets, never their values); or how it ended:
    "busy" (another run will answer it), "settled", "idle", "unrouted".
    """
    job_id = os.environ.get("WM_FLOW_JOB_ID") or os.environ["WM_JOB_ID"]
    with connect(database) as connection:
        late = False
        if delivery is not None:
            inbound = parse_message(delivery)
            found = store(connection, inbound, job_id)
            if found["state"] != "stored":
                return found
            conversation = found
            late = is_late(inbound, job_id)
        if conversation is None:
            raise ValueError("give either `delivery` or `conversation`")
        return begin_turn(connection, conversation["organization_id"], conversation["conversation_id"], job_id, late)


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
    route = connection.execute(queries.ROUTE_NUMBER, {"phone_number_id": inbound.phone_number_id}).fetchone()
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
            "user_id": inbound.user_id,
            "wa_id": inbound.wa_id,
            "profile_name": inbound.profile_name,
            "wamid": inbound.wamid,
            "job_id": job_id,
            "kind": inbound.kind,
            "text": inbound.text,
            "payload": Jsonb(inbound.payload),
            "position": inbound.position,
            "sent_at": inbound.sent_at,
            "received_at": inbound.received_at,
        }
        known = connection.execute(queries.FIND_EVENT, values).fetchone()
        if known is None:
            values |= connection.execute(queries.FIND_CHATBOT, values).fetchone() or {}
            values["contact_id"] = contact_id(connection, values)
            opened = connection.execute(queries.OPEN_CONVERSATION, values).fetchone()
            assert opened is not None
            values["conversation_id"] = opened["id"]
            values["outcome"], values["outcome_reason"] = outcome_at_once(inbound, values["is_active"], opened["mode"])
            if connection.execute(queries.STORE_EVENT, values).fetchone():
                connection.execute(queries.STORE_MESSAGE, values)
            known = connection.execute(queries.FIND_EVENT, values).fetchone()
            assert known is not None
    state = "stored" if known["outcome"] is None else "settled"
    return {
        "state": state,
        "outcome": known["outcome"],
        "reason": known["outcome_reason"],
        "organization_id": organization_id,
        "conversation_id": str(known["conversation_id"]),
    }


def outcome_at_once(inbound: Inbound, is_active: bool, mode: str) -> tuple[str | None, str | None]:
    """How a message ends that no turn is needed for; (None, None) when it waits for an answer."""
    if inbound.limited:
        return "refused", f"limit: {inbound.limited}"
    if not is_active:
        return "refused", "chatbot is not active"
    if mode == "person":
        return "handed_over", "a person answers"
    if not inbound.wants_answer:
        return "refused", f"no answer to: {inbound.kind}"
    return None, None


def contact_id(connection: Connection, values: dict[str, Any]) -> Any:
    """The contact who wrote, added or brought up to date."""
    connection.execute(queries.RELEASE_NUMBER, values)
    contact = connection.execute(queries.FIND_CONTACT, values).fetchone()
    if contact is None:
        added = connection.execute(queries.ADD_CONTACT, values).fetchone()
        if added:
            return added["id"]
        contact = connection.execute(queries.FIND_CONTACT, values).fetchone()
        assert contact is not None, "a contact was added meanwhile"
    if any(values[key] is not None and contact[key] != values[key] for key in ("user_id", "wa_id", "profile_name")):
        connection.execute(queries.COMPLETE_CONTACT, {**values, "contact_id": contact["id"]})
    return contact["id"]


def begin_turn(
    connection: Connection, organization_id: str, conversation_id: str, job_id: str, late: bool = False
) -> dict[str, Any]:
    with tenant(connection, organization_id):
        turn = take_lease(connection, organization_id, conversation_id, job_id)
        if turn is None:
            keys = {"organization_id": organization_id, "conversation_id": conversation_id}
            waiting = connection.execute(queries.ANYTHING_WAITING, keys).fetchone()
            return {"state": "busy" if waiting and waiting["waiting"] else "idle"}
        settings = connection.execute(queries.TURN_SETTINGS, turn.parameters).fetchone()
        assert settings is not None
        if late:
            connection.execute(queries.PROLONG_LEASE, {**turn.parameters, "seconds": LATE_SECONDS})
    return {
        "state": "working",
        "turn": turn.parameters,
        "merge_seconds": LATE_SECONDS if late else float(settings["merge_seconds"]),
        "access_token_path": settings["access_token_path"],
        "model_resources": settings["model_resources"],
    }


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
        connection.execute(queries.STORE_UNROUTED, values)
        raise_alert(connection, None, "message_unrouted", inbound.phone_number_id, {"reason": reason})
    return {"state": "unrouted", "reason": reason}
