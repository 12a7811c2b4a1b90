# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""A run of a crawl, in transactions that may each be the last: what is known of the site is in the database alone.

Each page is a source of its own. So a run may be killed anywhere, and what has been read until then is whole.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from psycopg.types.json import Jsonb

from f.knowledge import crawl_queries, queries, versions
from f.knowledge.sites import Outcome, Scouted, Site, is_made, shape
from f.knowledge.versions import Job
from f.lib.database import Connection, tenant

#: Addresses that are kept, for each page that may be read.
FRONTIER = 5

#: Tries of a page that does not answer for now.
MOST_TRIES = 3

#: Longest wait for the site's turn, in seconds, that a worker is held for; longer ones are the flow's.
PATIENCE = 2.0

#: Sources of a crawl that wait for their ingestion: when there are more, the crawl waits, and not other people's runs.
MOST_UNREAD = 5

#: Runs of the flow for one run of a crawl, before it counts as failed.
MAX_ATTEMPTS = 8

#: Why a first page that answers is no beginning.
NO_START = {
    "robots": "must not be read: its robots.txt says so",
    "login": "wants a password",
    "forbidden": "is refused to us",
    "elsewhere": "leads to another site: add that one",
    "redirects": "redirects in a circle",
    "content_type": "is no page or document that can be read",
    "address_refused": "has an address that is not read",
}

Standing = Literal["wanted", "superseded", "ended", "gone"]


@dataclass(frozen=True)
class Run:
    """One run of one crawl."""

    organization_id: str
    crawl_id: str
    run: int

    @property
    def keys(self) -> dict[str, Any]:
        return {"organization_id": self.organization_id, "crawl_id": self.crawl_id, "run": self.run}


class Picked(NamedTuple):
    """What a run is to do next. `state`: "page", "later" when its turn at the site is far off, "wait" for ingestions,
    "done", or why there is nothing to do.
    """

    state: str
    crawl: dict[str, Any]
    #: Row of the page, with the state "page".
    page: dict[str, Any]
    #: Seconds until the page may be visited, or until it is worth asking again.
    wait: float = 0.0


def lock(connection: Connection, run: Run) -> tuple[Standing, dict[str, Any]]:
    """The crawl's row, locked in the caller's transaction, and whether this run of it is still wanted."""
    crawl = connection.execute(crawl_queries.LOCK_CRAWL, run.keys).fetchone()
    if crawl is None:
        return "gone", {}
    if crawl["run"] != run.run:
        return "superseded", crawl
    return ("wanted" if crawl["state"] in ("pending", "running") else "ended"), crawl


def begin(connection: Connection, run: Run) -> tuple[str, dict[str, Any]]:
    """Start, or go on: "wanted", "prepared" when an earlier attempt got that far, or why not."""
    with tenant(connection, run.organization_id):
        standing, crawl = lock(connection, run)
        if standing != "wanted":
            return standing, crawl
        connection.execute(crawl_queries.BEGIN_CRAWL, run.keys)
        return ("prepared" if crawl["prepared_at"] else "wanted"), crawl


def look(connection: Connection, run: Run) -> tuple[str, dict[str, Any]]:
    """Whether the run is still wanted, and its crawl: "wanted", "prepared", or why not."""
    with tenant(connection, run.organization_id):
        standing, crawl = lock(connection, run)
        return ("prepared" if standing == "wanted" and crawl["prepared_at"] else standing), crawl


def prepared(connection: Connection, run: Run, scouted: Scouted) -> str:
    """Keep what is known before the first page. Returns "prepared", or why not."""
    with tenant(connection, run.organization_id):
        standing, crawl = lock(connection, run)
        if standing != "wanted":
            return standing
        if crawl["prepared_at"]:
            return "prepared"  # by somebody else, who has read it meanwhile
        add_pages(connection, run, crawl, [crawl["url"]], depth=0, origin="start")
        add_pages(connection, run, crawl, scouted.addresses, depth=1, origin="sitemap")
        values = {
            "robots": scouted.robots,
            "pause": scouted.pause,
            "absent_words": scouted.absent_words,
            "warnings": Jsonb([warning[:300] for warning in scouted.warnings]),
        }
        connection.execute(crawl_queries.PREPARED, {**run.keys, **values})
    return "prepared"


