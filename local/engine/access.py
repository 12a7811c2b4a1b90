"""Who calls the API, and what the caller's token allows."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.engine import queries, store
from local.engine.store import Connection, Store

ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """`scopes` None: everything."""

    username: str
    scopes: tuple[str, ...] | None = None

    def may(self, scope: str) -> bool:
        """Whether a token's scopes cover `scope`, such as `jobs:run:flows:f/a/b`."""
        return self.scopes is None or any(_covers(given, scope) for given in self.scopes)

    def may_use(self, domain: str, action: str) -> bool:
        """Whether a token's scopes cover reading (`read`), changing (`write`) or running (`run`) in a domain.

        Which jobs may be run is for `may`. Whoever may run jobs may read about them, as in Windmill.
        """
        enough = {"read": ("read", "write", "run"), "write": ("write",), "run": ("run",)}[action]
        return self.scopes is None or any(
            given.split(":")[0] == domain and given.split(":")[1:2] in [[word] for word in enough]
            for given in self.scopes
        )


class Access:
    """Knows the tokens: those of the engine itself, which may do all, and those made over the API."""

    def __init__(self, jobs: Store, workspace: str, *tokens: str) -> None:
        self._store = jobs
        self._workspace = workspace
        self._tokens = [token.encode() for token in tokens]

    def signature(self, text: str) -> str:
        """Proof that `text` was told to somebody by us."""
        return hmac.new(self._tokens[0], text.encode(), "sha256").hexdigest()

    def is_signed(self, text: str, signature: str) -> bool:
        return hmac.compare_digest(self.signature(text).encode(), signature.encode("utf-8", "replace"))

    def caller(self, token: str | None) -> Caller | None:
        """Whose token it is; None for a wrong one."""
        if token is None:
            return None
        given = token.encode("utf-8", "replace")
        if any([hmac.compare_digest(given, known) for known in self._tokens]):
            return Caller(ADMIN)
        row = self._store.run(lambda c: c.execute(queries.TOKEN_GET, (_hash(token),)).fetchone(), 5)
        if row is None or row[2] not in (None, self._workspace):
            return None
        return Caller(row[0], None if row[1] is None else tuple(row[1]))


def create_token(connection: Connection, label: str, scopes: Any, workspace: Any, expiration: datetime | None) -> str:
    """Make a token and return it; only its hash is kept."""
    token = secrets.token_urlsafe(24)
    row = {
        "hash": _hash(token),
        "label": label,
        "username": ADMIN,
        "scopes": None if scopes is None else store.Jsonb(scopes),
        "workspace_id": workspace,
        "expiration": expiration,
    }
    connection.execute(queries.TOKEN_CREATE, row)
    return token


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _covers(given: str, wanted: str) -> bool:
    """`jobs:run` covers `jobs:run:flows:f/a`; a `*` at the end stands for the rest; several paths may be listed."""
    *domain, paths = given.split(":", 3) if given.count(":") >= 3 else (given, "")
    if paths:
        *wanted_domain, path = wanted.split(":", 3)
        return domain == wanted_domain and any(_fits(item, path) for item in paths.split(","))
    return wanted == given or wanted.startswith(f"{given}:")


def _fits(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == path
