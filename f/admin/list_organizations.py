# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""List the organisations: all for operators, its own for a tenant's key"""

from f.admin import queries
from f.admin.desk import open_desk
from f.lib import http

SHOWN = ("organization_id", "slug", "name", "plan", "created_at")


@http.answering()
def main(after: str | None = None, limit: int = 100, request: dict | None = None) -> dict:
    """Purpose: find the slug or id that other calls want.

    after: slug of the last organisation of the page before
    limit: how many at most, up to 500
    request: filled in by the HTTP route; leave it empty

    Returns `organizations` in the order of their slugs.
    """
    with open_desk("list_organizations", request) as desk:
        page = {
            "after": "" if after is None else http.slug("after", after),
            "most": http.integer("limit", 100 if limit is None else limit, 1, 500),
        }
        own = desk.caller.organization_id
        with desk.work(own) as record:
            if own is None:
                rows = desk.connection.execute(queries.KNOWN_ORGANIZATIONS, page).fetchall()
            else:
                rows = desk.connection.execute(queries.READ_ORGANIZATION, {"organization_id": own}).fetchall()
            record("organizations", None)
        return {"organizations": [http.plain({name: row[name] for name in SHOWN}) for row in rows]}


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
