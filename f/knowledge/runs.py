# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Runs of the flows that ingest and crawl: one for each attempt at a version of a source, or at a run of a crawl."""

import os
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid5

import httpx

from f.knowledge import crawl_queries, queries
from f.lib.database import Connection, tenant
from f.lib.ids import NAMESPACE
from f.lib.runs import start_flow


@dataclass(frozen=True)
class Work:
    """What a flow does to one thing of an organisation, and how often it was begun."""

    flow: str
    #: The first word of the names that its runs' ids are made of.
    name: str
    #: The thing's id, and the number that says which time it is: names of keys.
    id: str
    number: str
    #: Statement that counts an attempt at what is wanted now; no row when nothing is.
    count_attempt: str
    #: Statement that says how often that was attempted, and that it is looked after.
    last_attempt: str


INGESTION = Work(
    "f/knowledge/ingest_source", "ingest", "source_id", "version", queries.COUNT_ATTEMPT, queries.LAST_ATTEMPT
)
CRAWL = Work(
    *("f/knowledge/crawl_site", "crawl", "crawl_id", "run"),
    *(crawl_queries.COUNT_CRAWL_ATTEMPT, crawl_queries.LAST_CRAWL_ATTEMPT),
)


@dataclass(frozen=True)
class Attempt:
    """The `count`th at one version or run. `keys`: the arguments of the flow."""

    work: Work
    keys: dict[str, Any]
    count: int


def count_attempt(connection: Connection, work: Work, keys: dict[str, Any]) -> Attempt | None:
    """In the caller's transaction; None when nothing is wanted of it (any more)."""
    return _attempt(connection, work, work.count_attempt, keys)


def last_attempt(connection: Connection, work: Work, keys: dict[str, Any]) -> Attempt | None:
    """The latest that was counted, in the caller's transaction; its `count` is 0 before the first."""
    return _attempt(connection, work, work.last_attempt, keys)


def _attempt(connection: Connection, work: Work, statement: str, keys: dict[str, Any]) -> Attempt | None:
    row = connection.execute(statement, keys).fetchone()
    if row is None:
        return None
    wanted = {"organization_id": keys["organization_id"], work.id: keys[work.id], work.number: row[work.number]}
    return Attempt(work, wanted, row["attempts"])


def begin(connection: Connection, work: Work, organization_id: str, thing_id: str) -> None:
    """Queue what is wanted of a source or a crawl. Where that cannot be done now, `resume_runs` does it."""
    with tenant(connection, organization_id):
        attempt = count_attempt(connection, work, {"organization_id": organization_id, work.id: thing_id})
    if attempt is None:
        return
    try:
        start(attempt)
    except httpx.HTTPError as error:
        print(f"the run could not be queued: {type(error).__name__}")


def begin_pages(connection: Connection, keys: dict[str, Any]) -> None:
    """`begin` with the pages that a run of a crawl (its keys) has taken and nobody has begun with."""
    with tenant(connection, keys["organization_id"]):
        rows = connection.execute(crawl_queries.NOT_STARTED, keys).fetchall()
    for row in rows:
        begin(connection, INGESTION, keys["organization_id"], str(row["source_id"]))


def job_id_of(attempt: Attempt) -> UUID:
    """The id of its run."""
    work, keys = attempt.work, attempt.keys
    return uuid5(NAMESPACE, f"{work.name}:{keys[work.id]}:{keys[work.number]}:{attempt.count}")


def start(attempt: Attempt) -> bool:
    """Queue it; False when it was queued already. Raises httpx.HTTPError."""
    headers = {"authorization": f"Bearer {os.environ['WM_TOKEN']}"}
    with httpx.Client(base_url=f"{os.environ['BASE_INTERNAL_URL']}/api", headers=headers, timeout=10) as client:
        windmill = SimpleNamespace(client=client, workspace=os.environ["WM_WORKSPACE"])
        return start_flow(windmill, attempt.work.flow, attempt.keys, job_id_of(attempt))
