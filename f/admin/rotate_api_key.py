# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Replace an API key by a new one; the old one works on for a while"""

from f.admin import queries
from f.admin.api_keys import find_key, new_key
from f.admin.desk import open_desk
from f.lib import http


@http.answering(201)
def main(id: str, organization: str | None = None, overlap_hours: float = 24, request: dict | None = None) -> dict:
    """Purpose: a key is replaced without a moment in which programs have none.

    id: of the key that is replaced
    organization: slug or id; a tenant's key may leave it out
    overlap_hours: how long the old key works on, 0 to 720
    request: filled in by the HTTP route; leave it empty

    Returns the new `key`, of the same name and scopes, which lasts as many days from now as the old one was made for,
    and until when the old one works. The key is stored nowhere, and this run with its result is erased after a
    minute. A key that has ended: 409.
    """
    with open_desk("rotate_api_key", request) as desk:
        organization_id = desk.organization(organization)
        keys = {"organization_id": organization_id, "id": http.uuid("id", id)}
        hours = http.number("overlap_hours", 24 if overlap_hours is None else overlap_hours, 0, 720)
        new = new_key()
        desk.erase_this_run()
        with desk.work(organization_id) as record:
            old = find_key(desk, keys)
            if old["has_ended"]:
                raise http.ApiError(409, "key_ended", "this key has ended: create a new one")
            values = {
                **keys,
                "name": old["name"],
                "scopes": old["scopes"],
                "valid_days": old["valid_days"],
                **new.stored,
            }
            added = desk.connection.execute(queries.ADD_KEY, values).fetchone()
            ended = desk.connection.execute(queries.END_KEY, {**keys, "minutes": round(hours * 60)}).fetchone()
            assert added is not None and ended is not None
            until = ended["expires_at"].isoformat()
            record(
                "api_key",
                str(added["id"]),
                old={"id": keys["id"], "expires_at": until},
                new={"name": old["name"], "scopes": old["scopes"], "key_prefix": new.stored["key_prefix"]},
            )
        return {
            "id": str(added["id"]),
            "key": new.key,
            "name": old["name"],
            "scopes": old["scopes"],
            "key_prefix": new.stored["key_prefix"],
            "expires_at": http.plain(added["expires_at"]),
            "replaces": keys["id"],
            "old_key_expires_at": until,
        }


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
