# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Read a source again: a page that has changed, a file after a change of settings"""

from typing import Any

from f.knowledge.library import hours_of, open_library
from f.lib import http


@http.answering(202)
def main(chatbot: str, source: str, every_hours: Any = None, request: dict | None = None) -> dict:
    """Purpose: a new version; until it is ready the one before is found, and when nothing has changed it stays.

    chatbot: id or slug
    source: its id
    every_hours: when a web page is read again by itself, from now on; 0 for never; as it was if left out
    request: filled in by the HTTP route
    """
    with open_library(request, chatbot) as library:
        return library.refresh(http.uuid("source", source), hours_of(every_hours))


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
