# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""End the present run of a crawl"""

from f.knowledge import crawls
from f.knowledge.library import open_library
from f.lib import http


@http.answering()
def main(chatbot: str, crawl: str, request: dict | None = None) -> dict:
    """Purpose: nothing more is read. Pages that were read stay, the others are as they were before the run.

    chatbot: id or slug
    crawl: its id
    request: filled in by the HTTP route
    """
    with open_library(request, chatbot) as library:
        return crawls.cancel(library, http.uuid("crawl", crawl))


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
