# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Create an API key of an organisation. It is shown once"""

from typing import Literal

from f.admin import queries
from f.admin.api_keys import SCOPES, new_key
from f.admin.desk import open_desk
from f.lib import http


@http.answering(201)
def main(
    name: str,
    scopes: list[Literal["admin", "knowledge"]],
    organization: str | None = None,
    expires_in_days: int | None = None,
    request: dict | None = None,
) -> dict:
    """Purpose: a tenant's own programs may call its routes.

    name: what the key is for
    scopes: admin for these routes, knowledge for documents
    organization: slug or id; a tenant's key may leave it out
    expires_in_days: 1 to 3650; left out, it lasts until it is revoked
    request: filled in by the HTTP route; leave it empty

    Returns `key`. It is stored nowhere, and this run with its result is erased after a minute.
    """
    with open_desk("create_api_key", request) as desk:
        organization_id = desk.organization(organization)
        wanted = http.texts("scopes", scopes)
        for scope in wanted:
            http.choice("scopes", scope, SCOPES)
        if not wanted:
            raise http.invalid("scopes", "must name one scope at least")
        days = None if expires_in_days is None else http.integer("expires_in_days", expires_in_days, 1, 3650)
        new = new_key()
        values = {
            "organization_id": organization_id,
            "name": http.text("name", name),
            "scopes": wanted,
            "valid_days": days,
            **new.stored,
        }
        desk.erase_this_run()
        with desk.work(organization_id) as record:
            added = desk.connection.execute(queries.ADD_KEY, values).fetchone()
            assert added is not None
            values["expires_at"] = added["expires_at"]
            shown = http.plain({field: values[field] for field in ("name", "scopes", "expires_at", "key_prefix")})
            record("api_key", str(added["id"]), new=shown)
        return {"id": str(added["id"]), "key": new.key, **shown}


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
