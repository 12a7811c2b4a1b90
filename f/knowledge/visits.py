# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "protego==0.7.0", "typing-extensions==4.16.0",
# ]
# ///
"""What a crawl brings home from a site: the rules, the addresses it lists, and page by page what becomes of each.

No database. `read` is `fetching.fetch`, with what the caller fixes of its arguments.
"""

import time
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from uuid import uuid4

from f.knowledge import robots, sites
from f.knowledge.fetching import FetchError, Page, gunzip
from f.knowledge.robots import Robots
from f.knowledge.sites import Document, Markup, Outcome, Scouted, Site

Read = Callable[..., Page]
Rest = Callable[[float], None]

#: Sitemaps of a site, how deep they name each other, bytes of one as unpacked, seconds for all.
MOST_SITEMAPS, SITEMAP_DEPTH, SITEMAP_BYTES, SITEMAP_SECONDS = 50, 3, 50 * 1024 * 1024, 100

#: Redirects and canonical addresses that are followed one after the other.
MOST_HOPS = 5


def scout(read: Read, start: str, most: int, rest: Rest = time.sleep) -> Scouted:
    """Rules, sitemaps with `most` addresses at most, and what the site answers for a page that cannot be.

    Raises FetchError where nothing may be read.
    """
    site = Site(start)
    answer: Page | FetchError
    try:
        answer = read(urljoin(start, "/robots.txt"), most=robots.MOST)
    except FetchError as error:
        answer = error
    text = robots.text_of(answer)
    rules = Robots(text)
    if not rules.allows(start):
        raise FetchError("robots_forbid", "its robots.txt does not allow the first page to be read")
    addresses, warnings = read_sitemaps(read, site, rules, most, rest) if most else ([], [])
    rest(rules.pause)
    return Scouted(text, rules.pause, absent_words(read, site, rules), addresses, warnings)


def absent_words(read: Read, site: Site, rules: Robots) -> list[str]:
    url = urljoin(site.start, f"/{uuid4().hex}")
    if not rules.allows(url):
        return []
    try:
        page = read(url, follow=False, is_wanted=lambda kind: sites.kind_of(kind, url) == "html")
    except FetchError:
        return []
    if page.status != 200 or not page.data:
        return []
    return sorted(sites.read_markup(page.data, page.content_type, url, site).words)[:5000]


def read_sitemaps(
    read: Read, site: Site, rules: Robots, most: int, rest: Rest = time.sleep
) -> tuple[list[str], list[str]]:
    """Addresses of pages, `most` at most, and what the tenant is to be told."""
    deadline = time.monotonic() + SITEMAP_SECONDS
    named = [(address, 0) for url in rules.sitemaps if (address := sites.joined(site.start, url))]
    waiting = list(named) or [(urljoin(site.start, "/sitemap.xml"), 0)]
    seen: set[str] = set()
    found: dict[str, None] = {}
    listed, has_more, warnings = 0, False, []
    while waiting and len(seen) < MOST_SITEMAPS and time.monotonic() < deadline:
        url, depth = waiting.pop(0)
        if url in seen:
            continue
        seen.add(url)
        rest(rules.pause)
        try:
            page = read(url, most=SITEMAP_BYTES)
            data = gunzip(page.data, SITEMAP_BYTES) if page.data[:2] == b"\x1f\x8b" else page.data
        except FetchError as error:
            if named or depth:
                warnings.append(f"a sitemap could not be read: {error}")
            continue
        sitemap = sites.read_sitemap(data)
        for address in sitemap.addresses():
            if time.monotonic() > deadline:
                has_more = True
                break
            if sitemap.is_index:
                # Only the site's own, and only so many: what a stranger's file names is a stranger's wish.
                if depth < SITEMAP_DEPTH and site.has(address):
                    if len(waiting) < MOST_SITEMAPS:
                        waiting.append((address, depth + 1))
                    else:
                        has_more = True
                continue
            listed += 1
            if len(found) < most and (one := site.address(address)) and rules.allows(one):
                found[one] = None
    if listed > len(found):
        why = "the others are too many, or not for us"
        warnings.append(f"of {listed} addresses in its sitemaps {len(found)} are read: {why}")
    if has_more or any(url not in seen for url, _ in waiting):
        warnings.append("it has more sitemaps than are read")
    return list(found), warnings[:10]


