# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Say where an organisation, or the operators, are told of alerts and hand-overs"""

from typing import Any, Literal

from f.admin import queries
from f.admin.desk import Desk, open_desk
from f.lib import http
from f.lib.windmill import put_secret

SEVERITIES = ("info", "warning", "critical")

EMAIL: dict[str, Any] = {"pattern": r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+", "what": "an e-mail address"}
NAME: dict[str, Any] = {"pattern": r"[a-z][a-z0-9_]{0,31}", "what": "small letters, digits and _, 32 at most"}
KIND: dict[str, Any] = {"pattern": r"[a-z][a-z0-9_]*", "what": "a kind of alert, or handover"}


@http.answering()
def main(
    name: str,
    organization: str | None = None,
    operators: bool = False,
    email: str | None = None,
    webhook: str | None = None,
    minimum_severity: Literal["info", "warning", "critical"] | None = None,
    kinds: list[str] | None = None,
    is_enabled: bool | None = None,
    request: dict | None = None,
) -> dict:
    """Purpose: people hear of hand-overs and alerts in time. What is left out stays as it is.

    name: of the channel, such as reception; the channel of this name is changed, else added
    organization: slug or id; a tenant's key may leave it out
    operators: the installation's operators instead, who hear of all alerts and of no hand-over
    email: address that is written to; a new channel needs this or webhook
    webhook: (secret) https address that takes Slack's {"text": ...}
    minimum_severity: from which severity on; warning for a new channel
    kinds: instead of a severity only these kinds of alerts, handover among them; an empty list: by severity again
    is_enabled: false, and nobody is told here
    request: filled in by the HTTP route; leave it empty

    Returns the channel as it is now. The address of a webhook becomes a secret variable of Windmill.
    """
    with open_desk("save_channel", request) as desk:
        keys = {"organization_id": desk.place(organization, operators), "name": http.text("name", name, **NAME)}
        given: dict[str, Any] = {}
        if email is not None and webhook is not None:
            raise http.invalid("webhook", "and email are two channels: give each a name")
        if email is not None:
            given |= {"kind": "email", "target": http.text("email", email, most=254, **EMAIL)}
        if webhook is not None:
            webhook = http.public_url("webhook", webhook)
            owner = keys["organization_id"]
            folder = f"f/integrations/{owner}" if owner else "f/ops"
            given |= {"kind": "webhook", "target": f"{folder}/channel-{keys['name']}"}
        if minimum_severity is not None:
            given["minimum_severity"] = http.choice("minimum_severity", minimum_severity, SEVERITIES)
        if kinds is not None:
            given["kinds"] = [http.text("kinds", kind, **KIND) for kind in http.texts("kinds", kinds)] or None
        if is_enabled is not None:
            given["is_enabled"] = http.flag("is_enabled", is_enabled)
        if webhook is not None:
            desk.erase_this_run()
        return save(desk, keys, given, webhook)


def save(desk: Desk, keys: dict[str, Any], given: dict[str, Any], webhook: str | None) -> dict:
    with desk.work(keys["organization_id"]) as record:
        known = desk.connection.execute(queries.LOCK_CHANNEL, keys).fetchone()
        old = http.plain(known or {"minimum_severity": "warning", "kinds": None, "is_enabled": True})
        new = old | given
        if "kind" not in new:
            raise http.invalid("email", "is missing: a new channel needs it, or webhook")
        taken = http.ApiError(409, "conflict", "somebody else added this channel just now: try again")
        kept = desk.keep(known, queries.CHANGE_CHANNEL, queries.ADD_CHANNEL, {**keys, **new}, taken)
        record(
            "channel",
            str(kept["id"]),
            old=old if known else None,
            new={**new, "new_webhook": webhook is not None},
        )
        if webhook is not None:
            put_secret(new["target"], webhook, f"Address of the channel {keys['name']}")
        listed = desk.connection.execute(queries.LIST_CHANNELS, keys).fetchall()
    return http.plain(next(row for row in listed if row["name"] == keys["name"]))


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main), ["webhook"])}
