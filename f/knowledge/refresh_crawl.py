# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Read a web site again: what has changed, what is new, what is gone"""

from typing import Any

from f.knowledge import crawls
from f.knowledge.library import open_library
from f.lib import http


@http.answering(202)
def main(
    chatbot: str,
    crawl: str,
    max_pages: Any = None,
    max_depth: Any = None,
    every_hours: Any = None,
    request: dict | None = None,
) -> dict:
    """Purpose: the next run, now; until a page is ready again, what was known of it is found.

    chatbot: id or slug
    crawl: its id
    max_pages: from now on; as it was if left out
    max_depth: from now on; as it was if left out
    every_hours: from now on, 0 for never; as it was if left out
    request: filled in by the HTTP route
    """
    with open_library(request, chatbot) as library:
        settings = crawls.settings_of(max_pages, max_depth, every_hours)
        return crawls.refresh(library, http.uuid("crawl", crawl), settings)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
