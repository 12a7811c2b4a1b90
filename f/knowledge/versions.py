# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""A version of a source as a row that is wanted, worked on and settled: what every step of an ingestion does with it.

Needs nothing but the database, so that steps which neither cut nor embed stay small.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.types.json import Jsonb

from f.knowledge import queries, resync_queries
from f.knowledge.documents import Extraction, Page, clean
from f.lib.database import Connection, tenant

#: Runs of one version, before it counts as failed.
MAX_ATTEMPTS = 5

#: How far a version is: "read" when its text is kept, "staged" when it is cut into passages as well.
Progress = Literal["wanted", "read", "staged", "superseded", "gone"]


class Refused(Exception):
    """The source cannot become knowledge, however often it is tried. `code` and text are for the tenant."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Job:
    """One version of one source."""

    organization_id: str
    source_id: str
    version: int

    @property
    def keys(self) -> dict[str, Any]:
        return {"organization_id": self.organization_id, "source_id": self.source_id, "version": self.version}


def lock(connection: Connection, job: Job) -> tuple[Progress, dict[str, Any]]:
    """The source's row, locked in the caller's transaction: "superseded", "gone", or how far this version is."""
    source = connection.execute(queries.LOCK_SOURCE, job.keys).fetchone()
    if source is None:
        return "gone", {}
    return ("wanted" if source["wanted_version"] == job.version else "superseded"), source


def _still_open(connection: Connection, job: Job) -> tuple[Progress, dict[str, Any]]:
    """As `lock`; "superseded" too for a version that has come to its end: whoever comes late changes nothing."""
    standing, source = lock(connection, job)
    return ("superseded" if source.get("state") in ("ready", "failed") else standing), source


def look(connection: Connection, job: Job) -> tuple[Progress, dict[str, Any]]:
    """How far the version is, and its source."""
    with tenant(connection, job.organization_id):
        standing, source = _still_open(connection, job)
        return (_progress(connection, job) if standing == "wanted" else standing), source


def begin(connection: Connection, job: Job) -> tuple[Progress, dict[str, Any]]:
    """Start, or go on where an earlier run got to."""
    with tenant(connection, job.organization_id):
        standing, source = lock(connection, job)
        if standing != "wanted":
            return standing, source
        connection.execute(queries.BEGIN_VERSION, job.keys)
        progress = _progress(connection, job)
        if progress == "wanted":
            connection.execute(queries.SET_STATE, {**job.keys, "state": "reading"})
        return progress, source


def _progress(connection: Connection, job: Job) -> Progress:
    found = connection.execute(queries.PROGRESS, job.keys).fetchone()
    assert found is not None
    return "staged" if found["is_staged"] else "read" if found["is_read"] else "wanted"


def read_file(connection: Connection, job: Job, file_sha256: str) -> bytes:
    """The bytes of the source. Raises Refused."""
    with tenant(connection, job.organization_id):
        values = {**job.keys, "file_sha256": file_sha256}
        row = connection.execute(queries.READ_FILE, values).fetchone()
    if row is None:
        raise Refused("file_missing", "the uploaded file is not there any more")
    return bytes(row["bytes"])


def model_of(source: Mapping[str, Any]) -> str:
    """The name under which a chatbot's embeddings are kept."""
    return f"{source['wanted_model']}/{source['wanted_dimensions']}"


def validators(connection: Connection, job: Job, source: Mapping[str, Any]) -> dict[str, str | None]:
    """`etag` and `last_modified` with which the page may be asked whether it has changed. They are None where it has to
    be read: before the first version, and for a chatbot that wants other embeddings than the version has.
    """
    with tenant(connection, job.organization_id):
        return _validators(connection, job, source)


def _validators(connection: Connection, job: Job, source: Mapping[str, Any]) -> dict[str, str | None]:
    row: dict[str, str | None] | None = None
    if source["version"] is not None and source["embedding_model"] == model_of(source):
        row = connection.execute(resync_queries.READ_VALIDATORS, job.keys).fetchone()
    return row or {"etag": None, "last_modified": None}


