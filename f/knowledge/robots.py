# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "protego==0.7.0", "typing-extensions==4.16.0",
# ]
# ///
"""What a site's robots.txt allows: RFC 9309, read by protego. No database, no Windmill."""

import re
from collections.abc import Iterator

from protego import Protego

from f.knowledge.fetching import AGENT, FetchError, Page
from f.knowledge.sites import LONGEST_PAUSE, PAUSE

#: Bytes that are fetched, and those of them that count: RFC 9309 asks for half a megabyte.
MOST, MOST_READ = 10 * 1024 * 1024, 500 * 1024

#: Asterisks of a rule. With more of them a pattern can take hours to compare.
STARS = 4


class Robots:
    """The rules of one site for us."""

    def __init__(self, text: str):
        self._rules = Protego.parse("\n".join(_tamed(text)))

    def allows(self, url: str) -> bool:
        return bool(self._rules.can_fetch(url, AGENT))

    @property
    def pause(self) -> float:
        try:
            asked = float(self._rules.crawl_delay(AGENT) or 0)
        except (TypeError, ValueError):
            asked = 0
        return min(max(asked, PAUSE), LONGEST_PAUSE)

    @property
    def sitemaps(self) -> list[str]:
        return list(dict.fromkeys(self._rules.sitemaps))[:20]


def _tamed(text: str) -> Iterator[str]:
    """Its lines; a rule with too many asterisks forbids more, and never allows more, than it says."""
    for line in text.replace("\0", "").splitlines():
        line = re.sub(r"\*+", "*", line[:2000])
        if line.count("*") <= STARS:
            yield line
        elif not line.strip().lower().startswith("allow"):
            yield "*".join(line.split("*")[:STARS])


def text_of(answer: Page | FetchError) -> str:
    """The rules that an answer stands for. Raises FetchError where RFC 9309 says: then read nothing."""
    if isinstance(answer, Page):
        return answer.data[:MOST_READ].decode("utf-8-sig", "replace").replace("\0", "")
    if 400 <= answer.status < 500 and not answer.passing:
        return ""
    if answer.code == "redirects":
        return ""
    raise FetchError("robots_unreadable", f"its robots.txt cannot be read: {answer}", passing=answer.passing)
