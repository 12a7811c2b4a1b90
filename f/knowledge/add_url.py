# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Add a web page to a chatbot's knowledge"""

from typing import Any

from f.knowledge.library import hours_of, language_of, open_library
from f.lib import http


@http.answering(202)
def main(
    chatbot: str,
    url: str,
    name: str | None = None,
    language: str | None = None,
    every_hours: Any = None,
    request: dict | None = None,
) -> dict:
    """Purpose: the bot answers from a page of the web, and links to it.

    chatbot: id or slug
    url: a public address
    name: what an answer calls it; the address if left out
    language: code such as es; found out if left out
    every_hours: when it is read again by itself; never if left out
    request: filled in by the HTTP route

    Answers 202 with the source, whose ingestion goes on in the background.
    """
    with open_library(request, chatbot) as library:
        address = http.public_url("url", url)
        called = address[:200] if name is None else http.text("name", name)
        hours = hours_of(every_hours)
        return library.add("url", called, url=address, language=language_of(language), every_hours=hours)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
