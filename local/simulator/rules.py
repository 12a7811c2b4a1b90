"""What Meta accepts of a business, and the error bodies it answers otherwise. Pure.

Rules from outside: the Cloud API's messages reference and its list of error codes; Graph API error bodies.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_CALLBACK_DATA = 512
KINDS = "audio contacts document image interactive location reaction sticker template text video".split()

#: What Meta says with a code; `details` of an error says the rest.
MESSAGES = {
    1: "An unknown error occurred",
    2: "Service temporarily unavailable",
    4: "Application request limit reached",
    10: "Application does not have permission for this action",
    100: "Invalid parameter",
    190: "Invalid OAuth access token - Cannot parse access token",
    368: "Temporarily blocked for policies violations",
    80007: "Rate limit issues",
    130429: "Rate limit hit",
    131000: "Something went wrong",
    131005: "Access denied",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131016: "Service unavailable",
    131026: "Message undeliverable",
    131031: "Account has been locked",
    131042: "Business eligibility payment issue",
    131047: "Re-engagement message",
    131048: "Spam rate limit hit",
    131051: "Unsupported message type",
    131056: "(Business Account, Consumer Account) pair rate limit hit",
    131057: "Account in maintenance mode",
    133010: "Phone number not registered",
}
#: HTTP statuses of codes that are not answered with 400.
STATUSES = {
    1: 500,
    2: 503,
    10: 403,
    190: 401,
    368: 403,
    130429: 429,
    131000: 500,
    131005: 403,
    131016: 503,
    131057: 503,
}


class GraphError(Exception):
    """A request that Meta refuses."""

    def __init__(self, code: int, details: str, *, status: int | None = None, subcode: int | None = None) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details
        self.status = status or STATUSES.get(code, 400)
        self.subcode = subcode

    def body(self) -> dict[str, Any]:
        said = MESSAGES.get(self.code, "Error")
        error: dict[str, Any] = {
            "message": said if self.code == 190 else f"(#{self.code}) {said}",
            "type": "OAuthException",
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.details},
            "fbtrace_id": "A" + secrets.token_urlsafe(16),
        }
        return {"error": error | ({"error_subcode": self.subcode} if self.subcode else {})}


@dataclass(frozen=True)
class Send:
    """A message for one person, known by phone number (`to`, digits) or by business-scoped id (`recipient`)."""

    to: str | None
    recipient: str | None
    given: str
    payload: dict[str, Any]
    callback_data: str | None


@dataclass(frozen=True)
class MarkRead:
    wamid: str
    typing: bool


def parse_call(body: Any) -> Send | MarkRead:
    """What a POST to …/messages asks for. Raises GraphError."""
    if not isinstance(body, dict):
        raise GraphError(100, "The body must be a JSON object.")
    if body.get("messaging_product") != "whatsapp":
        raise GraphError(100, "The parameter messaging_product is required and must be 'whatsapp'.")
    return parse_status(body) if "status" in body else parse_send(body)


def parse_status(body: dict[str, Any]) -> MarkRead:
    indicator = body.get("typing_indicator")
    if body["status"] != "read":
        raise GraphError(100, "Param status must be 'read'.")
    if not isinstance(body.get("message_id"), str) or not body["message_id"]:
        raise GraphError(131008, "Parameter 'message_id' is missing.")
    if indicator is not None and indicator != {"type": "text"}:
        raise GraphError(100, 'Param typing_indicator must be {"type": "text"}.')
    return MarkRead(body["message_id"], typing=indicator is not None)


def parse_send(body: dict[str, Any]) -> Send:
    if body.get("recipient_type", "individual") != "individual":
        raise GraphError(100, "Param recipient_type must be 'individual'.")
    kind = body.get("type", "text")
    if kind not in KINDS:
        raise GraphError(100, f"Param type must be one of {{{', '.join(KINDS).upper()}}} - got {kind!r}.")
    content = body.get(kind)
    if not isinstance(content, list if kind == "contacts" else dict) or not content:
        raise GraphError(131008, f"Parameter '{kind}' is missing.")
    _check_lengths(kind, content)
    callback_data = body.get("biz_opaque_callback_data")
    if callback_data is not None and (not isinstance(callback_data, str) or len(callback_data) > MAX_CALLBACK_DATA):
        raise GraphError(
            100, f"Param biz_opaque_callback_data must be a string of at most {MAX_CALLBACK_DATA} characters."
        )
    payload = {"type": kind, kind: content}
    if isinstance(body.get("context"), dict):
        payload["context"] = body["context"]
    to, recipient = body.get("to"), body.get("recipient")
    # With both, Meta takes the phone number.
    if isinstance(to, str) and to:
        digits = re.sub(r"[\s().+-]", "", to)
        if not re.fullmatch(r"[0-9]{5,20}", digits):
            raise GraphError(131009, "Parameter 'to' is not a valid phone number.")
        return Send(digits, None, to, payload, callback_data)
    if isinstance(recipient, str) and recipient:
        return Send(None, recipient, recipient, payload, callback_data)
    raise GraphError(131008, "Parameter 'to' or 'recipient' is missing.")


def _check_lengths(kind: str, content: Any) -> None:
    if kind == "text":
        text = content.get("body")
        if not isinstance(text, str) or not text.strip():
            raise GraphError(131008, "Parameter 'text.body' is missing.")
        if len(text) > MAX_TEXT:
            raise GraphError(100, f"Param text['body'] must be at most {MAX_TEXT} characters long.")
    elif isinstance(content, dict) and len(str(content.get("caption") or "")) > MAX_CAPTION:
        raise GraphError(100, f"Param {kind}['caption'] must be at most {MAX_CAPTION} characters long.")
