# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""The sources of a chatbot's knowledge"""

from typing import Any

from f.knowledge import queries
from f.knowledge.library import described, open_library
from f.lib import http
from f.lib.database import tenant


@http.answering()
def main(chatbot: str, limit: Any = None, offset: Any = None, request: dict | None = None) -> dict:
    """Purpose: what a chatbot answers from, and how far each ingestion is.

    chatbot: id or slug
    limit: how many, 1 to 200; 50 if left out
    offset: how many to leave out first
    request: filled in by the HTTP route

    Returns `sources`, newest first, and how many there are in all.
    """
    with open_library(request, chatbot) as library:
        values = {
            **library.keys,
            "limit": 50 if limit is None else http.integer("limit", limit, 1, 200),
            "offset": 0 if offset is None else http.integer("offset", offset, 0, 1_000_000),
        }
        with tenant(library.connection, library.organization_id):
            rows = library.connection.execute(queries.LIST_SOURCES, values).fetchall()
            total = library.connection.execute(queries.COUNT_SOURCES, values).fetchone()
        return {"sources": [described(row) for row in rows], "total": total["n"] if total else 0}


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
