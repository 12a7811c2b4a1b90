# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0", "wmill==1.850.0",
# ]
# ///
"""Step 3: send the outbox's parts in order, settle the turn, and take care of what came in meanwhile."""

from typing import Any

from psycopg.types.json import Jsonb

from f.lib.alerts import raise_alert, resolve_alert
from f.lib.database import Connection, connect, tenant
from f.lib.ids import continuation_job_id
from f.lib.logs import log, logged, note
from f.lib.runs import MESSAGE_FLOW, start_flow
from f.whatsapp import event_queries, outbox_queries, turn_queries
from f.whatsapp.cloud_api import TOO_LATE, CloudApi, SendError, SendUncertain
from f.whatsapp.leases import LeaseLost, Turn, hold_lease, release_lease

#: Times that one part is tried by the flow's own retries when WhatsApp says "later". After that the run ends and the
#: sweep takes the turn up again, after pauses that grow from FIRST_PAUSE to LONGEST_PAUSE (seconds).
QUICK_ATTEMPTS = 4
FIRST_PAUSE = 30
LONGEST_PAUSE = 1800


class SendLater(Exception):
    """Nothing was sent and it may be tried again: the flow's retry decides when."""


class Postponed(Exception):
    """Nothing was sent, the lease is released: the sweep takes the turn up when it may be sent."""


class SendInProgress(Exception):
    """The same part is being sent by a twin of this step, or was when that died; it is not sent twice."""


@logged
def main(database: dict, turn: dict, whatsapp: dict, access_token: str) -> dict:
    """Purpose: each part of a reply goes out at most once, and every message gets its outcome.

    WhatsApp has no idempotency key: a part is marked `sending` before the call and never sent
    again unless WhatsApp said that it was not sent. The lease is released in the transaction
    that looks for messages the turn has not seen; if there are any, one continuation is queued.

    Before each part it is asked again who has the conversation: once a person has written, what is
    not sent is dropped. While the number is held, or WhatsApp says "later" again and again, the
    turn stays open, for a day at most.

    Returns `state`: "finished" (with `delivery`: sent, uncertain, failed, dropped or none), "waiting"
    or "superseded". Raises SendLater or SendInProgress for the flow to retry.
    """
    this = Turn.of(turn)
    with connect(database) as connection:
        try:
            with tenant(connection, this.organization_id):
                conversation = hold_lease(connection, this)
                contact = connection.execute(
                    outbox_queries.READ_CONTACT, {**this.parameters, "contact_id": conversation["contact_id"]}
                ).fetchone()
                assert contact is not None
            note(phone_number_id=conversation["phone_number_id"])
            with CloudApi(whatsapp, conversation["phone_number_id"], access_token) as api:
                while send_next(connection, this, api, contact):
                    pass
            result = finish(connection, this)
        except Postponed as reason:
            return {"state": "waiting", "reason": str(reason)}
        except LeaseLost:
            result = {"state": "superseded", "waiting": finished_before(connection, this)}
        if result.pop("waiting"):
            continue_with(this)
        return result


def send_next(connection: Connection, turn: Turn, api: CloudApi, contact: dict[str, Any]) -> bool:
    """Send the next part; False when none is left."""
    with tenant(connection, turn.organization_id):
        conversation = hold_lease(connection, turn)
        values: dict[str, Any] = {**conversation, **turn.parameters}
        part = connection.execute(outbox_queries.NEXT_PART, values).fetchone()
        if part is None:
            return False
        values |= {"outbox_id": part["id"], "position": part["position"]}
        if part["state"] == "sending":
            if not part["abandoned"]:
                raise SendInProgress(str(part["id"]))
            settle_uncertain(connection, values, "the process that sent it is gone")
            return True
        if conversation["is_handed_over"]:
            connection.execute(outbox_queries.DROP_PARTS, values)
            return False
        if part["is_too_late"]:
            fail(connection, values, {"reason": TOO_LATE})
            return True
        held = part["is_held"] and connection.execute(outbox_queries.CLAIM_PROBE, values).fetchone() is None
        if held:
            release_lease(connection, turn)
        elif not connection.execute(outbox_queries.CLAIM_PART, values).rowcount:
            return True  # a status has settled it meanwhile
    if held:
        raise Postponed("the number is held")
    try:
        wamid = api.send_text(contact, part["body"], callback_data=str(part["id"]))
    except SendUncertain as error:
        with tenant(connection, turn.organization_id):
            settle_uncertain(connection, values, str(error))
        log("part", outbox_id=part["id"], position=part["position"], state="uncertain", **turn.parameters)
    except SendError as error:
        refuse(connection, turn, values, error, part["attempts"] + 1)
    else:
        with tenant(connection, turn.organization_id):
            connection.execute(outbox_queries.PART_SENT, {**values, "wamid": wamid})
            connection.execute(event_queries.COPY_WAMIDS, {**values, "outbox_ids": [part["id"]]})
            number_sends(connection, values)
        log("part", outbox_id=part["id"], position=part["position"], state="sent", wamid=wamid, **turn.parameters)
    return True


