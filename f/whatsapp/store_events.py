# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Store a delivery's statuses, or its updates of any other kind."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from f.lib.alerts import raise_alert, raise_alerts, resolve_alerts
from f.lib.database import Connection, connect, tenant
from f.lib.ids import events_job_id
from f.lib.logs import log, logged
from f.lib.texts import storable
from f.whatsapp import event_queries, outbox_queries
from f.whatsapp.contacts import ContactErased, change_contact, contact_of
from f.whatsapp.contents import object_of
from f.whatsapp.deliveries import (
    SIDE_ECHOES,
    STATUS_RANK,
    Echo,
    Status,
    parse_changes,
    parse_echoes,
    parse_status,
)

#: Items of one organisation that one transaction stores: short enough to hold nobody up.
CHUNK = 250

#: Why a conversation is handed over when an echo arrives.
ECHO_REASON = "a person of the business wrote from the phone"

Item = dict[str, Any]


@logged
def main(database: dict, delivery: str) -> dict:
    """Purpose: a status moves our message forward, never back; what the owner writes on the phone is
    part of the conversation and takes it over; a person with a new id stays the same person;
    everything else is kept for people.

    Input: JSON text as the gateway queued it: `kind` "statuses" or "events" with `items`. Safe to
    run again, also under another job id. Returns how many items were applied, kept, or belong to no organisation.
    """
    envelope = storable(json.loads(delivery))
    items = read_items(envelope)
    counts = {"applied": 0, "kept": 0, "unrouted": 0}
    with connect(database) as connection:
        routed, unrouted = route(connection, envelope["app_id"], items)
        if unrouted:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(event_queries.STORE_UNROUTED, unrouted)
            counts["unrouted"] = len(unrouted)
        for organization_id, chunk in routed:
            with tenant(connection, organization_id):
                applied = apply_statuses(connection, organization_id, chunk)
                kept = [item for item in chunk if item["position"] not in applied]
                if kept:
                    connection.cursor().executemany(event_queries.STORE_ACCOUNT_EVENT, kept)
            counts["applied"] += len(applied)
            counts["kept"] += len(kept)
            # Each in a transaction of its own: they lock a conversation or a contact.
            for item in chunk:
                if item["field"] == "smb_message_echoes":
                    store_echoes(connection, item)
                elif item["field"] == "user_id_update":
                    follow_changes(connection, item)
                elif item["field"] == "messages":
                    tell_unreadable(connection, item)
    return counts


def read_items(envelope: dict[str, Any]) -> list[Item]:
    # Whichever run stores it, what a delivery's first run stored is not stored twice.
    common = {
        "job_id": events_job_id(envelope["kind"], envelope["body_sha256"]),
        "app_id": envelope["app_id"],
        "received_at": datetime.fromisoformat(envelope["received_at"]),
    }
    items = []
    for position, item in enumerate(envelope["items"]):
        field = "statuses" if envelope["kind"] == "statuses" else item["field"]
        value = item.get("status") if field == "statuses" else item.get("value")
        about = {"waba_id": item.get("waba_id"), "phone_number_id": item.get("phone_number_id"), "value": value}
        items.append({**common, **about, "position": position, "field": field, "payload": Jsonb(value)})
    return items


def route(
    connection: Connection, app_id: str, items: list[Item]
) -> tuple[Iterator[tuple[str, list[Item]]], list[Item]]:
    """Items by the organisation that they are about, in chunks, and those that are about none.

    An update is about the organisation of its number, or of its WhatsApp Business Account.
    """
    numbers = {item["phone_number_id"] for item in items if item["phone_number_id"]}
    accounts = {item["waba_id"] for item in items if item["waba_id"] and not item["phone_number_id"]}
    of_number, of_account = {}, {}
    if numbers:
        rows = connection.execute(event_queries.ROUTE_NUMBERS, {"phone_number_ids": list(numbers)}).fetchall()
        of_number = {row["phone_number_id"]: row for row in rows}
    if accounts:
        rows = connection.execute(
            event_queries.ROUTE_ACCOUNTS, {"waba_ids": list(accounts), "app_id": app_id}
        ).fetchall()
        of_account = {row["waba_id"]: row["organization_id"] for row in rows}
    by_organization: dict[str, list[Item]] = defaultdict(list)
    unrouted = []
    for item in items:
        organization_id, reason = of_account.get(item["waba_id"]), "unknown account"
        if item["phone_number_id"]:
            number = of_number.get(item["phone_number_id"])
            reason = "signed by another app" if number else "unknown number"
            organization_id = number["organization_id"] if number and number["app_id"] == app_id else None
        if organization_id is None:
            unrouted.append({**item, "reason": reason})
        else:
            by_organization[str(organization_id)].append({**item, "organization_id": str(organization_id)})
    return chunks(by_organization), unrouted


def chunks(by_organization: dict[str, list[Item]]) -> Iterator[tuple[str, list[Item]]]:
    for organization_id, items in by_organization.items():
        for begin in range(0, len(items), CHUNK):
            yield organization_id, items[begin : begin + CHUNK]


