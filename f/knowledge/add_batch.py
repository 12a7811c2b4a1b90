# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Add several web pages to a chatbot's knowledge"""

from typing import Any

from f.knowledge.library import hours_of, language_of, open_library
from f.lib import http

#: Addresses of one call.
MOST = 100


@http.answering(202)
def main(
    chatbot: str, urls: Any, language: str | None = None, every_hours: Any = None, request: dict | None = None
) -> dict:
    """Purpose: the bot answers from these pages of the web, and from no other that they link to.

    chatbot: id or slug
    urls: public addresses, 100 at most
    language: code such as es; found out page by page if left out
    every_hours: when each is read again by itself; never if left out
    request: filled in by the HTTP route

    Answers 202 with the `sources` that were added, and those of the addresses that were `refused`, with the reason.
    """
    with open_library(request, chatbot) as library:
        given = http.texts("urls", urls, most=MOST, longest=500)
        if not given:
            raise http.invalid("urls", "must not be empty")
        code, hours = language_of(language), hours_of(every_hours)
        sources, refused = [], []
        for url in given:
            try:
                address = http.public_url("urls", url)
                sources.append(library.add("url", address[:200], url=address, language=code, every_hours=hours))
            except http.ApiError as error:
                if error.status in (401, 403, 503):
                    raise
                refused.append({"url": url, **error.body()})
        return {"sources": sources, "refused": refused}


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
