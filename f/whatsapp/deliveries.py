"""What Meta delivers, as data. Pure: no database, no Windmill, no network.

Rules from outside: the Cloud API's webhook reference (message types, `from_user_id` and
`user_id` since April 2026, statuses). Kinds that are not known yet must never fail.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

#: Kinds that are kept in the history but ask for no answer.
SILENT_KINDS = frozenset({"reaction", "system", "unsupported"})

#: Order in which a message's statuses can follow each other; a later one never goes back.
STATUS_RANK = {"sent": 1, "delivered": 2, "read": 3, "played": 3, "failed": 4}


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
    text: str
    payload: dict[str, Any]
    sent_at: datetime
    received_at: datetime
    position: int
    limited: str | None

    @property
    def wants_answer(self) -> bool:
        return self.kind not in SILENT_KINDS


@dataclass(frozen=True)
class Status:
    """What Meta says of a message that we sent; `callback_data` is what we sent along with it."""

    name: str
    wamid: str | None
    callback_data: str | None
    at: datetime | None
    error: dict[str, Any]


def parse_status(value: Any) -> Status | None:
    """Read one status; None when it is of a kind or a shape that we do not know."""
    status = _object(value)
    name = _text(status.get("status"))
    if name not in STATUS_RANK:
        return None
    errors = status.get("errors")
    error = _object(errors[0]) if isinstance(errors, list) and errors else {}
    return Status(
        name=name,
        wamid=_text(status.get("id")),
        callback_data=_text(status.get("biz_opaque_callback_data")),
        at=meta_time(status.get("timestamp")),
        error={"reason": error.get("title"), "code": error.get("code")},
    )


def parse_message(delivery: str) -> Inbound:
    """Read what the gateway queued for one message.

    `delivery` is JSON text: the message as Meta sent it, and whose it is. NUL characters become
    U+FFFD, since PostgreSQL stores none. Raises KeyError or ValueError when the gateway's own
    fields are missing.
    """
    envelope = without_nul(json.loads(delivery))
    message = envelope["message"]
    contact = _object(envelope.get("contact"))
    received_at = datetime.fromisoformat(envelope["received_at"])
    kind = _text(message.get("type")) or "unknown"
    return Inbound(
        app_id=envelope["app_id"],
        waba_id=envelope["waba_id"],
        phone_number_id=envelope["phone_number_id"],
        wamid=message["id"],
        user_id=_text(message.get("from_user_id")) or _text(contact.get("user_id")),
        wa_id=_text(message.get("from")) or _text(contact.get("wa_id")),
        profile_name=_text(_object(contact.get("profile")).get("name")),
        kind=kind,
        text=describe(kind, message),
        payload=message,
        sent_at=meta_time(message.get("timestamp")) or received_at,
        received_at=received_at,
        position=envelope["position"],
        limited=envelope.get("limited"),
    )


def describe(kind: str, message: dict[str, Any]) -> str:
    """The message in words that a model understands; brackets mark what is ours."""
    content = _object(message.get(kind))
    if kind == "text":
        return _text(content.get("body")) or "[empty message]"
    if kind == "button":
        return _text(content.get("text")) or _text(content.get("payload")) or "[button]"
    if kind == "interactive":
        reply = _object(content.get(_text(content.get("type")) or ""))
        return _text(reply.get("title")) or "[filled in a form]"
    if kind == "reaction":
        return f"[reaction: {_text(content.get('emoji')) or 'removed'}]"
    if kind == "location":
        place = ", ".join(filter(None, (_text(content.get("name")), _text(content.get("address")))))
        return f"[location: {place or ''} {content.get('latitude')}, {content.get('longitude')}]"
    caption = _text(content.get("caption"))
    return f"[{kind}: {caption}]" if caption else f"[{kind}]"


def meta_time(value: Any) -> datetime | None:
    """Meta's timestamp: seconds since 1970 as a string. None when it is not one."""
    try:
        return datetime.fromtimestamp(int(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def without_nul(value: Any) -> Any:
    """`value` with U+FFFD in place of what PostgreSQL cannot store: NUL and lone surrogates."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode() if not _storable(value) else value
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    if isinstance(value, dict):
        return {without_nul(key): without_nul(item) for key, item in value.items()}
    return value


def _storable(text: str) -> bool:
    return "\x00" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
