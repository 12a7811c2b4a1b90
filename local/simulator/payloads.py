"""Deliveries in the shape in which Meta sends them. Pure: no clock, no network.

Rules from outside: the Cloud API's webhook reference; `user_id` and `from_user_id` since April 2026.
"""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any

from local.simulator.config import Number

#: Country codes of calling codes, for the prefix of business-scoped ids. Any other gets "US".
COUNTRIES = {"44": "GB", "34": "ES", "49": "DE", "33": "FR", "39": "IT", "351": "PT", "52": "MX", "55": "BR"}


@dataclass(frozen=True)
class Person:
    """Someone with a phone. `wa_id` is the phone number in digits; without it a business sees a user id only."""

    key: str
    name: str
    wa_id: str | None
    user_id: str | None

    def scoped_id(self, number: Number) -> str:
        """The business-scoped user id (BSUID): each business account sees the person under another one."""
        if self.user_id:
            return self.user_id
        digits = int.from_bytes(hashlib.sha256(f"{number.waba_id}:{self.key}".encode()).digest()[:8])
        country = next((c for code, c in COUNTRIES.items() if (self.wa_id or "").startswith(code)), "US")
        return f"{country}.{digits:020}"


def new_wamid(person: Person, *, inbound: bool) -> str:
    """An id as WhatsApp makes them: base64 of who it is with, the direction, and a random part."""
    who = (person.wa_id or person.key).encode()[:60]
    direction = b"\x12" if inbound else b"\x11"
    unique = secrets.token_hex(10).upper().encode()
    raw = b"\x1c\x18" + bytes([len(who)]) + who + b"\x15\x02\x00" + direction + b"\x18\x14" + unique + b"\x00"
    return "wamid." + base64.b64encode(raw).decode()


def message_of(person: Person, number: Number, given: dict[str, Any], wamid: str, at: float) -> dict[str, Any]:
    """`given` (such as `{"type": "text", "text": …}`) with what Meta adds; what it has itself stays."""
    sender = {"from": person.wa_id} if person.wa_id else {}
    origin = {**sender, "from_user_id": person.scoped_id(number), "id": wamid, "timestamp": str(int(at))}
    return origin | given


def inbound_delivery(person: Person, number: Number, message: dict[str, Any]) -> bytes:
    """The body that tells a business of `message`."""
    return _delivery(number, {"contacts": [_contact(person, number)], "messages": [message]})


def status_delivery(
    person: Person,
    number: Number,
    wamid: str,
    status: str,
    at: float,
    callback_data: str | None,
    errors: list[dict[str, Any]] | None = None,
) -> bytes:
    """The body that tells a business what became of a message that it sent."""
    recipient = {"recipient_id": person.wa_id} if person.wa_id else {}
    item: dict[str, Any] = {
        "id": wamid,
        "status": status,
        "timestamp": str(int(at)),
        **recipient,
        "recipient_user_id": person.scoped_id(number),
    }
    if status == "sent":
        item["pricing"] = {
            "billable": False,
            "pricing_model": "PMP",
            "category": "service",
            "type": "free_customer_service",
        }
    if callback_data is not None:
        item["biz_opaque_callback_data"] = callback_data
    if errors:
        item["errors"] = errors
    return _delivery(number, {"contacts": [_contact(person, number)], "statuses": [item]})


def signature(secret: str, body: bytes) -> str:
    """The value of X-Hub-Signature-256 for exactly these bytes."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def describe(message: dict[str, Any]) -> str:
    """The words that a phone shows for a message of any kind."""
    kind = str(message.get("type") or "unknown")
    content = message.get(kind)
    content = content if isinstance(content, dict) else {}
    if kind == "text":
        return str(content.get("body") or "")
    if kind == "reaction":
        return str(content.get("emoji") or "[reaction removed]")
    if kind == "interactive":
        reply = content.get(str(content.get("type")))
        body = content.get("body")
        shown = (reply or {}).get("title") if isinstance(reply, dict) else None
        shown = shown or (body.get("text") if isinstance(body, dict) else None)
    else:
        shown = content.get("caption") or content.get("text") or content.get("name")
    return f"[{kind}] {shown}" if isinstance(shown, str) and shown else f"[{kind}]"


def _contact(person: Person, number: Number) -> dict[str, Any]:
    phone = {"wa_id": person.wa_id} if person.wa_id else {}
    return {"profile": {"name": person.name}, **phone, "user_id": person.scoped_id(number)}


def _delivery(number: Number, value: dict[str, Any]) -> bytes:
    metadata = {
        "display_phone_number": "".join(c for c in number.display_phone_number if c.isdigit()),
        "phone_number_id": number.phone_number_id,
    }
    value = {"messaging_product": "whatsapp", "metadata": metadata, **value}
    change = {"field": "messages", "value": value}
    body = {"object": "whatsapp_business_account", "entry": [{"id": number.waba_id, "changes": [change]}]}
    # Meta escapes what is not ASCII, and slashes: who signs a re-serialised body is found out.
    return json.dumps(body, separators=(",", ":")).replace("/", "\\/").encode()
