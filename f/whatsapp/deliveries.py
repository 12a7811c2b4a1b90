# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""What Meta delivers, as data. Pure: no database, no Windmill, no network.

Rules from outside: the Cloud API's webhook reference (message types, `from_user_id` and
`user_id` since April 2026, system messages with `previous_user_id` since August 2026, statuses,
echoes, error codes). Kinds that are not known yet must never fail.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from f.lib.texts import storable
from f.whatsapp.contents import Content, object_of, read_content, text_of

#: Order in which a message's statuses can follow each other; a later one never goes back.
STATUS_RANK = {"sent": 1, "delivered": 2, "read": 3, "played": 3, "failed": 4}

#: Error codes that say "later": rate limits, Meta's own trouble.
LATER = frozenset({1, 2, 4, 80007, 130429, 131000, 131016, 131056, 131057})

#: Error codes that say "an operator must act": token, permission, account, payment, registration.
OPERATOR = frozenset({3, 10, 190, 368, 131005, 131031, 131042, 131048, 133010, *range(200, 300)})

#: Longest id, in characters: Meta's have up to 150, and an index of PostgreSQL takes no value of kilobytes.
MAX_ID = 512

#: System messages that say that a person has another number or id from now.
CHANGES_OF_IDENTITY = frozenset({"user_changed_number", "customer_changed_number", "user_changed_user_id"})

#: Echoes that say something about a message that the owner wrote before; they hand nothing over.
SIDE_ECHOES = frozenset({"revoke", "edit", "reaction"})

_CHANGED_FROM = re.compile(r"\bfrom (\S+) to (\S+?)\.?\s*$")


@dataclass(frozen=True)
class Identity:
    """What a person is known by: the business-scoped id, the phone number, or both."""

    user_id: str | None
    wa_id: str | None


@dataclass(frozen=True)
class Inbound:
    """One message of one person to one number."""

    app_id: str
    waba_id: str
    phone_number_id: str
    wamid: str
    user_id: str | None
    wa_id: str | None
    profile_name: str | None
    kind: str
    content: Content
    #: Who the sender is from now, when the message says just that.
    change: Identity | None
    payload: dict[str, Any]
    sent_at: datetime
    received_at: datetime
    position: int
    limited: str | None

    @property
    def text(self) -> str:
        return self.content.text

    @property
    def wants_answer(self) -> bool:
        return self.content.silence is None


@dataclass(frozen=True)
class Echo:
    """A message that a person of the business wrote on the phone (or changed, or deleted)."""

    wamid: str
    to: Identity
    profile_name: str | None
    kind: str
    content: Content
    sent_at: datetime | None
    position: int


@dataclass(frozen=True)
class Status:
    """What Meta says of a message that we sent; `callback_data` is what we sent along with it."""

    name: str
    wamid: str | None
    callback_data: str | None
    at: datetime | None
    error: dict[str, Any]

    @property
    def needs_operator(self) -> bool:
        """The message failed, and so will the next ones of the number."""
        code = self.error["code"]
        return self.name == "failed" and isinstance(code, int) and code in OPERATOR


def parse_status(value: Any) -> Status | None:
    """Read one status; None when it is of a kind or a shape that we do not know."""
    status = object_of(value)
    name = text_of(status.get("status"))
    if name not in STATUS_RANK:
        return None
    errors = status.get("errors")
    error = object_of(errors[0]) if isinstance(errors, list) and errors else {}
    return Status(
        name=name,
        wamid=text_of(status.get("id")),
        callback_data=text_of(status.get("biz_opaque_callback_data")),
        at=meta_time(status.get("timestamp")),
        error={"reason": error.get("title"), "code": error.get("code")},
    )


