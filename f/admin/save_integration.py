# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Connect a tool server to an organisation, and say which of its tools a chatbot may call"""

from typing import Any, Literal

from f.admin import queries
from f.admin.desk import Desk, open_desk
from f.lib import http
from f.lib.windmill import put_secret

#: The servers of mcp_servers/.
OWN = ("pricing_calculator", "lead_capture", "contact_owner")

NAME: dict[str, Any] = {"pattern": r"[a-z][a-z0-9_]{0,31}", "what": "small letters, digits and _, 32 at most"}


@http.answering()
def main(
    name: str,
    organization: str | None = None,
    kind: Literal["own", "mcp"] | None = None,
    url: str | None = None,
    credential: str | None = None,
    is_enabled: bool | None = None,
    chatbot: str | None = None,
    tools: list[str] | None = None,
    request: dict | None = None,
) -> dict:
    """Purpose: a chatbot acts through tools, and only through those it was given. What is left out stays as it is.

    name: of the server; one of our own: pricing_calculator, lead_capture, contact_owner
    organization: slug or id; a tenant's key may leave it out
    kind: own, or mcp for somebody else's server; needed for a new one
    url: where somebody else's server is, https
    credential: (secret) bearer token for url; another url forgets it
    is_enabled: false, and no chatbot can call it
    chatbot: slug of the chatbot that `tools` is about
    tools: names of the tools that the chatbot may call, in place of those it had
    request: filled in by the HTTP route; leave it empty

    Returns the integration as it is now. The credential becomes a secret variable of Windmill.
    """
    with open_desk("save_integration", request) as desk:
        organization_id = desk.organization(organization)
        given: dict[str, Any] = {}
        if kind is not None:
            given["kind"] = http.choice("kind", kind, ("own", "mcp"))
        if url is not None:
            given["url"] = http.public_url("url", url)
        if is_enabled is not None:
            given["is_enabled"] = http.flag("is_enabled", is_enabled)
        token = None
        if credential is not None:
            token = http.text("credential", credential, most=4000, pattern="[!-~]+", what="one word")
        if (chatbot is None) != (tools is None):
            raise http.invalid("tools", "and chatbot are only of use together")
        keys = {
            "organization_id": organization_id,
            "name": http.text("name", name, **NAME),
            "chatbot": None if chatbot is None else http.slug("chatbot", chatbot),
            "tools": None if tools is None else http.texts("tools", tools),
        }
        if token is not None:
            desk.erase_this_run()
        return save(desk, keys, given, token)


def save(desk: Desk, keys: dict[str, Any], given: dict[str, Any], token: str | None) -> dict:
    with desk.work(keys["organization_id"]) as record:
        known = desk.connection.execute(queries.LOCK_INTEGRATION, keys).fetchone()
        old = http.plain(known or {"kind": None, "url": None, "credential_path": None, "is_enabled": True})
        new = checked(keys["name"], old, old | given, token)
        if token is not None:
            new["credential_path"] = f"f/integrations/{keys['organization_id']}/{keys['name']}"
        elif new["url"] != old["url"]:
            new["credential_path"] = None  # it is for the server at the old address
        values = {**keys, **new}
        taken = http.ApiError(409, "conflict", "somebody else added this integration just now: try again")
        kept = desk.keep(known, queries.CHANGE_INTEGRATION, queries.ADD_INTEGRATION, values, taken)
        new["id"] = values["id"] = str(kept["id"])
        before = give_tools(desk, values) if keys["chatbot"] else None
        record(
            "integration",
            new["id"],
            old={**old, "tools": before} if known else None,
            new={**new, "chatbot": keys["chatbot"], "tools": keys["tools"], "new_credential": token is not None},
        )
        if token is not None:
            put_secret(new["credential_path"], token, f"Credential of the tool server {keys['name']}")
        listed = desk.connection.execute(queries.LIST_INTEGRATIONS, keys).fetchall()
    return http.plain(next(row for row in listed if row["name"] == keys["name"]))


def checked(name: str, old: dict[str, Any], new: dict[str, Any], token: str | None) -> dict[str, Any]:
    if new["kind"] is None:
        raise http.invalid("kind", "is missing: a new integration needs it")
    if old["kind"] not in (None, new["kind"]):
        raise http.ApiError(409, "conflict", "an integration stays what it is: give the new one another name")
    if new["kind"] == "own" and name not in OWN:
        raise http.invalid("name", f"must be one of {', '.join(OWN)} for kind own")
    if new["kind"] == "own" and (new["url"] is not None or token is not None):
        raise http.invalid("kind", "own needs neither url nor credential")
    if new["kind"] == "mcp" and new["url"] is None:
        raise http.invalid("url", "is missing: kind mcp needs it")
    return new


def give_tools(desk: Desk, values: dict[str, Any]) -> list[str]:
    """Replace the chatbot's tools of this server. Returns those it had."""
    values["chatbot_id"] = desk.chatbot_id(values)
    before = [row["tool_name"] for row in desk.connection.execute(queries.TOOLS_OF_CHATBOT, values)]
    desk.connection.execute(queries.TAKE_TOOLS, values)
    desk.connection.execute(queries.GIVE_TOOLS, values)
    return before


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main), ["credential"])}
