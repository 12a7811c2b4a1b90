# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Set the plan of an organisation. For operators"""

from typing import Any

from f.admin import queries
from f.admin.desk import open_desk
from f.lib import http

MOST = 2_000_000_000
MOST_BYTES = 10**15

#: The least that a limit may be, where it is not 0.
LEAST = {"crawl_pages": 1}


@http.answering()
def main(
    organization: str,
    plan: str,
    monthly_messages: int | None = None,
    monthly_tokens: int | None = None,
    daily_messages_per_contact: int | None = None,
    knowledge_sources: int | None = None,
    knowledge_pages: int | None = None,
    knowledge_bytes: int | None = None,
    daily_ingestions: int | None = None,
    crawls: int | None = None,
    crawl_pages: int | None = None,
    crawl_depth: int | None = None,
    crawl_bytes: int | None = None,
    crawl_seconds: int | None = None,
    request: dict | None = None,
) -> dict:
    """Purpose: what an organisation may use is its plan's limits, or limits of its own.

    organization: slug or id
    plan: a code of the table plans: free, pro, enterprise
    monthly_messages: instead of the plan's limit; left out, the plan's, like the next eleven
    monthly_tokens: instead of the plan's limit
    daily_messages_per_contact: instead of the plan's limit
    knowledge_sources: instead of the plan's limit; documents, pages of the web and texts
    knowledge_pages: instead of the plan's limit, of all sources
    knowledge_bytes: instead of the plan's limit, of what is uploaded
    daily_ingestions: instead of the plan's limit
    crawls: instead of the plan's limit, of web sites
    crawl_pages: instead of the plan's limit, of each run of a web site, like the next three; 1 at least
    crawl_depth: instead of the plan's limit, links from the first page
    crawl_bytes: instead of the plan's limit
    crawl_seconds: instead of the plan's limit
    request: filled in by the HTTP route; leave it empty
    """
    with open_desk("set_plan", request, operators_only=True) as desk:
        plans = [row["code"] for row in desk.connection.execute(queries.PLANS)]
        organization_id = desk.organization(organization)
        new: dict[str, Any] = {"plan": http.choice("plan", plan, plans)}
        limits = {
            "monthly_messages": monthly_messages,
            "monthly_tokens": monthly_tokens,
            "daily_messages_per_contact": daily_messages_per_contact,
            "knowledge_sources": knowledge_sources,
            "knowledge_pages": knowledge_pages,
            "knowledge_bytes": knowledge_bytes,
            "daily_ingestions": daily_ingestions,
            "crawls": crawls,
            "crawl_pages": crawl_pages,
            "crawl_depth": crawl_depth,
            "crawl_bytes": crawl_bytes,
            "crawl_seconds": crawl_seconds,
        }
        for name, limit in limits.items():
            most = MOST_BYTES if name.endswith("_bytes") else MOST
            new[name] = None if limit is None else http.integer(name, limit, LEAST.get(name, 0), most)
        values = {"organization_id": organization_id, **new}
        with desk.work(organization_id) as record:
            old = desk.connection.execute(queries.LOCK_PLAN, values).fetchone()
            desk.connection.execute(queries.SET_PLAN, values)
            record("organization", organization_id, old=old, new=new)
        return values


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
