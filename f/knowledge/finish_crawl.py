# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Crawl, step 3: take away what the site does not have any more"""

from f.knowledge import crawling, runs
from f.knowledge.crawling import Run
from f.lib.database import connect


def main(database: dict, organization_id: str, crawl_id: str, run: int) -> dict:
    """Purpose: the bot does not answer from pages that are gone. Only a run that came to its end says so of a page.

    Input: the `postgresql` resource, and which run of which crawl.

    Returns `state`: "ready" (also when an earlier attempt did it), "superseded", "ended", "gone".
    """
    work = Run(organization_id, crawl_id, run)
    with connect(database) as connection:
        runs.begin_pages(connection, work.keys)
        return {"state": crawling.finish(connection, work)}
