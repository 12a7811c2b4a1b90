# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Create an organisation: a new tenant. For operators"""

from uuid import uuid4

from f.admin import queries
from f.admin.desk import open_desk
from f.lib import http


@http.answering(201)
def main(slug: str, name: str, plan: str = "free", request: dict | None = None) -> dict:
    """Purpose: the third tenant is added as the first was, without touching SQL.

    slug: short name in small letters, digits and hyphens; it cannot be changed later
    name: the business as its customers know it
    plan: a code of the table plans: free, pro, enterprise
    request: filled in by the HTTP route; leave it empty

    Returns the organisation's id. A slug that is taken: 409.
    """
    with open_desk("create_organization", request, operators_only=True) as desk:
        plans = [row["code"] for row in desk.connection.execute(queries.PLANS)]
        values = {
            "organization_id": str(uuid4()),
            "slug": http.slug("slug", slug),
            "name": http.text("name", name),
            "plan": http.choice("plan", "free" if plan is None else plan, plans),
        }
        with desk.work(values["organization_id"]) as record:
            if not desk.connection.execute(queries.ADD_ORGANIZATION, values).fetchone():
                raise http.ApiError(409, "slug_taken", "there is an organization of this slug already")
            record("organization", values["organization_id"], new=values)
        return values


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
