# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""API keys: how they are made, and found again."""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

from f.admin import queries
from f.admin.desk import Desk
from f.lib.http import ApiError

SCOPES = ("admin", "knowledge")


@dataclass(frozen=True)
class NewKey:
    key: str = field(repr=False)

    @property
    def stored(self) -> dict[str, str]:
        """What the database keeps."""
        return {"key_prefix": self.key[:8], "key_hash": hashlib.sha256(self.key.encode()).hexdigest()}


def new_key() -> NewKey:
    return NewKey(f"mr_{secrets.token_urlsafe(24)}")


def find_key(desk: Desk, keys: dict[str, Any]) -> dict[str, Any]:
    """The key's row, locked. Raises ApiError 404, also for another organisation's."""
    row = desk.connection.execute(queries.LOCK_KEY, keys).fetchone()
    if row is None:
        raise ApiError(404, "not_found", "there is no such key")
    return row
