# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Crawl: write down why it failed"""

from f.knowledge import crawling
from f.knowledge.crawling import Run
from f.lib.alerts import raise_alert
from f.lib.database import connect, tenant


def main(
    database: dict,
    organization_id: str,
    crawl_id: str,
    run: int,
    error_name: str | None = None,
    error_message: str | None = None,
    step_id: str | None = None,
) -> dict:
    """Purpose: a crawl whose run failed says so, and the operators hear of what is not the tenant's fault.

    Input: the `postgresql` resource, which run of which crawl, and Windmill's error.

    Returns `state`: "failed", or "superseded" when nothing was to be failed.
    """
    is_sites = error_name == "FetchError"  # the tenant's site, not the installation
    code = "no_answer" if is_sites else "internal"
    told = error_message if is_sites else "this is our fault: the operators have been told"
    with connect(database) as connection:
        if not crawling.fail(connection, Run(organization_id, crawl_id, run), code, told or code):
            return {"state": "superseded"}
        if not is_sites:
            with tenant(connection, organization_id):
                details = {"error": error_name, "step": step_id, "run": run}
                raise_alert(connection, organization_id, "crawl_failed", crawl_id, details)
    return {"state": "failed"}
