# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""List who changed or looked at what, newest first"""

from f.admin import queries
from f.admin.desk import open_desk
from f.lib import http


@http.answering()
def main(
    organization: str | None = None,
    operators: bool = False,
    before: int | None = None,
    limit: int = 50,
    request: dict | None = None,
) -> dict:
    """Purpose: every admin call can be accounted for.

    organization: slug or id; a tenant's key may leave it out
    operators: what was done for the installation itself, and not for an organisation
    before: id of the last entry of the page before
    limit: how many at most, up to 200
    request: filled in by the HTTP route; leave it empty

    `next` is the `before` of the next page, null at the end.
    """
    with open_desk("list_audit_log", request) as desk:
        organization_id = desk.place(organization, operators)
        values = {
            "organization_id": organization_id,
            "before": None if before is None else http.integer("before", before, 1, 999_999_999),
            "most": http.integer("limit", 50 if limit is None else limit, 1, 200),
        }
        query = queries.AUDIT_LOG if organization_id else queries.AUDIT_LOG_OF_INSTALLATION
        with desk.work(organization_id) as record:
            rows = desk.connection.execute(query, values).fetchall()
            record("audit_log", None)
        return http.plain({"entries": rows, "next": rows[-1]["id"] if len(rows) == values["most"] else None})


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