def id_of(value: Any) -> str | None:
    """`value` as an id of Meta's; None if it can be none: empty, too long, or characters that UTF-8 does not have."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_ID:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def parse_message(delivery: str) -> Inbound:
    """Read what the gateway queued for one message.

    `delivery` is JSON text: the message as Meta sent it, and whose it is. NUL characters become
    U+FFFD, since PostgreSQL stores none. Raises KeyError or ValueError when the gateway's own
    fields are missing.
    """
    envelope = storable(json.loads(delivery))
    message = envelope["message"]
    contact = object_of(envelope.get("contact"))
    received_at = datetime.fromisoformat(envelope["received_at"])
    kind = text_of(message.get("type")) or "unknown"
    sender = Identity(
        id_of(message.get("from_user_id")) or id_of(contact.get("user_id")),
        id_of(message.get("from")) or id_of(contact.get("wa_id")),
    )
    change = None
    if kind == "system":
        sender, change = read_change(message)
    return Inbound(
        app_id=envelope["app_id"],
        waba_id=envelope["waba_id"],
        phone_number_id=envelope["phone_number_id"],
        wamid=message["id"],
        user_id=sender.user_id,
        wa_id=sender.wa_id,
        profile_name=text_of(object_of(contact.get("profile")).get("name")),
        kind=kind,
        content=read_content(message),
        change=change,
        payload=message,
        sent_at=meta_time(message.get("timestamp")) or received_at,
        received_at=received_at,
        position=envelope["position"],
        limited=envelope.get("limited"),
    )


def read_change(message: dict[str, Any]) -> tuple[Identity, Identity | None]:
    """Who a system message is about, and who that person is from now if it says so."""
    system = object_of(message.get("system"))
    user_id = id_of(message.get("from_user_id")) or id_of(system.get("previous_user_id"))
    wa_id = id_of(message.get("from")) or id_of(system.get("customer"))
    if text_of(system.get("type")) not in CHANGES_OF_IDENTITY:
        return Identity(user_id or id_of(system.get("user_id")), wa_id or id_of(system.get("wa_id"))), None
    now = Identity(id_of(system.get("user_id")), id_of(system.get("new_wa_id")) or id_of(system.get("wa_id")))
    said = _CHANGED_FROM.search(text_of(system.get("body")) or "")
    if said and said[2] == now.user_id:
        user_id = user_id or said[1]
    elif said and said[2] == now.wa_id:
        wa_id = wa_id or said[1]
    known = Identity(user_id, wa_id) if user_id or wa_id else now
    return known, now if now.user_id or now.wa_id else None


def parse_changes(value: Any) -> list[tuple[Identity, Identity]]:
    """What a `user_id_update` says: who was known how, and how they are known from now."""
    listed = object_of(value).get("user_id_update")
    changes = []
    for item in listed if isinstance(listed, list) else []:
        update = object_of(item)
        ids, wa_id = object_of(update.get("user_id")), id_of(update.get("wa_id"))
        current = id_of(ids.get("current")) or id_of(update.get("user_id"))
        if current:
            changes.append((Identity(id_of(ids.get("previous")), wa_id), Identity(current, wa_id)))
    return changes


def parse_echoes(value: Any) -> list[Echo]:
    """What the owner wrote on the phone, from `smb_message_echoes`. What names nobody, and groups, are left out."""
    value = object_of(value)
    listed, contacts = value.get("message_echoes"), value.get("contacts")
    people = [object_of(contact) for contact in contacts] if isinstance(contacts, list) else []
    echoes = []
    for position, item in enumerate(listed if isinstance(listed, list) else []):
        message = object_of(item)
        wamid = id_of(message.get("id"))
        user_id = id_of(message.get("to_user_id")) or id_of(message.get("recipient_user_id"))
        wa_id = id_of(message.get("to"))
        named = [p for p in people if (wa_id and p.get("wa_id") == wa_id) or (user_id and p.get("user_id") == user_id)]
        if not (wa_id or user_id) and len(people) == 1:
            named = people
        person = named[0] if named else {}
        to = Identity(user_id or id_of(person.get("user_id")), wa_id or id_of(person.get("wa_id")))
        if wamid is None or not (to.user_id or to.wa_id) or message.get("group_id"):
            continue
        echoes.append(
            Echo(
                wamid=wamid,
                to=to,
                profile_name=text_of(object_of(person.get("profile")).get("name")),
                kind=text_of(message.get("type")) or "unknown",
                content=read_content(message),
                sent_at=meta_time(message.get("timestamp")),
                position=position,
            )
        )
    return echoes


def meta_time(value: Any) -> datetime | None:
    """Meta's timestamp: seconds since 1970 as a string. None when it is not one."""
    try:
        return datetime.fromtimestamp(int(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
