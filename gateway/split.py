"""A delivery of Meta, taken apart into runs of Windmill. Pure: no network, no clock.

A delivery holds entries, an entry holds changes, and a change of the field `messages` holds
messages and statuses. Each message becomes a run of the flow, all statuses become one run, and
everything else becomes one run: other fields, errors, and whatever could not be read. Nothing
that Meta sent is dropped, except a message that the same delivery repeats word for word.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import count
from typing import Any, Literal, NoReturn
from uuid import UUID

from f.lib.ids import events_job_id, message_job_id
from f.whatsapp.deliveries import id_of

#: Value of `object` in deliveries about WhatsApp. A Meta app may subscribe to others as well.
WHATSAPP = "whatsapp_business_account"

MESSAGE_FLOW = "f/f/whatsapp/webhook_processor"
EVENTS_SCRIPT = "p/f/whatsapp/store_events"

#: What a script gets besides the delivery. The flow names its resources itself.
EVENTS_RESOURCES = {"database": "$res:f/lib/database"}

#: The `field` of what has not the shape of an entry or of a change.
UNREADABLE = "unreadable"

#: Levels of lists and objects. Meta's deliveries have about a dozen; later readers recurse.
MAX_DEPTH = 64

#: Characters of Meta's id of a message that the log shows.
MOST_ID = 200

#: Beside its messages and statuses a value has these as a matter of course; alone they say nothing.
ROUTINE = frozenset({"messaging_product", "metadata", "contacts"})


Kind = Literal["message", "statuses", "events"]


class Malformed(Exception):
    """The body is no delivery."""


@dataclass(frozen=True)
class Origin:
    """What all parts of one delivery have in common."""

    app_id: str
    body_sha256: str
    received_at: datetime


@dataclass(frozen=True)
class Run:
    """One run to be queued. Those of one lane are queued one after the other, in their order."""

    job_id: UUID
    kind: Kind
    lane: str
    delivery: dict[str, Any]

    @property
    def path(self) -> str:
        """What Windmill runs: `f/` and a flow, or `p/` and a script."""
        return MESSAGE_FLOW if self.kind == "message" else EVENTS_SCRIPT

    @property
    def limited(self) -> str | None:
        """Whose limit the message is beyond, if any."""
        return self.delivery.get("limited")

    @property
    def wamid(self) -> str | None:
        """Meta's id of the message; None for a run that stores statuses or events."""
        return str(self.delivery["message"]["id"])[:MOST_ID] if self.kind == "message" else None

    def arguments(self) -> bytes:
        """The request's body. The delivery is text in it, so that no part can be read as `$var:` or `$res:`."""
        resources = {} if self.kind == "message" else EVENTS_RESOURCES
        return json.dumps({**resources, "delivery": json.dumps(self.delivery, allow_nan=False)}).encode()


@dataclass
class Parts:
    """A delivery's contents, by what becomes of them."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    #: How many of the events are there because they have not the shape they should have.
    unreadable: int = 0


def parse(body: bytes) -> dict[str, Any]:
    """The delivery in `body`. Raises Malformed unless it is an object with `object` and a list `entry`.

    Below that nothing is demanded: what is odd in one place must not hold up the rest.
    """
    try:
        delivery = json.loads(body.decode("utf-8"), parse_float=_finite, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Malformed("The body is not JSON in UTF-8.") from error
    if not isinstance(delivery, dict):
        raise Malformed("The body is not a JSON object.")
    if not isinstance(delivery.get("object"), str) or not isinstance(delivery.get("entry"), list):
        raise Malformed("The body lacks `object` or the list `entry`.")
    if _deeper_than(MAX_DEPTH, delivery):
        raise Malformed(f"The body is nested more than {MAX_DEPTH} levels deep.")
    return delivery


def digest(body: bytes) -> str:
    """What identifies a delivery's statuses and events when Meta repeats it."""
    return sha256(body).hexdigest()


def read(delivery: dict[str, Any]) -> Parts:
    """Sort the contents of a parsed delivery. Never raises."""
    parts = Parts()
    positions = count()
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for waba_id, name, value in _changes(delivery, parts):
        if name != "messages" or not isinstance(value, dict):
            parts.events.append(_event(waba_id, name, value))
            continue
        rest = dict(value)
        messages, statuses = _take_list(rest, "messages"), _take_list(rest, "statuses")
        odd_messages = [
            item for item in messages if not _read_message(item, next(positions), waba_id, value, parts, seen)
        ]
        odd_statuses = [item for item in statuses if not isinstance(item, dict)]
        number = _phone_number_id(value)
        for status in statuses:
            if isinstance(status, dict):
                parts.statuses.append({"waba_id": waba_id, "phone_number_id": number, "status": status})
        rest |= {"messages": odd_messages} if odd_messages else {}
        rest |= {"statuses": odd_statuses} if odd_statuses else {}
        parts.unreadable += len(odd_messages) + len(odd_statuses)
        if rest.keys() - ROUTINE or not (messages or statuses):
            parts.events.append(_event(waba_id, name, rest))
    return parts


