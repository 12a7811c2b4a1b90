# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""The desk at which the routes of the crawls are served: web sites that become knowledge, page by page."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from f.knowledge import crawl_queries, crawling, queries, runs
from f.knowledge.crawling import Run
from f.knowledge.library import Library, hours_of, over
from f.knowledge.sites import Site
from f.lib import http
from f.lib.database import tenant
from f.lib.http import ApiError, plain

#: What a run's end before the end of the site is called to its tenant.
CUTS = {
    "pages": "as many pages as it may have were read",
    "bytes": "as many bytes as a run may read were read",
    "seconds": "the time that a run may take was over",
    "quota_ingestions": "the plan's ingestions of the day are used up",
}


def settings_of(max_pages: Any, max_depth: Any, every_hours: Any) -> dict[str, int | None]:
    """What a caller may set. Raises ApiError."""
    return {
        "max_pages": None if max_pages is None else http.integer("max_pages", max_pages, 1, 100_000),
        "max_depth": None if max_depth is None else http.integer("max_depth", max_depth, 0, 100),
        "every_hours": hours_of(every_hours),
    }


def add(library: Library, url: str, name: str, language: str | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Take a site in and start its first run. Raises ApiError 409, 422, 429."""
    address = Site(url).address(url)
    if address is None:
        raise http.invalid("url", "cannot be the first page of a site")
    values = {**library.keys, "crawl_id": str(uuid4()), "name": name, "url": address, "language": language, **settings}
    with library.work():
        library.connection.execute(queries.LOCK_DAY, values)
        quota = library.check_quota(library.keys, 0)
        if quota["crawls"] + 1 > quota["most_crawls"]:
            raise over("crawls", f"{quota['most_crawls']} in all")
        if not library.connection.execute(crawl_queries.ADD_CRAWL, values).fetchone():
            raise ApiError(409, "same_site", "this chatbot has a crawl of this address already")
        library.connection.execute(queries.COUNT_INGESTION, values)
    runs.begin(library.connection, runs.CRAWL, library.organization_id, values["crawl_id"])
    return show(library, values["crawl_id"])


def refresh(library: Library, crawl_id: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Begin the next run. Raises ApiError 404, 409, 429."""
    values = {**library.keys, "crawl_id": crawl_id, **settings}
    with library.work():
        library.connection.execute(queries.LOCK_DAY, values)
        find(library, crawl_id)
        library.check_quota(library.keys, 0)
        library.connection.execute(crawl_queries.CHANGE_CRAWL, values)
        if not library.connection.execute(crawl_queries.WANT_RUN, values).fetchone():
            raise ApiError(409, "running", "it is being read now: cancel that first, or wait")
        library.connection.execute(queries.COUNT_INGESTION, values)
    runs.begin(library.connection, runs.CRAWL, library.organization_id, crawl_id)
    return show(library, crawl_id)


def cancel(library: Library, crawl_id: str) -> dict[str, Any]:
    """End the present run, if there is one: what it has read stays, what it has not read is as it was."""
    with library.work():
        run = Run(library.organization_id, crawl_id, find(library, crawl_id)["run"])
        crawling.lock(library.connection, run)
        crawling.end(library.connection, run, "cancelled")
    return show(library, crawl_id)


def delete(library: Library, crawl_id: str) -> None:
    """Remove a site with all its pages. Raises ApiError 404."""
    with library.work():
        values = {**library.keys, "crawl_id": crawl_id}
        library.connection.execute(queries.PATIENCE)
        library.connection.execute(queries.LOCK_DAY, values)
        run = Run(library.organization_id, crawl_id, find(library, crawl_id)["run"])
        crawling.lock(library.connection, run)
        for row in library.connection.execute(crawl_queries.SOURCES_OF_CRAWL, values).fetchall():
            crawling.delete_source(library.connection, run, row["source_id"])
        library.connection.execute(crawl_queries.DELETE_CRAWL, values)


def find(library: Library, crawl_id: str) -> dict[str, Any]:
    """A crawl of this chatbot, in the caller's transaction. Raises ApiError 404."""
    row = library.connection.execute(crawl_queries.SHOW_CRAWL, {**library.keys, "crawl_id": crawl_id}).fetchone()
    if row is None:
        raise ApiError(404, "not_found", "this chatbot has no such crawl")
    return row


def show(library: Library, crawl_id: str, limit: int = 0, offset: int = 0) -> dict[str, Any]:
    """A crawl, its counts, and some of its pages."""
    with tenant(library.connection, library.organization_id):
        crawl = find(library, crawl_id)
        values = {**library.keys, "crawl_id": crawl_id, "run": crawl["run"], "limit": limit, "offset": offset}
        counts = library.connection.execute(crawl_queries.COUNT_PAGES, values).fetchone()
        pages = library.connection.execute(crawl_queries.LIST_PAGES, values).fetchall() if limit else []
    assert counts is not None
    shown = described(crawl) | {"progress": {"pages": counts["pages"], "sources": counts["sources"]}}
    return shown | ({"listed": plain(pages)} if limit else {})


def described(row: dict[str, Any]) -> dict[str, Any]:
    """A crawl as callers see it."""
    error = {"code": row["error_code"], "message": row["error_message"]} if row["error_code"] else None
    cut = {"code": row["cut"], "message": CUTS[row["cut"]]} if row["cut"] else None
    shown = ("id", "name", "url", "language", "state", "run", "every_hours", "next_at", "pages_found", "pages_read")
    more = ("bytes", "warnings", "started_at", "finished_at", "created_at", "updated_at")
    limits = {name: row[f"most_{name}"] for name in ("pages", "depth", "bytes", "seconds")}
    return plain({name: row[name] for name in shown + more} | {"limits": limits, "cut": cut, "error": error})
