# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Who calls a tool server, signed by the caller: the servers believe this and never the model's arguments.

A token is `<claims>.<signature>`, both base64url: JSON of the ids and the expiry, and its HMAC-SHA256.
"""

import base64
import hmac
import json
import time
from dataclasses import asdict, dataclass
from uuid import UUID

#: Characters; a shorter key is refused.
MIN_KEY = 32
MAX_TOKEN = 2048

#: Seconds that a token for one call is good for.
CALL_SECONDS = 60


class TokenRefused(Exception):
    """The token cannot be believed; the text says why and holds nothing of it."""


@dataclass(frozen=True)
class Caller:
    """On whose behalf a tool is called. Without a contact or conversation, tools that need one refuse."""

    organization_id: str
    chatbot_id: str
    contact_id: str | None = None
    conversation_id: str | None = None
    turn_id: str | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None or name in ("organization_id", "chatbot_id"):
                UUID(value)


def sign(caller: Caller, key: str, seconds: float = CALL_SECONDS) -> str:
    """A token for `caller` that expires in `seconds`. Raises ValueError when the key is too short."""
    claims = {**asdict(caller), "expires_at": time.time() + seconds}
    payload = _encode(json.dumps(claims, separators=(",", ":")).encode())
    return f"{payload}.{_encode(_digest(payload, key))}"


def verify(token: str, key: str) -> Caller:
    """The caller that `token` names. Raises TokenRefused."""
    payload, _, signature = token.partition(".")
    if len(token) > MAX_TOKEN or not token.isascii():
        raise TokenRefused("it is no token")
    if not hmac.compare_digest(_encode(_digest(payload, key)), signature):
        raise TokenRefused("its signature does not fit")
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        expires_at = float(claims.pop("expires_at"))
        caller = Caller(**claims)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TokenRefused("its claims cannot be read") from error
    if not time.time() < expires_at:
        raise TokenRefused("it has expired")
    return caller


def _digest(payload: str, key: str) -> bytes:
    if len(key) < MIN_KEY:
        raise ValueError(f"a signing key has at least {MIN_KEY} characters")
    return hmac.digest(key.encode(), payload.encode(), "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
