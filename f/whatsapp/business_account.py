# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""What onboarding asks Meta: whether a token may use a number, and that our app gets its messages.

Rules from outside: Meta's Graph API reference for phone numbers and subscribed apps. What Meta writes in
an error is never passed on, since it may repeat the token.
"""

import re
from typing import Any

import httpx

from f.lib.http import ApiError
from f.whatsapp.cloud_api import LATER

TIMEOUT = httpx.Timeout(15, connect=5)

#: Pages of an account's numbers that are looked through.
MAX_PAGES = 20

PERMISSION = frozenset({3, 10, 131005, *range(200, 300)})


class BusinessAccount:
    """Calls with one access token. Close it, or use it in a `with` block. Every call raises ApiError."""

    def __init__(self, api: dict[str, Any], access_token: str):
        base = api["base_url"].rstrip("/")
        if not re.search(r"/v\d+\.\d+$", base):
            base = f"{base}/{api.get('version') or 'v24.0'}"
        headers = {"authorization": f"Bearer {access_token}"}
        self._base = base
        self._http = httpx.Client(timeout=TIMEOUT, headers=headers)

    def __enter__(self) -> "BusinessAccount":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def number(self, phone_number_id: str) -> dict[str, Any]:
        """`display_phone_number` and `verified_name` of a number that the token may use."""
        fields = {"fields": "display_phone_number,verified_name"}
        found = self._call("GET", phone_number_id, "phone number", fields)
        if not isinstance(found.get("display_phone_number"), str):
            raise ApiError(422, "whatsapp_number_unknown", "WhatsApp does not know this as the id of a phone number")
        return found

    def has_number(self, waba_id: str, phone_number_id: str) -> bool:
        """Whether the number is of this WhatsApp Business Account."""
        query = {"fields": "id", "limit": "100"}
        for _ in range(MAX_PAGES):
            page = self._call("GET", f"{waba_id}/phone_numbers", "account", query)
            listed = page.get("data")
            if isinstance(listed, list) and any(
                isinstance(item, dict) and item.get("id") == phone_number_id for item in listed
            ):
                return True
            paging: Any = page.get("paging") or {}
            after = (paging.get("cursors") or {}).get("after")
            if not after or not paging.get("next"):
                return False
            query["after"] = str(after)
        return False

    def subscribe(self, waba_id: str) -> None:
        """Let the token's app get what happens in the account. Asking again changes nothing."""
        if self._call("POST", f"{waba_id}/subscribed_apps", "account").get("success") is not True:
            raise ApiError(502, "whatsapp_refused", "WhatsApp did not confirm the subscription: try again")

    def _call(self, method: str, path: str, what: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, f"{self._base}/{path}", params=query)
        except httpx.HTTPError as error:
            raise ApiError(502, "whatsapp_unreachable", "WhatsApp's API cannot be reached: try again") from error
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.is_success and isinstance(answer, dict):
            return answer
        problem = answer.get("error") if isinstance(answer, dict) else None
        raise refusal(response.status_code, problem if isinstance(problem, dict) else {}, what)


def refusal(status: int, error: dict[str, Any], what: str) -> ApiError:
    """What a person should do about an error of Meta's."""
    code = error.get("code")
    if code == 190:
        return ApiError(
            422,
            "whatsapp_token_refused",
            "WhatsApp does not accept the access token: it is mistyped, expired or revoked",
        )
    if code in PERMISSION:
        return ApiError(
            422,
            "whatsapp_permission_missing",
            "the token lacks permissions: whatsapp_business_management and whatsapp_business_messaging are needed, and"
            f" the system user must be assigned the {what}",
        )
    if code == 100:
        return ApiError(
            422,
            f"whatsapp_{'number' if what == 'phone number' else 'account'}_unknown",
            f"WhatsApp knows no {what} of this id that the token may use",
        )
    if code in LATER or status >= 500 or status == 429:
        return ApiError(503, "whatsapp_busy", "WhatsApp cannot answer now: try again in some minutes")
    return ApiError(502, "whatsapp_refused", f"WhatsApp refused with HTTP {status}, code {code}")
