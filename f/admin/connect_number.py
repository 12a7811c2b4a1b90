# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Connect a WhatsApp number to a chatbot: check the token, let our app get its messages, keep the token"""

from typing import Any

from f.admin import queries
from f.admin.desk import Desk, open_desk
from f.lib import http
from f.lib.windmill import get_resource, put_secret
from f.whatsapp.business_account import BusinessAccount

CLOUD_API = "f/whatsapp/cloud_api"

ID: dict[str, Any] = {"most": 32, "pattern": r"[0-9]{5,32}", "what": "the digits of Meta's id, not the phone number"}


@http.answering()
def main(
    phone_number_id: str,
    waba_id: str,
    chatbot: str,
    access_token: str | None = None,
    organization: str | None = None,
    app_id: str | None = None,
    request: dict | None = None,
) -> dict:
    """Purpose: from now on the chatbot answers what people write to this number.

    phone_number_id: Meta's id of the number, from the app's page API setup
    waba_id: id of the WhatsApp Business Account that the number is in
    chatbot: slug of the chatbot that answers
    access_token: (secret) a system user's token with whatsapp_business_management and whatsapp_business_messaging
    organization: slug or id; a tenant's key may leave it out
    app_id: id of the Meta app, if it is not the installation's own
    request: filled in by the HTTP route; leave it empty

    Nothing is kept unless Meta accepts the token for the number and its account. A number of another
    organisation: 409. Connecting again changes chatbot and token. The token becomes a secret variable of Windmill.
    """
    with open_desk("connect_number", request) as desk:
        token = http.text("access_token", access_token, most=1000, pattern="[!-~]+", what="one word")
        api = get_resource(CLOUD_API)
        values = {
            "organization_id": desk.organization(organization),
            "phone_number_id": http.text("phone_number_id", phone_number_id, **ID),
            "waba_id": http.text("waba_id", waba_id, **ID),
            "chatbot": http.slug("chatbot", chatbot),
            "app_id": app_of(app_id, api),
        }
        values["access_token_path"] = f"f/whatsapp/{values['organization_id']}/access_token_{values['phone_number_id']}"
        with desk.reading(values["organization_id"]):
            values["chatbot_id"] = desk.chatbot_id(values)
        with BusinessAccount(api, token) as account:
            number = account.number(values["phone_number_id"])
            if not account.has_number(values["waba_id"], values["phone_number_id"]):
                raise http.ApiError(422, "whatsapp_number_elsewhere", "the account waba_id does not have this number")
            account.subscribe(values["waba_id"])
        values["display_phone_number"] = number["display_phone_number"]
        desk.erase_this_run()
        return keep(desk, values, token) | {"verified_name": number.get("verified_name")}


def keep(desk: Desk, values: dict[str, Any], token: str) -> dict:
    """The row, then the token, at once: whoever is told that the number is another's has changed nothing."""
    fields = ("chatbot_id", "app_id", "waba_id", "display_phone_number", "access_token_path")
    new = {field: values[field] for field in fields}
    with desk.work(values["organization_id"]) as record:
        old = desk.connection.execute(queries.LOCK_NUMBER, values).fetchone()
        taken = http.ApiError(409, "number_taken", "this number is connected already, and not by this organization")
        desk.keep(old, queries.CHANGE_NUMBER, queries.ADD_NUMBER, values, taken)
        record("whatsapp_number", values["phone_number_id"], old=old, new=new)
        put_secret(values["access_token_path"], token, f"WhatsApp token of {values['display_phone_number']}")
    return {
        "phone_number_id": values["phone_number_id"],
        "display_phone_number": values["display_phone_number"],
        "chatbot": values["chatbot"],
        "app_id": values["app_id"],
        "is_new": old is None,
    }


def app_of(given: Any, api: dict[str, Any]) -> str:
    """The Meta app whose secret signs what comes for the number."""
    own = str(api.get("app_id") or "")
    if given is None and not own:
        raise http.invalid("app_id", "is missing: neither is it in the resource f/whatsapp/cloud_api")
    return own if given is None else http.text("app_id", given, most=64, pattern=r"[A-Za-z0-9_-]+", what="an app's id")


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main), ["access_token"])}
