"""A source: state, progress, error, pages, passages, versions"""

from f.knowledge.library import open_library
from f.lib import http


@http.answering()
def main(chatbot: str, source: str, request: dict | None = None) -> dict:
    """Purpose: to see how an ingestion goes, and why it failed.

    chatbot: id or slug
    source: its id
    request: filled in by the HTTP route
    """
    with open_library(request, chatbot) as library:
        return library.show(http.uuid("source", source))


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