def apply_statuses(connection: Connection, organization_id: str, items: list[Item]) -> set[int]:
    """Move the messages that statuses name; the positions of those that name one of ours."""
    statuses = {
        item["position"]: status
        for item in items
        if item["field"] == "statuses" and (status := parse_status(item["value"]))
    }
    if not statuses:
        return set()
    by_position = {item["position"]: item for item in items}
    given = [status_row(by_position[position], status) for position, status in statuses.items()]
    values: dict[str, Any] = {"organization_id": organization_id, "statuses": Jsonb(given)}
    rows = connection.execute(event_queries.APPLY_STATUSES, values).fetchall()
    if rows:
        connection.execute(event_queries.COPY_WAMIDS, {**values, "outbox_ids": list({row["id"] for row in rows})})
    furthest = [(row, statuses[row["position"]]) for row in rows if row["is_furthest"]]
    failed = {str(row["id"]): status.error for row, status in furthest if status.name == "failed" and row["is_news"]}
    settled = [str(row["id"]) for row, status in furthest if row["was_uncertain"] and status.name != "failed"]
    raise_alerts(connection, organization_id, "reply_not_delivered", failed)
    resolve_alerts(connection, organization_id, "reply_uncertain", settled)
    for row, status in furthest:
        log("status", outbox_id=row["id"], wamid=status.wamid, status=status.name, code=status.error["code"])
        if status.needs_operator and row["is_news"]:
            hold_number(connection, by_position[row["position"]], status)
    return {row["position"] for row in rows}


def status_row(item: Item, status: Status) -> dict[str, Any]:
    at = status.at or item["received_at"]
    return {
        "position": item["position"],
        "phone_number_id": item["phone_number_id"],
        "outbox_id": outbox_id(status.callback_data),
        "wamid": status.wamid,
        "status": "read" if status.name == "played" else status.name,
        "rank": STATUS_RANK[status.name],
        "at": at.isoformat(),
        "error": status.error,
    }


def outbox_id(callback_data: str | None) -> str | None:
    """The id that we sent along; anything else that comes back is not ours."""
    try:
        return str(UUID(callback_data))
    except (TypeError, ValueError):
        return None


def hold_number(connection: Connection, item: Item, status: Status) -> None:
    """Meta took the message and then found that the number may not send: what follows waits."""
    reason = str(status.error["reason"] or "failed")
    held = connection.execute(outbox_queries.HOLD_NUMBER, {**item, "held_reason": reason}).fetchone()
    if held and held["is_new"]:
        raise_alert(connection, item["organization_id"], "number_needs_operator", item["phone_number_id"], status.error)


def tell_unreadable(connection: Connection, item: Item) -> None:
    """Messages that the gateway could make no run for, as they have no id that can be one: nobody answers them."""
    if unreadable := object_of(item["value"]).get("messages"):
        with tenant(connection, item["organization_id"]):
            subject = item["phone_number_id"] or item["waba_id"] or ""
            raise_alert(connection, item["organization_id"], "message_unreadable", subject, {"used": len(unreadable)})


def store_echoes(connection: Connection, item: Item) -> None:
    """What a person of the business wrote belongs to the conversation, and the bot leaves it to that person."""
    by_person: dict[Any, list[Echo]] = defaultdict(list)
    for echo in parse_echoes(item["value"]):
        by_person[echo.to].append(echo)
    for to, echoes in by_person.items():
        with tenant(connection, item["organization_id"]):
            values = {**item, **(connection.execute(event_queries.FIND_CHATBOT, item).fetchone() or {})}
            values["contact_id"] = contact_of(connection, item["organization_id"], to, echoes[-1].profile_name)
            opened = connection.execute(event_queries.OPEN_CONVERSATION, values).fetchone()
            assert opened is not None
            if opened["is_erased"]:
                raise ContactErased
            values["conversation_id"] = opened["id"]
            # No short cut: each one is to be stored.
            if sum([store_echo(connection, values, echo) for echo in echoes]):
                hand_over(connection, values)


def hand_over(connection: Connection, values: Item) -> None:
    """A run that is at work finds out by itself; what waits for a better time is settled here."""
    told = {**values, "at": values["received_at"], "reason": ECHO_REASON}
    taken = connection.execute(event_queries.HAND_OVER, told).fetchone()
    if taken and taken["is_idle"]:
        connection.execute(event_queries.HAND_OVER_EVENTS, values)
        connection.execute(event_queries.DROP_WAITING, values)


def store_echo(connection: Connection, values: dict[str, Any], echo: Echo) -> bool:
    """True when the owner said something that was not known yet."""
    values = {
        **values,
        "wamid": echo.wamid,
        "text": echo.content.text,
        "note": echo.content.note,
        "reply_to": echo.content.reply_to,
        "author": "person",
        "sent_at": echo.sent_at or values["received_at"],
        "position": echo.position,
    }
    if echo.kind == "revoke":
        connection.execute(event_queries.REVOKE_MESSAGE, values)
        return False
    if echo.kind == "edit" and connection.execute(event_queries.CORRECT_ECHO, values).rowcount:
        return False
    if not echo.content.is_message:
        return False
    is_new = connection.execute(event_queries.STORE_ECHO, values).fetchone() is not None
    return is_new and echo.kind not in SIDE_ECHOES


def follow_changes(connection: Connection, item: Item) -> None:
    """Raises ContactBusy when a turn of the person's is under way: the sweep repeats the run."""
    for known, now in parse_changes(item["value"]):
        with tenant(connection, item["organization_id"]):
            change_contact(connection, item["organization_id"], known, now)
