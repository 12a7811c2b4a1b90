# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""List an organisation's conversations, newest first: counts and states, not what was said"""

from typing import Any, Literal

from f.admin import queries
from f.admin.desk import open_desk
from f.lib import http


@http.answering()
def main(
    organization: str | None = None,
    chatbot: str | None = None,
    mode: Literal["bot", "person"] | None = None,
    after: str | None = None,
    limit: int = 50,
    request: dict | None = None,
) -> dict:
    """Purpose: see who is being talked to, what waits and what failed.

    organization: slug or id; a tenant's key may leave it out
    chatbot: slug; only this chatbot's
    mode: bot, or person for those that people have taken over
    after: id of the last conversation of the page before
    limit: how many at most, up to 200
    request: filled in by the HTTP route; leave it empty

    People appear by the last four characters of their number, and no message's text is in it: results of runs
    are kept by Windmill. `next` is the `after` of the next page, null at the end.
    """
    with open_desk("list_conversations", request) as desk:
        organization_id = desk.organization(organization)
        values: dict[str, Any] = {
            "organization_id": organization_id,
            "chatbot": None if chatbot is None else http.slug("chatbot", chatbot),
            "mode": None if mode is None else http.choice("mode", mode, ("bot", "person")),
            "after": None if after is None else http.uuid("after", after),
            "most": http.integer("limit", 50 if limit is None else limit, 1, 200),
        }
        with desk.work(organization_id) as record:
            rows = desk.connection.execute(queries.LIST_CONVERSATIONS, values).fetchall()
            record("conversations", values["chatbot"])
        return http.plain({"conversations": rows, "next": rows[-1]["id"] if len(rows) == values["most"] else None})


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
