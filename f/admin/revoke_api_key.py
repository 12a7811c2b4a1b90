# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Revoke an API key at once"""

from f.admin import queries
from f.admin.api_keys import find_key
from f.admin.desk import open_desk
from f.lib import http


@http.answering()
def main(id: str, organization: str | None = None, request: dict | None = None) -> dict:
    """Purpose: the key opens nothing any more.

    id: of the key
    organization: slug or id; a tenant's key may leave it out
    request: filled in by the HTTP route; leave it empty

    A request that runs with the key either has changed what it was to change by then, or is refused with 401
    and changes nothing. Revoking again changes nothing.
    """
    with open_desk("revoke_api_key", request) as desk:
        organization_id = desk.organization(organization)
        keys = {"organization_id": organization_id, "id": http.uuid("id", id)}
        with desk.work(organization_id) as record:
            old = find_key(desk, keys)
            revoked_at = old["revoked_at"]
            if revoked_at is None:
                revoked = desk.connection.execute(queries.REVOKE_KEY, keys).fetchone()
                assert revoked is not None
                revoked_at = revoked["revoked_at"]
            record("api_key", keys["id"], new={"name": old["name"], "revoked_at": revoked_at.isoformat()})
        return {"id": keys["id"], "name": old["name"], "revoked_at": revoked_at.isoformat()}


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
