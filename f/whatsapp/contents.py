# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""What is in a message, in words that a model understands; brackets mark what is ours. Pure.

Rules from outside: the Cloud API's reference of incoming messages. Whatever is of another shape
than it should be, or of a kind that is not known yet, is described as far as it goes.
"""

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

#: Kinds that ask for an answer; whatever Meta adds is kept, and not answered before somebody looked at it.
ANSWERED = frozenset(
    "text image audio video document sticker location contacts interactive button order request_welcome edit".split()
)

#: Kinds that say something about another message or about the person, and are no message of their own.
NO_MESSAGE = frozenset({"revoke", "system"})

#: Replies of `interactive` that ask for no answer.
SILENT_REPLIES = frozenset({"call_permission_reply"})


@dataclass(frozen=True)
class Content:
    """`text` is what the person said, `note` what there is to know besides, such as [forwarded]."""

    text: str
    note: str | None
    #: Meta's id of the message that this one answers, reacts to, corrects or deletes.
    reply_to: str | None
    #: Why it gets no answer; None when it asks for one.
    silence: str | None
    #: False: it belongs into no history.
    is_message: bool


def read_content(message: dict[str, Any]) -> Content:
    kind = text_of(message.get("type")) or "unknown"
    if kind == "edit":
        return _corrected(message)
    return Content(
        text=describe(kind, message),
        note=describe_surroundings(message),
        reply_to=_other_message(kind, message),
        silence=why_silent(kind, message),
        is_message=kind not in NO_MESSAGE and not message.get("group_id"),
    )


def describe(kind: str, message: dict[str, Any]) -> str:
    """The words of a message of this kind."""
    content = object_of(message.get(kind))
    match kind:
        case "text":
            return text_of(content.get("body")) or "[empty message]"
        case "button":
            return text_of(content.get("text")) or text_of(content.get("payload")) or "[button]"
        case "interactive":
            return _choice(content)
        case "reaction":
            return f"[reaction: {text_of(content.get('emoji')) or 'removed'}]"
        case "location":
            return _location(content)
        case "contacts":
            return _cards(message.get("contacts"))
        case "order":
            return _order(content)
        case "request_welcome":
            return "[opened the chat for the first time]"
        case "audio" if content.get("voice") is True:
            kind = "voice message"
    name = text_of(content.get("filename"))
    caption = text_of(content.get("caption"))
    shown = f'{_inside(kind)} "{_inside(name)}"' if name else _inside(kind)
    return f"[{shown}: {_inside(caption)}]" if caption else f"[{shown}]"


def describe_surroundings(message: dict[str, Any]) -> str | None:
    """Where a message came from, as far as the model should know."""
    notes = []
    context, referral = object_of(message.get("context")), object_of(message.get("referral"))
    if context.get("frequently_forwarded") is True:
        notes.append("[forwarded many times]")
    elif context.get("forwarded") is True:
        notes.append("[forwarded]")
    if product := text_of(object_of(context.get("referred_product")).get("product_retailer_id")):
        notes.append(f"[about the product {_inside(product)} of the catalogue]")
    if referral:
        source = {"ad": "an advertisement", "post": "a post"}.get(text_of(referral.get("source_type")) or "", "a link")
        said = [_inside(text) for key in ("headline", "body") if (text := text_of(referral.get(key)))]
        notes.append(f"[came from {': '.join(filter(None, (source, ' - '.join(said))))}]")
    return " ".join(notes) or None


def why_silent(kind: str, message: dict[str, Any]) -> str | None:
    """Why nobody is waiting for an answer to this message; None when somebody is."""
    if message.get("group_id"):
        return "message in a group"
    if kind == "interactive":
        content = object_of(message.get("interactive"))
        reply = text_of(content.get("type"))
        if reply is None:
            return "no answer to: interactive without content"
        known = reply not in SILENT_REPLIES and (reply == "nfm_reply" or not _choice(content).startswith("["))
        return None if known else f"no answer to: interactive ({reply[:60]})"
    if kind in ANSWERED:
        return None
    detail = text_of(object_of(message.get(kind)).get("type"))
    errors = message.get("errors")
    error = object_of(errors[0]) if isinstance(errors, list) and errors else {}
    if error.get("code"):
        detail = " ".join(filter(None, (detail, str(error["code"]), text_of(error.get("title")))))
    return f"no answer to: {kind[:60]}" + (f" ({detail[:120]})" if detail else "")


def text_of(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def object_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _corrected(message: dict[str, Any]) -> Content:
    """An edit says the new words; it is answered as they would be, since the first answer may be wrong now."""
    edit = object_of(message.get("edit"))
    inner = object_of(edit.get("message"))
    kind = text_of(inner.get("type"))
    in_group = message.get("group_id") or inner.get("group_id")
    silence = why_silent(kind, {**inner, "group_id": in_group}) if kind else "no answer to: edit without content"
    return Content(
        text=describe(kind, inner) if kind else "[edit]",
        note="[corrects an earlier message]",
        reply_to=text_of(edit.get("original_message_id")),
        silence=silence,
        is_message=not in_group,
    )


def _other_message(kind: str, message: dict[str, Any]) -> str | None:
    if kind == "reaction":
        return text_of(object_of(message.get("reaction")).get("message_id"))
    if kind == "revoke":
        return text_of(object_of(message.get("revoke")).get("original_message_id"))
    return text_of(object_of(message.get("context")).get("id"))


def _choice(content: dict[str, Any]) -> str:
    """What was chosen or filled in."""
    kind = text_of(content.get("type"))
    reply = object_of(content.get(kind or ""))
    if kind == "nfm_reply":
        return _form(reply.get("response_json"))
    if kind == "call_permission_reply":
        return f"[call permission: {_inside(text_of(reply.get('response')) or 'unknown')}]"
    title = text_of(reply.get("title")) or text_of(object_of(content.get("body")).get("text"))
    if title:
        description = text_of(reply.get("description"))
        return f"{title} ({description})" if description else title
    return text_of(reply.get("id")) or (f"[interactive: {_inside(kind)}]" if kind else "[interactive]")


def _form(response: Any) -> str:
    try:
        answers = object_of(json.loads(response))
    except (TypeError, ValueError, RecursionError):
        answers = {}
    said = [
        f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in answers.items()
        if key != "flow_token" and value not in (None, "")
    ]
    return f"[filled in a form: {_inside('; '.join(said))}]" if said else "[filled in a form]"


def _location(content: dict[str, Any]) -> str:
    place = ", ".join(text for key in ("name", "address") if (text := text_of(content.get(key))))
    at = ", ".join(str(content[key]) for key in ("latitude", "longitude") if content.get(key) is not None)
    said = " ".join(filter(None, (place, at, text_of(content.get("url")))))
    return f"[location: {_inside(said)}]" if said else "[location]"


def _cards(cards: Any) -> str:
    said = [_card(object_of(card)) for card in cards] if isinstance(cards, list) else []
    said = [card for card in said if card]
    name = "contacts" if len(said) > 1 else "contact"
    return f"[{name}: {_inside('; '.join(said))}]" if said else "[contact]"


def _card(card: dict[str, Any]) -> str:
    name = object_of(card.get("name"))
    parts = [text_of(name.get("formatted_name")) or text_of(name.get("first_name"))]
    parts.append(text_of(object_of(card.get("org")).get("company")))
    for key, inner in (("phones", "phone"), ("emails", "email")):
        listed = card.get(key)
        for item in listed if isinstance(listed, list) else []:
            parts.append(text_of(object_of(item).get(inner)) or text_of(object_of(item).get("wa_id")))
    return ", ".join(filter(None, parts))


def _order(content: dict[str, Any]) -> str:
    listed = content.get("product_items")
    items = [object_of(item) for item in listed] if isinstance(listed, list) else []
    said, total = [], Decimal(0)
    currencies = {str(item.get("currency") or "") for item in items}
    for item in items:
        quantity, price = _number(item.get("quantity")), _number(item.get("item_price"))
        total += quantity * price if quantity is not None and price is not None else Decimal("NaN")
        cost = f" at {price:f} {item.get('currency') or ''}".rstrip() if price is not None else ""
        count = f"{quantity:f} × " if quantity is not None else ""
        said.append(f"{count}{item.get('product_retailer_id') or 'a product'}{cost}")
    if said and total.is_finite() and len(currencies) == 1:
        said.append(f"{total:f} {currencies.pop()} in all".replace("  ", " "))
    if note := text_of(content.get("text")):
        said.append(note)
    return f"[order: {_inside('; '.join(said))}]" if said else "[order]"


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < 10**12 else None


def _inside(text: str) -> str:
    """Foreign words between brackets of ours: on one line, without brackets of their own, not endless."""
    return re.sub(r"\s+", " ", text.translate({91: "(", 93: ")"})).strip()[:2000]
