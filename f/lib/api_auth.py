# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Who calls a route: the bearer key, known by its hash, as the organisation and scopes it stands for; and the
connection that the call is served over."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from f.lib.database import Connection, connect
from f.lib.http import ApiError
from f.lib.windmill import WindmillError, get_resource

ROUTE_API_KEY = (
    "select organization_id, api_key_id, scopes from route_api_key(%(key_hash)s)"  # pragma: allowlist secret
)

ROUTE_OPERATOR_KEY = "select operator_key_id from route_operator_key(%(key_hash)s)"

#: Until the transaction ends, nobody can revoke the key.
HOLD_API_KEY = """
select id from api_keys
where organization_id = %(organization_id)s and id = %(id)s and revoked_at is null
  and (expires_at is null or expires_at > now())
for share
"""


@dataclass(frozen=True)
class Caller:
    """`organization_id` None: an operator, who may act for every organisation."""

    kind: str
    id: str
    organization_id: str | None = None
    scopes: frozenset[str] = frozenset()
    key_hash: str = ""

    def require(self, scope: str) -> None:
        """Raises ApiError unless the key has the scope; an operator may do everything."""
        if self.organization_id is not None and scope not in self.scopes:
            raise ApiError(403, "missing_scope", f"this key lacks the scope {scope}")


@contextmanager
def serving(database: str) -> Iterator[Connection]:
    """A connection to the resource `database` for one call of a route. Raises ApiError 503 when that or Windmill
    is away, then or in the block."""
    try:
        with connect(get_resource(database)) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise ApiError(503, "unavailable", "the database cannot do this now: try again") from error
    except WindmillError as error:
        raise ApiError(503, "unavailable", "Windmill cannot do this now: try again") from error


def authenticate(connection: Connection, request: dict[str, Any], *, operators: bool = False) -> Caller:
    """The caller of a route. Raises ApiError 401, which does not say whether a key was ever known.

    `operators`: keys of the installation's operators are accepted, too; that needs the role manager.
    """
    key_hash = str(request["key_hash"])
    values = {"key_hash": key_hash}
    if key_hash:
        found = connection.execute(ROUTE_API_KEY, values).fetchone()
        if found:
            scopes = frozenset(found["scopes"])
            return Caller("api_key", str(found["api_key_id"]), str(found["organization_id"]), scopes, key_hash)
        if operators and (found := connection.execute(ROUTE_OPERATOR_KEY, values).fetchone()):
            return Caller("operator_key", str(found["operator_key_id"]), key_hash=key_hash)
    raise ApiError(401, "unauthorized", "a valid API key is needed: Authorization: Bearer KEY")


def hold(connection: Connection, caller: Caller) -> None:
    """Make sure, in the caller's transaction, that the key is still valid and stays so until its end.

    A key that was revoked after the request began: ApiError 401, and nothing is changed. A revocation that
    begins later waits for this transaction.
    """
    held: Any = True
    if caller.kind == "api_key":
        held = connection.execute(HOLD_API_KEY, {"organization_id": caller.organization_id, "id": caller.id}).fetchone()
    elif caller.kind == "operator_key":
        held = connection.execute(ROUTE_OPERATOR_KEY, {"key_hash": caller.key_hash}).fetchone()
    if not held:
        raise ApiError(401, "unauthorized", "the API key ended while the request ran: nothing was changed")
