# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Add a web site to a chatbot's knowledge, and read it page by page"""

from typing import Any

from f.knowledge import crawls
from f.knowledge.library import language_of, open_library
from f.lib import http


@http.answering(202)
def main(
    chatbot: str,
    url: str,
    name: str | None = None,
    language: str | None = None,
    max_pages: Any = None,
    max_depth: Any = None,
    every_hours: Any = None,
    request: dict | None = None,
) -> dict:
    """Purpose: the bot answers from a whole site; each page becomes a source of its own.

    chatbot: id or slug
    url: where to begin, a public address; the crawl stays on its host
    name: what the site is called; the address if left out
    language: code such as es; found out page by page if left out
    max_pages: pages that are read in a run; the plan's limit if left out
    max_depth: links from the first page, 0 for this page alone; the plan's limit if left out
    every_hours: when it is read again by itself; never if left out
    request: filled in by the HTTP route

    Answers 202 with the crawl, which goes on in the background.
    """
    with open_library(request, chatbot) as library:
        address = http.public_url("url", url)
        called = address[:200] if name is None else http.text("name", name)
        settings = crawls.settings_of(max_pages, max_depth, every_hours)
        return crawls.add(library, address, called, language_of(language), settings)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
