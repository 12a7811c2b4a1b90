# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""The web sites of a chatbot's knowledge"""

from f.knowledge import crawl_queries, crawls
from f.knowledge.library import open_library
from f.lib import http
from f.lib.database import tenant


@http.answering()
def main(chatbot: str, request: dict | None = None) -> dict:
    """Purpose: which sites a chatbot answers from, when they were read and will be read again.

    chatbot: id or slug
    request: filled in by the HTTP route

    Returns `crawls`, newest first.
    """
    with open_library(request, chatbot) as library, tenant(library.connection, library.organization_id):
        rows = library.connection.execute(crawl_queries.LIST_CRAWLS, library.keys).fetchall()
        return {"crawls": [crawls.described(row) for row in rows]}


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