def visit(read: Read, crawl: dict[str, Any], page: dict[str, Any], rules: Robots) -> Outcome:
    """What becomes of one page.

    crawl: its `url` and `absent_words`
    page: its `url`, `hops` and `origin`, and `etag` and `last_modified` of what is known of it
    """
    site, url = Site(crawl["url"]), page["url"]
    if not rules.allows(url):
        return Outcome("skipped", "robots")
    try:
        answer = read(
            url,
            follow=False,
            etag=page["etag"],
            last_modified=page["last_modified"],
            is_wanted=lambda kind: sites.kind_of(kind, url) is not None,
        )
    except FetchError as error:
        return _failed(error)
    if answer.status == 304:
        return Outcome("unchanged")
    if answer.status != 200:
        return _redirected(site, url, answer, page["hops"])
    kind = sites.kind_of(answer.content_type, url)
    if kind == "html":
        return _web_page(site, crawl, page, answer, rules)
    name = unquote(PurePosixPath(urlsplit(url).path).name) or url
    return _taken(answer, name, [])


def _failed(error: FetchError) -> Outcome:
    if error.status in (404, 410):
        return Outcome("gone", "http_error")
    if error.status in (401, 403):
        return Outcome("skipped", "login" if error.status == 401 else "forbidden")
    if error.passing:
        return Outcome("waiting", error.code)
    if error.code in ("content_type", "address_refused"):
        return Outcome("skipped", error.code)
    return Outcome("failed", error.code)


def _redirected(site: Site, url: str, answer: Page, hops: int) -> Outcome:
    to = site.address(answer.location, url) if answer.location else None
    if to is None:
        return Outcome("skipped", "elsewhere")
    if hops >= MOST_HOPS or to == url:
        return Outcome("skipped", "redirects")
    return Outcome("skipped", "redirect", instead=to)


def _web_page(site: Site, crawl: dict[str, Any], page: dict[str, Any], answer: Page, rules: Robots) -> Outcome:
    url = page["url"]
    markup = sites.read_markup(answer.data, answer.content_type, url, site)
    is_start = page["origin"] == "start"
    sent = max(answer.sent, len(answer.data))
    if sites.is_login(markup, page["hops"] > 0):
        return Outcome("skipped", "login", sent=sent)
    if not is_start and crawl["absent_words"] and sites.is_alike(markup.words, frozenset(crawl["absent_words"])):
        return Outcome("skipped", "not_there", sent=sent)
    if not markup.may_be_indexed:
        return Outcome("skipped", "noindex", links=markup.links, sent=sent)
    canonical = markup.canonical
    if canonical and canonical != url and page["hops"] < MOST_HOPS and rules.allows(canonical):
        return _taken(answer, named(markup, url), markup.links, instead=canonical)
    return _taken(answer, named(markup, url), markup.links)


def named(markup: Markup, url: str) -> str:
    return markup.title or unquote(urlsplit(url).path).strip("/") or urlsplit(url).netloc


def _taken(answer: Page, name: str, links: list[str], instead: str | None = None) -> Outcome:
    printable = " ".join("".join(c if c.isprintable() else " " for c in name).split())[:200] or "page"
    return Outcome(
        "taken",
        links=links,
        instead=instead,
        document=Document(answer.data, answer.content_type.partition("\n")[0][:200], printable),
        etag=answer.etag,
        last_modified=answer.last_modified,
        sent=max(answer.sent, len(answer.data)),
    )
