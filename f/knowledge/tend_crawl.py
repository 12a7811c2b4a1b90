# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Crawl, step 1 of each round: start what was found, and give the next step a ticket for the run"""

from f.knowledge import crawling, runs, tickets
from f.knowledge.crawling import Run
from f.lib.database import connect


def main(database: dict, signing_key: str, organization_id: str, crawl_id: str, run: int) -> dict:
    """Purpose: sites are visited where there is no database; what that brings home is ingested from here.

    Input: the `postgresql` resource, the key of tickets, and which run of which crawl.

    Returns `state`: "wanted" with a `ticket`; "superseded", "ended", "gone".
    """
    work = Run(organization_id, crawl_id, run)
    with connect(database) as connection:
        state, _ = crawling.begin(connection, work)
        runs.begin_pages(connection, work.keys)
    if state not in ("wanted", "prepared"):
        return {"state": state}
    return {"state": "wanted", "ticket": tickets.issue(tickets.CRAWL, work.keys, signing_key)}
