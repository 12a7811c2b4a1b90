# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Add a text to a chatbot's knowledge"""

from f.knowledge.library import language_of, open_library
from f.lib import http

#: Characters of a text; a longer one is a file.
MOST = 500_000


@http.answering(202)
def main(chatbot: str, name: str, text: str, language: str | None = None, request: dict | None = None) -> dict:
    """Purpose: what is not in a document: questions and answers, opening hours, a notice. Markdown is understood.

    chatbot: id or slug
    name: what an answer calls it
    text: at most 500,000 characters
    language: code such as es; found out if left out
    request: filled in by the HTTP route

    Answers 202 with the source, whose ingestion goes on in the background.
    """
    with open_library(request, chatbot) as library:
        called = http.text("name", name)
        if not isinstance(text, str) or not text.strip():
            raise http.invalid("text", "must be a text that is not empty")
        if len(text) > MOST:
            raise http.ApiError(413, "too_large", f"a text has {MOST} characters at most: upload a file")
        data = text.encode("utf-8", "replace")
        code = language_of(language)
        return library.add("text", called, data=data, content_type="text/markdown", language=code)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
