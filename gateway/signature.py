"""Who signed a delivery. Pure: bytes in, the id of the signing app out.

Rule from outside (Meta, webhooks): `X-Hub-Signature-256` is `sha256=` and the HMAC-SHA256 of the
exact bytes of the body with the app's secret, in hexadecimal. The older `X-Hub-Signature` (SHA-1)
proves nothing and is never looked at.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

HEADER = "x-hub-signature-256"

_FORM = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class AppSecret:
    """One secret of one Meta app; an app has two while its secret is being changed."""

    app_id: str
    secret: bytes = field(repr=False)


def claimed_digest(headers: list[str]) -> str | None:
    """The digest that a request claims, given every value of its signature header.

    None when there is none, more than one, another scheme or another length: such a request
    cannot verify, whatever its body is.
    """
    if len(headers) != 1:
        return None
    match = _FORM.fullmatch(headers[0])
    return match[1] if match else None


def signing_app(secrets: Iterable[AppSecret], body: bytes, digest: str) -> str | None:
    """The id of the app whose secret made `digest` of `body`, or None.

    Takes the same time whichever secret fits, and if none does.
    """
    fitting = [known.app_id for known in secrets if hmac.compare_digest(hexdigest(known.secret, body), digest)]
    return fitting[0] if fitting else None


def hexdigest(secret: bytes, body: bytes) -> str:
    """What Meta puts after `sha256=` for this body."""
    return hmac.new(secret, body, hashlib.sha256).hexdigest()
