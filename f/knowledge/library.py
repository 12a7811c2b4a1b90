# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""The desk at which the routes of the knowledge are served: who calls, for which chatbot, within which limits."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from f.knowledge import crawl_queries, languages, queries, resync_queries, runs, versions
from f.lib.api_auth import Caller, authenticate, serving
from f.lib.database import Connection, tenant
from f.lib.http import ApiError, integer, invalid, plain, refuse_problem, text

DATABASE = "f/lib/database"
SCOPE = "knowledge"

#: How the limits of a plan are told.
LIMITS = {"ingestions": "{} a day", "sources": "{} in all", "pages": "{} in all", "bytes": "{} bytes in all"}

#: Bytes of a file.
MAX_BYTES = 20 * 1024 * 1024

#: Hours between two readings of an address or a site, at most: a year.
MOST_HOURS = 8784

#: Why a source of another kind than `url` has no schedule.
NO_SCHEDULE = {
    "file": "a file has no address to be read again: upload the new one",
    "text": "a text has no address to be read again: add the new one",
    "page": "a page is read again with its web site: say it when you refresh the crawl",
}


class Library:
    """The knowledge of one chatbot, as one caller of a route may use it."""

    def __init__(self, connection: Connection, caller: Caller, chatbot: dict[str, Any]):
        assert caller.organization_id is not None
        self.connection = connection
        self.organization_id: str = caller.organization_id
        self.chatbot = chatbot
        self._caller = caller

    @property
    def keys(self) -> dict[str, Any]:
        return {"organization_id": self.organization_id, "chatbot_id": self.chatbot["id"]}

    @contextmanager
    def work(self) -> Iterator[None]:
        """A transaction of the organisation, if the caller's key is still valid when it begins. Raises ApiError."""
        with tenant(self.connection, self.organization_id):
            authenticate(self.connection, {"key_hash": self._caller.key_hash})
            yield

    def quota(self) -> dict[str, Any]:
        """Limits and use, in the caller's transaction; `crawl_limits` are those of each run of a crawl."""
        row = self.connection.execute(queries.READ_QUOTA, self.keys).fetchone()
        assert row is not None
        row = plain(row)
        used = {name: row[name] for name in ("sources", "pages", "bytes", "ingestions", "crawls")}
        limits = {name: row[f"most_{name}"] for name in used}
        of_a_run = {name: row[f"crawl_{name}"] for name in ("pages", "depth", "bytes", "seconds")}
        return {"plan": row["plan"], "limits": limits, "used": used, "crawl_limits": of_a_run}

    def add(self, kind: str, name: str, *, data: bytes | None = None, **given: Any) -> dict[str, Any]:
        """Take a source in and start its ingestion. Raises ApiError 409, 429."""
        sha256 = None if data is None else hashlib.sha256(data).hexdigest()
        values = {
            **self.keys,
            "source_id": str(uuid4()),
            "kind": kind,
            "name": name,
            "bytes": data,
            "file_sha256": sha256,
            "url": given.get("url"),
            "content_type": given.get("content_type", ""),
            "language": given.get("language"),
            "every_hours": given.get("every_hours"),
        }
        with self.work():
            self.connection.execute(queries.LOCK_DAY, values)
            if same := self.connection.execute(queries.FIND_SAME, values).fetchone():
                raise self.known_already(same["id"])
            self.check_quota(values, 0 if data is None else len(data))
            if data is not None:
                self.connection.execute(queries.KEEP_FILE, values)
            if not self.connection.execute(queries.ADD_SOURCE, values).fetchone():
                raise ApiError(409, "conflict", "somebody else added this just now")
            self.connection.execute(queries.COUNT_INGESTION, values)
        runs.begin(self.connection, runs.INGESTION, self.organization_id, values["source_id"])
        return self.show(values["source_id"])

    def known_already(self, source_id: object) -> ApiError:
        return ApiError(409, "same_content", f"this chatbot has it already, as source {source_id}")

    def check_quota(self, values: Mapping[str, Any], size: int) -> dict[str, Any]:
        """The quota, in the caller's transaction, where there is room for `size` more bytes. Raises ApiError 429."""
        quota = self.connection.execute(queries.READ_QUOTA, self.keys).fetchone()
        assert quota is not None
        if size:
            known = self.connection.execute(queries.KNOWS_FILE, values).fetchone()
            size = 0 if known and known["known"] else size
        if what := versions.exceeded(quota, size, is_new=bool(values.get("kind"))):
            raise over(what, LIMITS[what].format(quota[f"most_{what}"]))
        return quota

    def refresh(self, source_id: str, every_hours: int | None = None) -> dict[str, Any]:
        """Read a source again, whole, and from now on by itself: 0 for never, None as it was.

        Raises ApiError 404, 422, 429.
        """
        with self.work():
            values = {**self.keys, "source_id": source_id, "every_hours": every_hours}
            self.connection.execute(queries.LOCK_DAY, values)
            kind = self.find(source_id)["kind"]
            if every_hours is not None and kind in NO_SCHEDULE:
                raise invalid("every_hours", NO_SCHEDULE[kind])
            self.check_quota(values, 0)
            self.connection.execute(resync_queries.CHANGE_SCHEDULE, values)
            self.connection.execute(resync_queries.FORGET_VALIDATORS, values)
            self.connection.execute(queries.WANT_VERSION, values)
            self.connection.execute(queries.COUNT_INGESTION, values)
        runs.begin(self.connection, runs.INGESTION, self.organization_id, source_id)
        return self.show(source_id)

    def delete(self, source_id: str) -> None:
        """Remove a source with its passages and, when no other has the same, its bytes. Raises ApiError 404."""
        with self.work():
            values = {**self.keys, "source_id": source_id}
            self.connection.execute(queries.PATIENCE)
            self.connection.execute(queries.LOCK_DAY, values)
            self.find(source_id)
            self.connection.execute(crawl_queries.EXCLUDE_PAGE, values)
            gone = self.connection.execute(queries.DELETE_SOURCE, values).fetchone()
            if gone and gone["file_sha256"]:
                self.connection.execute(queries.DELETE_FILE, {**values, "file_sha256": gone["file_sha256"]})

    def find(self, source_id: str) -> dict[str, Any]:
        """A source of this chatbot, in the caller's transaction. Raises ApiError 404."""
        values = {**self.keys, "source_id": source_id}
        row = self.connection.execute(queries.SHOW_SOURCE, values).fetchone()
        if row is None:
            raise ApiError(404, "not_found", "this chatbot has no such source")
        return row

    def show(self, source_id: str) -> dict[str, Any]:
        with tenant(self.connection, self.organization_id):
            source = self.find(source_id)
            values = {**self.keys, "source_id": source_id}
            versions = self.connection.execute(queries.SHOW_VERSIONS, values).fetchall()
        return described(source) | {"versions": plain(versions)}