def settle_uncertain(connection: Connection, values: dict[str, Any], reason: str) -> None:
    """Unless a status has settled it already."""
    details = {"reason": reason}
    if connection.execute(outbox_queries.PART_UNCERTAIN, {**values, "error": Jsonb(details)}).rowcount:
        raise_alert(connection, values["organization_id"], "reply_uncertain", str(values["outbox_id"]), details)


def refuse(connection: Connection, turn: Turn, values: dict[str, Any], error: SendError, attempts: int) -> None:
    """Nothing was sent: wait for a better time, or fail this part and those after it."""
    details = {"reason": error.reason, "code": error.code}
    log("part", outbox_id=values["outbox_id"], state="refused", code=error.code, later=error.later, attempts=attempts)
    waits = error.needs_operator or error.later
    with tenant(connection, turn.organization_id):
        if waits:
            connection.execute(outbox_queries.PART_WAITS, {**values, "error": Jsonb(details)})
        else:
            fail(connection, values, details)
            if error.code is not None:
                number_sends(connection, values)
        if error.needs_operator:
            hold_number(connection, values, details)
        if error.needs_operator or (error.later and attempts >= QUICK_ATTEMPTS):
            release_lease(connection, turn, None if error.needs_operator else pause_after(attempts))
    if error.needs_operator or (error.later and attempts >= QUICK_ATTEMPTS):
        raise Postponed(str(error))
    if error.later:
        raise SendLater(str(error)) from error


def pause_after(attempts: int) -> int:
    """Seconds until a part that was tried so many times is tried again."""
    return int(min(FIRST_PAUSE * 2 ** (attempts - QUICK_ATTEMPTS), LONGEST_PAUSE))


def fail(connection: Connection, values: dict[str, Any], details: dict[str, Any]) -> None:
    """This part and those after it will not be sent."""
    connection.execute(outbox_queries.FAIL_PARTS, {**values, "error": Jsonb(details)})
    raise_alert(connection, values["organization_id"], "reply_failed", str(values["conversation_id"]), details)


def hold_number(connection: Connection, values: dict[str, Any], details: dict[str, Any]) -> None:
    """Nothing is sent from this number until a person has seen to it, or a probe gets through. Told once."""
    held = connection.execute(outbox_queries.HOLD_NUMBER, {**values, "held_reason": str(details["reason"])}).fetchone()
    if held and held["is_new"]:
        raise_alert(connection, values["organization_id"], "number_needs_operator", values["phone_number_id"], details)


def number_sends(connection: Connection, values: dict[str, Any]) -> None:
    """WhatsApp has taken, or judged, a message of this number: it is not held any more."""
    if connection.execute(outbox_queries.NUMBER_SENDS, values).rowcount:
        resolve_alert(connection, values["organization_id"], "number_needs_operator", values["phone_number_id"])


def finish(connection: Connection, turn: Turn) -> dict[str, Any]:
    """Settle the turn and release the lease; `waiting` says whether something came in meanwhile."""
    with tenant(connection, turn.organization_id):
        hold_lease(connection, turn)
        delivery = connection.execute(outbox_queries.DELIVERY_OF_TURN, turn.parameters).fetchone()
        assert delivery is not None
        outcome, reason = outcome_of(delivery)
        values = {
            **turn.parameters,
            "outcome": outcome,
            "outcome_reason": reason,
            "error": delivery["reason"] if outcome == "failed" else None,
        }
        connection.execute(turn_queries.SETTLE_EVENTS, values)
        if outcome == "handed_over":
            connection.execute(event_queries.HAND_OVER_EVENTS, values)
        connection.execute(turn_queries.FINISH_TURN, values)
        waiting = connection.execute(turn_queries.ANYTHING_WAITING, values).fetchone()
        release_lease(connection, turn)
    return {"state": "finished", "delivery": delivery["delivery"], "waiting": bool(waiting and waiting["waiting"])}


def outcome_of(delivery: dict[str, Any]) -> tuple[str, str]:
    """How the turn's messages end, and why. A notice that a quota is used up is no answer, sent or not."""
    if delivery["refusal"] is not None:
        return "refused", delivery["refusal"]
    if delivery["delivery"] == "failed":
        return "failed", f"not sent: {delivery['reason']}"
    if delivery["delivery"] == "dropped":
        sent = f"; {delivery['gone']} of {delivery['parts']} parts were sent before" if delivery["gone"] else ""
        return "handed_over", f"a person answers{sent}"
    return "answered", f"delivery: {delivery['delivery']}"


def finished_before(connection: Connection, turn: Turn) -> bool:
    """Whether an earlier attempt of this very step released the lease, but may not have queued what waits."""
    with tenant(connection, turn.organization_id):
        free = connection.execute(turn_queries.FREE_UNDER_FENCE, turn.parameters).fetchone()
        waiting = connection.execute(turn_queries.ANYTHING_WAITING, turn.parameters).fetchone()
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
