# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Remove a source from a chatbot's knowledge"""

from f.knowledge.library import open_library
from f.lib import http


@http.answering()
def main(chatbot: str, source: str, request: dict | None = None) -> dict:
    """Purpose: nothing of it is found any more, and its bytes and passages are gone.

    chatbot: id or slug
    source: its id
    request: filled in by the HTTP route
    """
    with open_library(request, chatbot) as library:
        source_id = http.uuid("source", source)
        library.delete(source_id)
        return {"id": source_id, "is_deleted": True}


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