def language_of(value: Any) -> str | None:
    """The code of a language, such as es or pt-BR, if one is given. Raises ApiError."""
    return (
        None if value is None else text("language", value, pattern=r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?", what="a code")
    )


def hours_of(value: Any) -> int | None:
    """Hours between two readings, 0 for never; None if none are given. Raises ApiError."""
    return None if value is None else integer("every_hours", value, 0, MOST_HOURS)


def over(what: str, limit: str) -> ApiError:
    return ApiError(429, "quota_exceeded", f"the plan's {what} are used up: {limit}")


def described(row: dict[str, Any]) -> dict[str, Any]:
    """A source as callers see it."""
    error = {"code": row["error_code"], "message": row["error_message"]} if row["error_code"] else None
    shown = ("id", "kind", "name", "url", "content_type", "size", "crawl_id", "state")
    counts = ("version", "pages", "chunks")
    return plain(
        {name: row[name] for name in shown + counts}
        | {"language": row["wanted_language"] or languages.code_of(row["language_rules"])}
        | {"progress": {"done": row["progress_done"], "total": row["progress_total"]}}
        | {"every_hours": row["every_hours"], "next_at": row["next_at"]}
        | {"is_searchable": row["version"] is not None, "error": error, "warnings": row["warnings"]}
        | {"created_at": row["created_at"], "updated_at": row["updated_at"]}
    )


@contextmanager
def open_library(request: dict[str, Any] | None, chatbot: Any) -> Iterator[Library]:
    """Serve a call of a route. Raises ApiError."""
    if request is None:
        raise ApiError(401, "unauthorized", "this script serves a route: call it with an API key")
    with serving(DATABASE) as connection:
        caller = authenticate(connection, request)
        caller.require(SCOPE)
        assert caller.organization_id is not None
        values = {"organization_id": caller.organization_id, "chatbot": str(chatbot)[:100]}
        with tenant(connection, caller.organization_id):
            found = connection.execute(queries.FIND_CHATBOT, values).fetchone()
        if found is None:
            raise ApiError(404, "not_found", "there is no such chatbot")
        refuse_problem(request)
        yield Library(connection, caller, found)
