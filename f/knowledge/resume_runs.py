# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Take up ingestions and crawls that stand still, and begin what is due to be read again: every minute"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from f.knowledge import crawl_queries, crawling, queries, resyncs, versions
from f.knowledge.runs import CRAWL, INGESTION, Work, count_attempt, job_id_of, last_attempt, start
from f.lib.database import Connection, connect, tenant
from f.lib.windmill import is_open


@dataclass(frozen=True)
class Resumption:
    """How one kind of work is taken up."""

    work: Work
    #: Statement that finds what stands still or is due (`is_new`), across organisations.
    find: str
    #: How many of them in one go; the next run goes on.
    most: int
    #: Statement after which the next version or run is wanted.
    renew: str
    max_attempts: int
    fail: Callable[[Connection, Any, str, str], bool]
    #: Makes what `fail` takes of the keys.
    of: Callable[..., Any]


#: A new embedding model reaches all sources; sites are read again on their schedule.
RESUMPTIONS = {
    "ingestions": Resumption(
        work=INGESTION,
        find=queries.STALLED,
        most=50,
        renew=queries.WANT_VERSION,
        max_attempts=versions.MAX_ATTEMPTS,
        fail=versions.fail,
        of=versions.Job,
    ),
    "crawls": Resumption(
        work=CRAWL,
        find=crawl_queries.DUE_CRAWLS,
        most=20,
        renew=crawl_queries.WANT_RUN,
        max_attempts=crawling.MAX_ATTEMPTS,
        fail=crawling.fail,
        of=crawling.Run,
    ),
}


def main(database: dict) -> dict:
    """Purpose: what was killed goes on, or ends with its reason; what is due begins.

    Input: the `postgresql` resource. Returns for `ingestions` and `crawls` how many runs were `started`, and how many
    were `given_up`; for `resyncs` how many were `started`, and how many `put_off` to the next day.
    """
    with connect(database) as connection:
        done = {name: take_up(connection, kind) for name, kind in RESUMPTIONS.items()}
        return done | {"resyncs": resyncs.begin_due(connection)}


def take_up(connection: Connection, kind: Resumption) -> dict[str, int]:
    started = given_up = 0
    for row in connection.execute(kind.find, {"most": kind.most}).fetchall():
        keys = {"organization_id": str(row["organization_id"]), kind.work.id: str(row[kind.work.id])}
        with tenant(connection, keys["organization_id"]):
            if row["is_new"]:
                connection.execute(kind.renew, keys)
            last = last_attempt(connection, kind.work, keys)
        # Whose run waits for a worker, among many, does not stand still; and two would read a site at twice its pace.
        if last and last.count and is_open(job_id_of(last)):
            continue
        with tenant(connection, keys["organization_id"]):
            attempt = count_attempt(connection, kind.work, keys)
        if attempt is None:
            continue
        if attempt.count > kind.max_attempts:
            reason = "it was interrupted again and again"
            given_up += kind.fail(connection, kind.of(**attempt.keys), "interrupted", reason)
        else:
            started += start(attempt)
    return {"started": started, "given_up": given_up}
