"""Step 3: send the outbox's parts in order, settle the turn, and take care of what came in meanwhile."""

from typing import Any

from psycopg.types.json import Jsonb

from f.lib.alerts import raise_alert
from f.lib.database import Connection, connect, tenant
from f.lib.ids import continuation_job_id
from f.lib.runs import MESSAGE_FLOW, start_flow
from f.whatsapp import queries
from f.whatsapp.cloud_api import CloudApi, SendError, SendUncertain
from f.whatsapp.leases import LeaseLost, Turn, hold_lease

#: Times that one part is tried when WhatsApp says "later".
MAX_ATTEMPTS = 8


class SendLater(Exception):
    """Nothing was sent and it may be tried again: the flow's retry decides when."""


class SendInProgress(Exception):
    """The same part is being sent by a twin of this step, or was when that died; it is not sent twice."""


def main(database: dict, turn: dict, whatsapp: dict, access_token: str) -> dict:
    """Purpose: each part of a reply goes out at most once, and every message gets its outcome.

    WhatsApp has no idempotency key: a part is marked `sending` before the call and never sent
    again unless WhatsApp said that it was not sent. The lease is released in the transaction
    that looks for messages the turn has not seen; if there are any, one continuation is queued.

    Returns `state`: "finished" (with `delivery`: sent, uncertain, failed or none) or "superseded".
    Raises SendLater or SendInProgress for the flow to retry.
    """
    this = Turn.of(turn)
    with connect(database) as connection:
        try:
            with tenant(connection, this.organization_id):
                conversation = hold_lease(connection, this)
                contact = connection.execute(
                    queries.READ_CONTACT, {**this.parameters, "contact_id": conversation["contact_id"]}
                ).fetchone()
                assert contact is not None
            with CloudApi(whatsapp, conversation["phone_number_id"], access_token) as api:
                while send_next(connection, this, api, contact):
                    pass
            result = finish(connection, this)
        except LeaseLost:
            result = {"state": "superseded", "waiting": finished_before(connection, this)}
        if result.pop("waiting"):
            continue_with(this)
        return result


def send_next(connection: Connection, turn: Turn, api: CloudApi, contact: dict[str, Any]) -> bool:
    """Send the next part; False when none is left."""
    with tenant(connection, turn.organization_id):
        conversation = hold_lease(connection, turn)
        part = connection.execute(queries.NEXT_PART, turn.parameters).fetchone()
        if part is None:
            return False
        values = {**conversation, **turn.parameters, "outbox_id": part["id"], "position": part["position"]}
        if part["state"] == "sending":
            if not part["abandoned"]:
                raise SendInProgress(str(part["id"]))
            settle_uncertain(connection, values, "the process that sent it is gone")
            return True
        if not connection.execute(queries.CLAIM_PART, values).rowcount:
            return True  # a status has settled it meanwhile
    try:
        wamid = api.send_text(contact, part["body"], callback_data=str(part["id"]))
    except SendUncertain as error:
        with tenant(connection, turn.organization_id):
            settle_uncertain(connection, values, str(error))
    except SendError as error:
        refuse(connection, values, error, part["attempts"] + 1)
    else:
        with tenant(connection, turn.organization_id):
            connection.execute(queries.PART_SENT, {**values, "wamid": wamid})
            connection.execute(queries.COPY_WAMID, values)
    return True


def settle_uncertain(connection: Connection, values: dict[str, Any], reason: str) -> None:
    """Unless a status has settled it already."""
    details = {"reason": reason}
    if connection.execute(queries.PART_UNCERTAIN, {**values, "error": Jsonb(details)}).rowcount:
        raise_alert(connection, values["organization_id"], "reply_uncertain", str(values["outbox_id"]), details)


def refuse(connection: Connection, values: dict[str, Any], error: SendError, attempts: int) -> None:
    """Nothing was sent: wait for another attempt, or fail this part and those after it."""
    details = {"reason": error.reason, "code": error.code}
    with tenant(connection, values["organization_id"]):
        if error.later and attempts < MAX_ATTEMPTS:
            connection.execute(queries.PART_WAITS, {**values, "error": Jsonb(details)})
        else:
            connection.execute(queries.FAIL_PARTS, {**values, "error": Jsonb(details)})
            if error.needs_operator:
                kind, subject = "number_needs_operator", values["phone_number_id"]
            else:
                kind, subject = "reply_failed", values["conversation_id"]
            raise_alert(connection, values["organization_id"], kind, subject, details)
    if error.later and attempts < MAX_ATTEMPTS:
        raise SendLater(str(error)) from error


def finish(connection: Connection, turn: Turn) -> dict[str, Any]:
    """Settle the turn and release the lease; `waiting` says whether something came in meanwhile."""
    with tenant(connection, turn.organization_id):
        hold_lease(connection, turn)
        delivery = connection.execute(queries.DELIVERY_OF_TURN, turn.parameters).fetchone()
        assert delivery is not None
        outcome, reason = outcome_of(delivery)
        values = {
            **turn.parameters,
            "outcome": outcome,
            "outcome_reason": reason,
            "error": delivery["reason"] if outcome == "failed" else None,
        }
        connection.execute(queries.SETTLE_EVENTS, values)
        connection.execute(queries.FINISH_TURN, values)
        waiting = connection.execute(queries.ANYTHING_WAITING, values).fetchone()
        connection.execute(queries.RELEASE_LEASE, values)
    return {"state": "finished", "delivery": delivery["delivery"], "waiting": bool(waiting and waiting["waiting"])}


def outcome_of(delivery: dict[str, Any]) -> tuple[str, str]:
    """How the turn's messages end, and why. A notice that a quota is used up is no answer, sent or not."""
    if delivery["refusal"] is not None:
        return "refused", delivery["refusal"]
    if delivery["delivery"] == "failed":
        return "failed", f"not sent: {delivery['reason']}"
    return "answered", f"delivery: {delivery['delivery']}"


def finished_before(connection: Connection, turn: Turn) -> bool:
    """Whether an earlier attempt of this very step released the lease, but may not have queued what waits."""
    with tenant(connection, turn.organization_id):
        free = connection.execute(queries.FREE_UNDER_FENCE, turn.parameters).fetchone()
        waiting = connection.execute(queries.ANYTHING_WAITING, turn.parameters).fetchone()
    return bool(free and free["free"] and waiting and waiting["waiting"])


def continue_with(turn: Turn) -> None:
    """Queue the run that answers what waits; its id lets a repeated step find it queued."""
    import wmill  # a third of a second that most replies do not need

    conversation = {"organization_id": turn.organization_id, "conversation_id": turn.conversation_id}
    start_flow(
        wmill.Windmill(),
        MESSAGE_FLOW,
        {"conversation": conversation},
        continuation_job_id(turn.conversation_id, turn.fence),
    )
