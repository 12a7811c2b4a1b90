"""Take up crawls whose run stands still, and begin those that are due: every minute"""

from f.knowledge import crawling, queries
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
        for row in connection.execute(queries.DUE_CRAWLS, {"most": MOST}).fetchall():
            keys = {"organization_id": str(row["organization_id"]), "crawl_id": str(row["crawl_id"])}
            with tenant(connection, keys["organization_id"]):
                if row["is_next"]:
                    connection.execute(queries.WANT_RUN, keys)
                crawl = connection.execute(queries.COUNT_CRAWL_ATTEMPT, keys).fetchone()
            if crawl is None:
                continue
            run = Run(run=crawl["run"], **keys)
            if crawl["attempts"] > crawling.MAX_ATTEMPTS:
                given_up += crawling.fail(connection, run, "interrupted", "it was interrupted again and again")
            else:
                started += start_crawl(run.keys, crawl["attempts"])
    return {"started": started, "given_up": given_up}