def keep(
    connection: Connection,
    job: Job,
    extraction: Extraction,
    etag: str | None = None,
    last_modified: str | None = None,
) -> Progress:
    """Keep what was read in the version, until it is staged, and the page's validators. Returns "read", or why not."""
    values = {
        **job.keys,
        "pages": Jsonb([[page.number, clean(page.markdown)] for page in extraction.pages]),
        "warnings": Jsonb([clean(str(warning))[:300] for warning in extraction.warnings[:20]]),
    }
    with tenant(connection, job.organization_id):
        standing, _ = _still_open(connection, job)
        if standing != "wanted":
            return standing
        progress = _progress(connection, job)
        if progress == "wanted":
            connection.execute(queries.DROP_EXTRACTIONS, job.keys)
            connection.execute(queries.KEEP_EXTRACTION, values)
            connection.execute(
                resync_queries.KEEP_VALIDATORS, {**job.keys, "etag": etag, "last_modified": last_modified}
            )
            connection.execute(queries.SET_STATE, {**job.keys, "state": "reading"})
        return "read" if progress == "wanted" else progress


def keep_unchanged(connection: Connection, job: Job) -> Progress | Literal["unchanged"]:
    """Its address says that nothing has changed: the version that is there stays. Returns "unchanged", or why not.

    Raises ValueError where the address could not have been asked.
    """
    with tenant(connection, job.organization_id):
        standing, source = _still_open(connection, job)
        if standing != "wanted" or (standing := _progress(connection, job)) != "wanted":
            return standing
        known = _validators(connection, job, source)
        if not any(known.values()):
            raise ValueError("there was nothing to ask the address with")
        connection.execute(queries.KEEP_VERSION, job.keys)
        connection.execute(resync_queries.KEEP_VALIDATORS, {**job.keys, **known})
        settle(connection, job, "unchanged")
    return "unchanged"


def kept(connection: Connection, job: Job) -> Extraction:
    """What `keep` has kept. Raises RuntimeError when there is nothing."""
    with tenant(connection, job.organization_id):
        row = connection.execute(queries.READ_EXTRACTION, job.keys).fetchone()
    if row is None:
        raise RuntimeError("nothing was read of this version")
    return Extraction([Page(number, text) for number, text in row["pages"]], row["warnings"])


def exceeded(quota: Mapping[str, Any], size: int, *, is_new: bool) -> str | None:
    """Which of the plan's limits a source of `size` more bytes would exceed: ingestions, sources, pages, bytes."""
    if quota["ingestions"] + 1 > quota["most_ingestions"]:
        return "ingestions"
    if is_new and quota["sources"] + 1 > quota["most_sources"]:
        return "sources"
    if is_new and quota["pages"] >= quota["most_pages"]:
        return "pages"
    return "bytes" if size and quota["bytes"] + size > quota["most_bytes"] else None


def settle(connection: Connection, job: Job, outcome: str, *, error_code: str | None = None, embedded: int = 0) -> None:
    """How the version ended, in the caller's transaction."""
    values = {**job.keys, "outcome": outcome, "error_code": error_code, "embedded": embedded}
    connection.execute(queries.SETTLE_VERSION, values)


def fail(connection: Connection, job: Job, code: str, message: str) -> bool:
    """End the version with the reason; what customers found before, they still find."""
    with tenant(connection, job.organization_id):
        values = {**job.keys, "error_code": code, "error_message": clean(message)[:500]}
        if connection.execute(queries.FAIL_SOURCE, values).fetchone() is None:
            return False
        connection.execute(queries.DROP_STAGED, job.keys)
        connection.execute(queries.DROP_EXTRACTIONS, job.keys)
        settle(connection, job, "failed", error_code=code)
    return True
