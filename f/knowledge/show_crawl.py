# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""A crawl: state, progress, error, and what became of its pages"""

from typing import Any

from f.knowledge import crawls
from f.knowledge.library import open_library
from f.lib import http


@http.answering()
def main(chatbot: str, crawl: str, limit: Any = None, offset: Any = None, request: dict | None = None) -> dict:
    """Purpose: to see how far a crawl is, page by page, and why a page is not in the knowledge.

    chatbot: id or slug
    crawl: its id
    limit: how many pages are listed, 1 to 500; 100 if left out
    offset: how many pages to leave out first
    request: filled in by the HTTP route
    """
    with open_library(request, chatbot) as library:
        most = 100 if limit is None else http.integer("limit", limit, 1, 500)
        left_out = 0 if offset is None else http.integer("offset", offset, 0, 1_000_000)
        return crawls.show(library, http.uuid("crawl", crawl), most, left_out)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
