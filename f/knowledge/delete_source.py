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