def add_pages(
    connection: Connection, run: Run, crawl: dict[str, Any], urls: list[str], *, depth: int, origin: str, hops: int = 0
) -> None:
    """Addresses to be read in this run, if it has not come by them: as far as there is room."""
    most_alike = max(20, crawl["most_pages"] // 4)
    shapes = [shape(url) if origin == "link" and is_made(url) else "" for url in urls]
    seen: dict[str, int] = {}
    chosen = []
    for url, made in zip(urls, shapes, strict=True):
        seen[made] = seen.get(made, 0) + 1
        if not made or seen[made] <= most_alike:
            chosen.append((url, made))
    values = {
        **run.keys,
        "urls": [url for url, _ in chosen],
        "shapes": [made for _, made in chosen],
        "depth": depth,
        "hops": hops,
        "origin": origin,
        "most_alike": most_alike,
        "room": FRONTIER * crawl["most_pages"] - crawl["pages_found"],
    }
    if chosen:
        added = connection.execute(crawl_queries.ADD_PAGES, values).fetchone()
        crawl["pages_found"] += added["n"] if added else 0


def pick(connection: Connection, run: Run, *, has_turn: bool = False) -> Picked:
    """The next page, and when the site may be asked for it, as agreed with everybody who crawls it.

    has_turn: the turn that came with the page before was not used
    """
    with tenant(connection, run.organization_id):
        standing, crawl = lock(connection, run)
        if standing != "wanted":
            return Picked(standing, crawl, {})
        if crawl["cut"]:
            return Picked("done", crawl, {})
        if cut := _limit(crawl):
            connection.execute(crawl_queries.CUT_RUN, {**run.keys, "cut": cut})
            return Picked("done", crawl, {})
        if crawl["unread_sources"] > MOST_UNREAD:
            connection.execute(crawl_queries.TOUCH_CRAWL, run.keys)
            return Picked("wait", crawl, {})
        values = {**run.keys, "most_tries": MOST_TRIES}
        page = connection.execute(crawl_queries.NEXT_PAGE, values).fetchone()
        if page is None and not crawl["is_rechecking"]:
            connection.execute(crawl_queries.RECHECK_PAGES, values)
            page = connection.execute(crawl_queries.NEXT_PAGE, values).fetchone()
        if page is None:
            connection.execute(crawl_queries.GIVE_PAGES_UP, values)
            return Picked("done", crawl, {})
        wait = 0.0 if has_turn else _reserve(connection, crawl)
        if wait > PATIENCE:
            connection.execute(crawl_queries.TOUCH_CRAWL, run.keys)
            return Picked("later", crawl, {}, wait)
        connection.execute(crawl_queries.COUNT_TRY, {**values, "url": page["url"]})
        return Picked("page", crawl, page, wait)


def _reserve(connection: Connection, crawl: dict[str, Any]) -> float:
    """Seconds until the crawl's turn at its site. One that is beyond PATIENCE is not reserved."""
    values = {"site": Site(crawl["url"]).name, "pause": crawl["pause"], "patience": PATIENCE}
    row = connection.execute(crawl_queries.RESERVE_VISIT, values).fetchone()
    assert row is not None
    return float(row["wait"])


def _limit(crawl: dict[str, Any]) -> str | None:
    if crawl["pages_read"] >= crawl["most_pages"]:
        return "pages"
    if crawl["bytes"] >= crawl["most_bytes"]:
        return "bytes"
    return "seconds" if (crawl["seconds"] or 0) >= crawl["most_seconds"] else None


def settle(connection: Connection, run: Run, url: str, outcome: Outcome) -> tuple[str, Job | None]:
    """Keep what became of a page. Returns the standing and, if it has to be ingested, the source's version."""
    job = None
    with tenant(connection, run.organization_id):
        # Whoever adds knowledge locks the day first, then what belongs to a source.
        connection.execute(queries.LOCK_DAY, run.keys)
        standing, crawl = lock(connection, run)
        if standing != "wanted":
            return standing, None
        page = connection.execute(crawl_queries.READ_PAGE, {**run.keys, "url": url}).fetchone()
        if page is None or page["run"] != run.run or page["state"] != "waiting":
            return standing, None  # somebody else has read it meanwhile
        state, reason, sha256 = outcome.state, outcome.reason, None
        if state == "waiting" and page["tries"] >= MOST_TRIES:
            state = "failed"
        if outcome.document and outcome.instead and _stands_for(connection, run, outcome.instead):
            state, reason = "skipped", "canonical"
        elif outcome.document:
            sha256 = hashlib.sha256(outcome.document.data).hexdigest()
            state, reason, job = _take(connection, run, crawl, page, outcome, sha256)
        elif reason == "redirect" and page["origin"] == "start" and _leads_back(connection, run, outcome.instead):
            reason = "redirects"
        if page["depth"] < crawl["most_depth"]:
            add_pages(connection, run, crawl, outcome.links, depth=page["depth"] + 1, origin="link")
        if outcome.instead and state == "skipped":
            add_pages(
                connection, run, crawl, [outcome.instead], depth=page["depth"], origin=page["origin"],
                hops=page["hops"] + 1,
            )  # fmt: skip
        is_kept = state in ("taken", "unchanged") and outcome.document is not None
        values = {
            **run.keys,
            "url": url,
            "state": state,
            "reason": reason,
            "keeps": not (is_kept or reason == "duplicate"),
            "etag": outcome.etag if is_kept else None,
            "last_modified": outcome.last_modified if is_kept else None,
            "sha256": sha256 if is_kept or reason == "duplicate" else None,
            "source_id": job.source_id if job else None,
            "bytes": outcome.sent,
        }
        connection.execute(crawl_queries.SETTLE_PAGE, values)
        if page["origin"] == "start" and (state in ("failed", "gone") or reason in NO_START):
            end(
                connection,
                run,
                "failed",
                f"start_{reason}",
                f"its first page {NO_START.get(str(reason), 'cannot be read')}",
            )
        if reason == "quota_ingestions":
            connection.execute(crawl_queries.CUT_RUN, {**run.keys, "cut": reason})
    return "wanted", job


def _stands_for(connection: Connection, run: Run, url: str) -> bool:
    """Whether a canonical address may be left the content: not if it points back, or has turned out to be no page."""
    row = connection.execute(crawl_queries.READ_PAGE, {**run.keys, "url": url}).fetchone()
    return row is None or row["run"] < run.run or row["state"] in ("waiting", "taken", "unchanged", "refused")


def _leads_back(connection: Connection, run: Run, url: str | None) -> bool:
    """Whether the first page's redirect leads to one that this run has followed already, and so nowhere."""
    row = connection.execute(crawl_queries.READ_PAGE, {**run.keys, "url": url}).fetchone()
    return row is not None and row["run"] == run.run and row["reason"] in ("redirect", "redirects")


def _take(
    connection: Connection, run: Run, crawl: dict[str, Any], page: dict[str, Any], outcome: Outcome, sha256: str
) -> tuple[str, str | None, Job | None]:
    """The page's source with these bytes: state and reason of the page, and what is to be ingested."""
    document = outcome.document
    assert document is not None
    if page["is_excluded"]:
        return "skipped", "excluded", None
    if page["source_id"] is not None and page["sha256"] == sha256:
        return "unchanged", None, None
    source_id = str(page["source_id"] or uuid4())
    values = {
        **run.keys,
        "chatbot_id": crawl["chatbot_id"],
        "source_id": source_id,
        "name": document.name,
        "url": page["url"],
        "content_type": document.content_type,
        "bytes": document.data,
        "file_sha256": sha256,
        "language": crawl["wanted_language"],
    }
    if connection.execute(crawl_queries.FIND_TWIN, values).fetchone():
        return "skipped", "duplicate", None
    quota = connection.execute(queries.READ_QUOTA, values).fetchone()
    known = connection.execute(queries.KNOWS_FILE, values).fetchone()
    assert quota is not None and known is not None
    size = 0 if known["known"] else len(document.data)
    if over := versions.exceeded(quota, size, is_new=page["source_id"] is None):
        return "refused", f"quota_{over}", None
    connection.execute(queries.KEEP_FILE, values)
    version = 1
    if page["source_id"] is None:
        connection.execute(crawl_queries.ADD_PAGE_SOURCE, values)
    else:
        before = connection.execute(crawl_queries.CHANGE_PAGE_SOURCE, values).fetchone()
        wanted = connection.execute(queries.WANT_VERSION, values).fetchone()
        assert before is not None and wanted is not None
        version = wanted["wanted_version"]
        connection.execute(queries.DELETE_FILE, {**values, "file_sha256": before["file_sha256"]})
    connection.execute(queries.COUNT_INGESTION, values)
    return "taken", None, Job(run.organization_id, source_id, version)


def finish(connection: Connection, run: Run) -> str:
    """Take away what the site does not have any more, and end the run. Returns its state."""
    while True:
        with tenant(connection, run.organization_id):
            connection.execute(queries.PATIENCE)
            connection.execute(queries.LOCK_DAY, run.keys)
            standing, crawl = lock(connection, run)
            if standing != "wanted":
                return "ready" if crawl.get("state") == "ready" else standing
            values = {**run.keys, "chatbot_id": crawl["chatbot_id"]}
            values |= {"cut": crawl["cut"], "most_pages": crawl["most_pages"]}
            for heir in connection.execute(crawl_queries.HEIRS, values).fetchall():
                connection.execute(crawl_queries.INHERIT, {**values, **heir})
            vanished = connection.execute(crawl_queries.VANISHED, values).fetchall()
            if not vanished:
                end(connection, run, "ready")
                return "ready"
            for row in vanished[:20]:
                delete_source(connection, run, row["source_id"])


def delete_source(connection: Connection, run: Run, source_id: object) -> None:
    """Remove a source and, when no other has the same, its bytes, in the caller's transaction."""
    values = {**run.keys, "source_id": str(source_id)}
    gone = connection.execute(queries.DELETE_SOURCE, values).fetchone()
    if gone and gone["file_sha256"]:
        connection.execute(queries.DELETE_FILE, {**values, "file_sha256": gone["file_sha256"]})


def end(connection: Connection, run: Run, state: str, code: str | None = None, message: str | None = None) -> bool:
    """The run is over, in the caller's transaction; False when it was before."""
    values = {**run.keys, "state": state, "error_code": code, "error_message": message and message[:500]}
    return connection.execute(crawl_queries.END_RUN, values).fetchone() is not None


def fail(connection: Connection, run: Run, code: str, message: str) -> bool:
    """End the run with the reason; what customers found before, they still find."""
    with tenant(connection, run.organization_id):
        return end(connection, run, "failed", code, message)
