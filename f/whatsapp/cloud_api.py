# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""The part of WhatsApp's Cloud API that a reply needs.

Rules from outside: Meta's Cloud API error codes and its messages reference. There is no
idempotency key, so an answer that we did not get is not a message that was not sent.
"""

import re
from typing import Any

import httpx

from f.whatsapp.deliveries import LATER, OPERATOR

#: Seconds; all together a call must end well within the lease that was renewed just before it.
TIMEOUT = httpx.Timeout(connect=5, write=5, read=25, pool=5)


#: Why what has waited for a day is given up: free text may follow a person's message for so long.
TOO_LATE = "24 hours have passed: WhatsApp takes no free text any more"


class SendError(Exception):
    """The message was certainly not sent."""

    def __init__(self, reason: str, code: int | None = None, *, later: bool = False):
        super().__init__(f"{reason} (code {code})" if code is not None else reason)
        self.reason = reason
        self.code = code
        #: True: the same message may be sent again, later.
        self.later = later

    @property
    def needs_operator(self) -> bool:
        return self.code in OPERATOR


class SendUncertain(Exception):
    """The message may or may not have gone out; it must not be sent again blindly."""


class CloudApi:
    """Calls on behalf of one business number. Close it, or use it in a `with` block."""

    def __init__(self, api: dict[str, Any], phone_number_id: str, access_token: str):
        base = api["base_url"].rstrip("/")
        if not re.search(r"/v\d+\.\d+$", base):
            base = f"{base}/{api.get('version') or 'v24.0'}"
        self._url = f"{base}/{phone_number_id}/messages"
        self._http = httpx.Client(timeout=TIMEOUT, headers={"authorization": f"Bearer {access_token}"})

    def __enter__(self) -> "CloudApi":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send_text(self, contact: dict[str, Any], body: str, callback_data: str) -> str:
        """Send `body` to `contact` (`wa_id` or `user_id`) and return Meta's id of the message.

        `callback_data` comes back in the message's statuses. Raises SendError when it was not
        sent, SendUncertain when nobody can tell.
        """
        message = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            **recipient(contact),
            "type": "text",
            "text": {"body": body, "preview_url": False},
            "biz_opaque_callback_data": callback_data,
        }
        try:
            response = self._http.post(self._url, json=message)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise SendError(f"WhatsApp could not be reached: {type(error).__name__}", later=True) from error
        except httpx.RequestError as error:
            raise SendUncertain(f"the connection to WhatsApp broke: {type(error).__name__}") from error
        return read_answer(response.status_code, response.text)

    def mark_read(self, wamid: str) -> None:
        """Show the person two blue ticks and, for up to 25 s, that a reply is being written."""
        self._http.post(
            self._url,
            json={
                "messaging_product": "whatsapp",
                "status": "read",
                "message_id": wamid,
                "typing_indicator": {"type": "text"},
            },
            timeout=5,
        ).raise_for_status()


def recipient(contact: dict[str, Any]) -> dict[str, str]:
    """Meta takes a phone number as `to`, a business-scoped user id as `recipient`."""
    if contact.get("wa_id"):
        return {"to": "+" + contact["wa_id"].lstrip("+")}
    return {"recipient": contact["user_id"]}


def read_answer(status: int, text: str) -> str:
    """The id of the sent message, from the answer to a send.

    Only an error body of Meta's says that nothing was sent; a bare 5xx (a proxy's page) does not.
    """
    try:
        answer = httpx.Response(status, text=text).json()
    except ValueError:
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict) and isinstance(error.get("code"), int):
        code = error["code"]
        reason = str(error.get("type") or "error") + ": " + str(error.get("message") or "")[:200]
        raise SendError(reason, code, later=code in LATER or (status >= 500 and code not in OPERATOR))
    if status == 200 and isinstance(answer, dict):
        match answer.get("messages"):
            case [{"id": str(wamid)}, *_]:
                return wamid
    if 400 <= status < 500:
        raise SendError(f"WhatsApp answered {status} without an error body")
    raise SendUncertain(f"WhatsApp answered {status} without a message id")
