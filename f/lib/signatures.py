# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Claims that whoever has the key believes: `<JSON with its expiry>.<HMAC-SHA256>`, both base64url."""

import base64
import hmac
import json
import time
from typing import Any

#: Characters; a shorter key is refused.
MIN_KEY = 32
MAX_TOKEN = 2048


class TokenRefused(Exception):
    """The token cannot be believed; the text says why and holds nothing of it."""


def sign(claims: dict[str, Any], key: str, seconds: float, use: str = "") -> str:
    """A token for `use` that expires in `seconds`: for another use it is none. Raises ValueError for a short key."""
    stated = {**claims, "expires_at": time.time() + seconds}
    payload = _encode(json.dumps(stated, separators=(",", ":")).encode())
    return f"{payload}.{_encode(_digest(payload, key, use))}"


def verify(token: str, key: str, use: str = "") -> dict[str, Any]:
    """What was signed for `use`. Raises TokenRefused."""
    payload, _, signature = token.partition(".")
    if len(token) > MAX_TOKEN or not token.isascii():
        raise TokenRefused("it is no token")
    if not hmac.compare_digest(_encode(_digest(payload, key, use)), signature):
        raise TokenRefused("its signature does not fit")
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        expires_at = float(claims.pop("expires_at"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TokenRefused("its claims cannot be read") from error
    if not time.time() < expires_at:
        raise TokenRefused("it has expired")
    return dict(claims)


def _digest(payload: str, key: str, use: str) -> bytes:
    if len(key) < MIN_KEY:
        raise ValueError(f"a signing key has at least {MIN_KEY} characters")
    return hmac.digest(key.encode(), f"{use}:{payload}".encode() if use else payload.encode(), "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
