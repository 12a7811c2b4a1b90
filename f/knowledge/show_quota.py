"""How much knowledge the organisation may have, and has"""

from f.knowledge.library import open_library
from f.lib import http


@http.answering()
def main(chatbot: str, request: dict | None = None) -> dict:
    """Purpose: to know before an upload whether there is room. Limits are the organisation's, of all its chatbots.

    chatbot: id or slug
    request: filled in by the HTTP route
    """
    with open_library(request, chatbot) as library, library.work():
        return library.quota()


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
