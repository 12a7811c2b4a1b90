"""Tokens that say on whose behalf a tool is called."""

import base64
import json

import pytest

from f.lib.caller_tokens import Caller, sign, verify
from f.lib.signatures import TokenRefused

KEY = "0123456789abcdef" * 2
CALLER = Caller("11111111-1111-4111-8111-111111111111", "1b1c1d1e-0000-4000-8000-000000000001")


def test_what_was_signed_is_read():
    assert verify(sign(CALLER, KEY), KEY) == CALLER


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "signature"),
        ("a.b", "signature"),
        ("é.é", "no token"),
        ("a" * 3000, "no token"),
        (sign(CALLER, KEY, seconds=-1), "expired"),
        (sign(CALLER, "another key, just as long as it has to be"), "signature"),
    ],
)
def test_anything_else_is_refused(token, reason):
    with pytest.raises(TokenRefused, match=reason):
        verify(token, KEY)


def test_changed_claims_are_refused():
    payload, signature = sign(CALLER, KEY).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["organization_id"] = "22222222-2222-4222-8222-222222222222"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    with pytest.raises(TokenRefused, match="signature"):
        verify(f"{forged}.{signature}", KEY)


def test_a_short_key_signs_and_verifies_nothing():
    for use in (lambda: sign(CALLER, "short"), lambda: verify(sign(CALLER, KEY), "short")):
        with pytest.raises(ValueError, match="at least 32"):
            use()


def test_ids_are_ids():
    with pytest.raises(ValueError, match="UUID"):
        Caller("1; drop table leads", CALLER.chatbot_id)