def runs(parts: Parts, origin: Origin) -> list[Run]:
    """What is to be queued for a delivery, messages first."""
    common = {"app_id": origin.app_id, "received_at": origin.received_at.isoformat()}
    result = []
    for item in parts.messages:
        number, message = item["phone_number_id"], item["message"]
        job_id = message_job_id(number, message["id"])
        result.append(Run(job_id, "message", f"{number}:{sender_of(message)}", {**common, **item}))
    kinds: list[tuple[Kind, list[dict[str, Any]]]] = [("statuses", parts.statuses), ("events", parts.events)]
    for kind, items in kinds:
        if items:
            job_id = events_job_id(kind, origin.body_sha256)
            about = {**common, "kind": kind, "body_sha256": origin.body_sha256}
            result.append(Run(job_id, kind, kind, {**about, "items": items}))
    return result


def by_lane(all_runs: list[Run]) -> list[list[Run]]:
    lanes: dict[str, list[Run]] = defaultdict(list)
    for run in all_runs:
        lanes[run.lane].append(run)
    return list(lanes.values())


def find_contact(contacts: Any, message: dict[str, Any]) -> dict[str, Any] | None:
    """Who of `contacts` wrote `message`: by user id, by phone number, else the only one there is.

    The only one is taken whatever its number, because Meta's two spellings of a number may differ
    (`wa_id` is normalised in some countries, `from` is not).
    """
    people = [contact for contact in contacts if isinstance(contact, dict)] if isinstance(contacts, list) else []
    for theirs, ours in (("user_id", "from_user_id"), ("wa_id", "from")):
        wanted = id_of(message.get(ours))
        for person in people:
            if wanted and id_of(person.get(theirs)) == wanted:
                return person
    return people[0] if len(people) == 1 else None


def sender_of(message: dict[str, Any]) -> str | None:
    """Who wrote a message, by user id or else by phone number."""
    return id_of(message.get("from_user_id")) or id_of(message.get("from"))


def _changes(delivery: dict[str, Any], parts: Parts) -> Iterator[tuple[str | None, str, Any]]:
    """Every change as (account, field, value); what has not that shape goes to the events."""
    for entry in delivery["entry"]:
        changes = entry.get("changes") if isinstance(entry, dict) else None
        if not isinstance(changes, list):
            parts.unreadable += 1
            parts.events.append(_event(None, UNREADABLE, entry))
            continue
        waba_id = id_of(entry.get("id"))
        for change in changes:
            if isinstance(change, dict) and isinstance(change.get("field"), str):
                yield waba_id, change["field"], change.get("value")
            else:
                parts.unreadable += 1
                parts.events.append(_event(waba_id, UNREADABLE, change))


def _read_message(
    message: Any,
    position: int,
    waba_id: str | None,
    value: dict[str, Any],
    parts: Parts,
    seen: dict[tuple[str, str], dict[str, Any]],
) -> bool:
    """Add a message to `parts`. False when no run of its own can be made for it.

    It needs a number and an id of its own: a second message of the same id would count as queued
    already, and be lost.
    """
    number = _phone_number_id(value)
    wamid = message.get("id") if isinstance(message, dict) else None
    if number is None or not isinstance(wamid, str) or id_of(wamid) is None:
        return False
    first = seen.setdefault((number, wamid), message)
    if first is message:
        parts.messages.append(
            {
                "waba_id": waba_id,
                "phone_number_id": number,
                "display_phone_number": value["metadata"].get("display_phone_number"),
                "contact": find_contact(value.get("contacts"), message),
                "message": message,
                "position": position,
                "limited": None,
            }
        )
    return first == message


def _event(waba_id: str | None, name: str, value: Any) -> dict[str, Any]:
    return {"waba_id": waba_id, "phone_number_id": _phone_number_id(value), "field": name, "value": value}


def _phone_number_id(value: Any) -> str | None:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    return id_of(metadata.get("phone_number_id")) if isinstance(metadata, dict) else None


def _take_list(value: dict[str, Any], key: str) -> list[Any]:
    """Remove a list from `value` and return it; anything else stays there."""
    return value.pop(key) if isinstance(value.get(key), list) else []


def _deeper_than(limit: int, value: Any) -> bool:
    level = [value]
    for _ in range(limit):
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
        level = [child for child in level if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError("a number too large")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
