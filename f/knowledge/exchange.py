# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""The exchange as steps without the database use it: what they are to read, and where they give what came of it.

A ticket (`tickets.py`) says whose. The other side is the server `exchange/`.
"""

import base64
from dataclasses import asdict
from typing import Any

import httpx

from f.knowledge.documents import Extraction, clean
from f.knowledge.sites import Outcome, Scouted

#: Seconds for an answer: storing the text of a large document takes some.
TIMEOUT = 60


class ExchangeError(Exception):
    """The exchange did not do what it was asked; a later attempt may succeed."""


class Exchange:
    """Every answer has a `state`: of the version as in `versions.Progress`, of the run as in `crawling`."""

    def __init__(self, url: str, ticket: str) -> None:
        # No proxy of the environment: this is inside the network.
        self._client = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {ticket}"}, timeout=TIMEOUT, trust_env=False
        )

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def source(self) -> dict[str, Any]:
        """What is to be read: `kind`, `name`, `url`, `content_type`, and the `attempts` so far.

        With `etag` or `last_modified` its address may be asked whether it has changed.
        """
        return self._ask("GET", "source")

    def file(self) -> bytes | None:
        """The source's bytes; None when they are gone, and then the version has failed."""
        answer = self._send("GET", "source/file")
        return None if answer.status_code == httpx.codes.GONE else answer.content

    def keep(self, extraction: Extraction, etag: str | None = None, last_modified: str | None = None) -> str:
        """Give what was read, and with what its address may be asked the next time. Returns the version's state."""
        pages = [{"number": page.number, "markdown": clean(page.markdown)} for page in extraction.pages]
        body = {"pages": pages, "warnings": [clean(warning) for warning in extraction.warnings]}
        body |= {"etag": etag, "last_modified": last_modified}
        return str(self._ask("PUT", "source/text", body)["state"])

    def keep_unchanged(self) -> str:
        """Say that its address has answered: as it was. Returns the version's state."""
        return str(self._ask("PUT", "source/unchanged")["state"])

    def fail_source(self, code: str, message: str) -> str:
        """Say why nothing can be read. Returns the version's state."""
        return str(self._ask("PUT", "source/failure", {"code": code, "message": clean(message)})["state"])

    def crawl(self) -> dict[str, Any]:
        """The crawl's `url`, limits, and once it is prepared its `robots`, `pause` and `absent_words`."""
        return self._ask("GET", "crawl")

    def keep_site(self, scouted: Scouted) -> str:
        """Give what is known before the first page. Returns the run's state."""
        return str(self._ask("PUT", "crawl/site", asdict(scouted))["state"])

    def fail_crawl(self, code: str, message: str) -> str:
        """Say why the site cannot be read. Returns the run's state."""
        return str(self._ask("PUT", "crawl/failure", {"code": code, "message": clean(message)})["state"])

    def next_page(self, *, has_turn: bool = False) -> dict[str, Any]:
        """With the state "page" the `page` that is to be visited after `wait` seconds; with "later", when to ask again.

        has_turn: the site was not asked for the page before
        """
        return self._ask("POST", "crawl/next", {"has_turn": has_turn})

    def settle(self, url: str, outcome: Outcome) -> dict[str, Any]:
        """Give what became of a page; the answer has `is_taken`: it will be ingested."""
        body = asdict(outcome) | {"url": url}
        if outcome.document:
            body["document"]["data"] = base64.b64encode(outcome.document.data).decode()
        return self._ask("PUT", "crawl/page", body)

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return dict(self._send(method, path, body).json())

    def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Raises ExchangeError for every answer but a success and 410."""
        try:
            answer = self._client.request(method, f"/{path}", json=body)
        except httpx.TransportError as error:
            raise ExchangeError(f"{method} {path}: {type(error).__name__}") from error
        if answer.is_error and answer.status_code != httpx.codes.GONE:
            raise ExchangeError(f"{method} {path}: HTTP {answer.status_code} {answer.text[:300]}")
        return answer
