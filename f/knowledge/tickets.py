# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Tickets: for a while, whoever shows one may exchange what belongs to one version of a source, or one run of a crawl.

They go to steps that read what strangers wrote and have neither the database nor a secret.
"""

from typing import Any

from f.lib import signatures

#: Longer than all attempts of the step that it is for.
SECONDS = 3600

SOURCE, CRAWL = "knowledge/source", "knowledge/crawl"


def issue(use: str, keys: dict[str, Any], signing_key: str, seconds: float = SECONDS) -> str:
    """A ticket for what `keys` name: those of a `versions.Job` (SOURCE) or a `crawling.Run` (CRAWL).

    Raises ValueError when the key is too short.
    """
    return signatures.sign(keys, signing_key, seconds, use)


def read(use: str, ticket: str, signing_key: str) -> dict[str, Any]:
    """The keys that the ticket was issued for. Raises TokenRefused."""
    return signatures.verify(ticket, signing_key, use)
