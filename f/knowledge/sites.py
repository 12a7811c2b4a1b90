# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""A web site as a crawl sees it: addresses, links, sitemaps, and answers that are no pages. Pure; nothing here parses
with anything that a page could keep busy: all expressions take a time that grows with the page only.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from f.knowledge.charsets import codec
from f.knowledge.documents import CONTENT_TYPES, EXTENSIONS

#: Characters of an address, parameters, parts of its path, repetitions of one part.
LONGEST_URL, MOST_PARAMETERS, MOST_PARTS, MOST_REPEATS = 500, 6, 15, 2

#: What stands for itself in an address.
SAFE = "/%:@!$&'()*+,;=~-._"

#: Seconds between two pages, where the site says nothing, and at most.
PAUSE, LONGEST_PAUSE = 1.0, 30.0

#: Kinds of documents that become knowledge.
WANTED = ("html", "pdf", "docx")

#: Links and characters of a page that are looked at.
MOST_LINKS, MOST_MARKUP = 2000, 4 * 1024 * 1024

#: Parameters that say who comes from where, and not which page.
TRACKING = re.compile(r"utm_\w+|fbclid|gclid|msclkid|mc_[ce]id|_ga|ref|phpsessid|jsessionid|sid|sessionid|session_id")

#: Endings of what is no document.
OTHER = frozenset(
    "7z aac apk avi avif bin bmp bz2 css csv dmg doc eot eps exe flac gif gz ico ics iso jar jpeg jpg js json"
    " m4a m4v map mjs mkv mov mp3 mp4 mpeg mpg msi odp ods odt ogg ogv otf ppt png pptx ps rar rpm rss svg tar tgz"
    " tif tiff ttf txt wasm wav webm webp woff woff2 xls xlsx xml xz zip".split()
)


@dataclass(frozen=True)
class Site:
    """Where a crawl stays: the host of its first page, with and without www, on the same port."""

    start: str

    @property
    def _place(self) -> tuple[str, int | None]:
        return _place(self.start)

    @property
    def name(self) -> str:
        """The same for all crawls of it: its host, and its port if that is not the web's own."""
        host, port = self._place
        return f"{host}:{port}" if port else host

    def has(self, url: str) -> bool:
        try:
            return _place(url) == self._place
        except ValueError:  # no address at all
            return False

    def address(self, link: str, base: str | None = None) -> str | None:
        """The one spelling of a link's address; None for what is not of this site or cannot be a page."""
        try:
            joined = urljoin(base or self.start, html.unescape(link).strip())
            parts = urlsplit(joined)
            if parts.scheme not in ("http", "https") or parts.username is not None or not self.has(joined):
                return None
            start = urlsplit(self.start)
            path = re.sub(r";jsessionid=[^/?]*", "", parts.path or "/", flags=re.IGNORECASE)
            path = quote(path, safe=SAFE)
            query = [
                part
                for part in parts.query.split("&")
                if part and not TRACKING.fullmatch(part.partition("=")[0].lower())
            ]
            host = parts.netloc.lower() if parts.port not in (80, 443) else (parts.hostname or "")
            address = urlunsplit((start.scheme, host, path, quote("&".join(query), safe=SAFE + "?"), ""))
        except ValueError:
            return None
        return address if len(address) <= LONGEST_URL and not _is_trap(path, len(query)) else None


def joined(base: str, link: str) -> str | None:
    """The address of a link at `base`, None where what a stranger wrote is none."""
    try:
        address = urljoin(base, link)
        _place(address)  # looks at the port as well
    except ValueError:
        return None
    return address


def _place(url: str) -> tuple[str, int | None]:
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").removeprefix("www.")
    return host, parts.port if parts.port not in (80, 443) else None


def _is_trap(path: str, parameters: int) -> bool:
    """Whether a program makes such addresses without end: a/b/a/b/a/b, or ever more parameters."""
    parts = [part for part in path.split("/") if part]
    repeats = max((parts.count(part) for part in parts), default=0)
    ending = PurePosixPath(path).suffix.lower()[1:]
    return parameters > MOST_PARAMETERS or len(parts) > MOST_PARTS or repeats > MOST_REPEATS or ending in OTHER


def shape(url: str) -> str:
    """What addresses have in common that a program makes of numbers: /calendar/#/#?day."""
    parts = urlsplit(url)
    names = ",".join(sorted({part.partition("=")[0] for part in parts.query.split("&") if part}))
    return (re.sub(r"\d+", "#", parts.path) + (f"?{names}" if names else ""))[:LONGEST_URL]


def is_made(url: str) -> bool:
    """Whether it may be one of endlessly many: it has numbers or parameters."""
    return "#" in (made := shape(url)) or "?" in made


def kind_of(content_type: str, url: str) -> str | None:
    """The kind of document, by what is said of it; None when it does not become knowledge."""
    named = content_type.partition(";")[0].strip().lower()
    if named in ("", "application/octet-stream", "binary/octet-stream"):
        kind = EXTENSIONS.get(PurePosixPath(urlsplit(url).path).suffix.lower()[1:])
    else:
        kind = CONTENT_TYPES.get(named)
    return kind if kind in WANTED else None


# Pages ------------------------------------------------------------------------------------------

#: A tag whose attributes are of interest. Possessive, and it may lack its end: so no part of a page is read twice.
TAG = re.compile(
    r"<(a|area|base|link|meta|input)\b((?:[^<>\"']++|\"[^\"]*+\"|'[^']*+')*+)",
    re.IGNORECASE,
)
ATTRIBUTE = re.compile(r"([a-z-]{1,30})\s{0,9}=\s{0,9}(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
UNSEEN = re.compile(r"<(script|style|template)\b", re.IGNORECASE)
ENDS = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "template")}
TITLE = re.compile(r"<title[^<>]*+>([^<]{1,400})", re.IGNORECASE)
CHARSET = re.compile(rb"charset\s{0,9}=\s{0,9}[\"']?([\w.:-]{2,40})", re.IGNORECASE)
WORD = re.compile(r"\w{2,40}")


@dataclass(frozen=True)
class Markup:
    """What a crawl wants to know of a web page."""

    title: str
    links: list[str]
    canonical: str | None
    may_be_indexed: bool
    has_password: bool
    words: frozenset[str]
    word_count: int


def read_markup(data: bytes, content_type: str, url: str, site: Site) -> Markup:
    text = _without_scripts(decoded(data[:MOST_MARKUP], content_type))
    base, canonical, robots, has_password = url, None, "", False
    found: list[str] = []
    for tag in TAG.finditer(text):
        given = {
            match[1].lower(): match[2] or match[3] or match[4] or "" for match in ATTRIBUTE.finditer(tag[2][:4000])
        }
        name = tag[1].lower()
        if name in ("a", "area") and given.get("href") and len(found) < MOST_LINKS:
            if "nofollow" not in given.get("rel", "").lower():
                found.append(given["href"])
        elif name == "base" and given.get("href"):
            base = joined(url, given["href"]) or base
        elif name == "link" and "canonical" in given.get("rel", "").lower().split():
            canonical = canonical or given.get("href")
        elif name == "meta" and given.get("name", "").lower() in ("robots", "millrace-knowledge"):
            robots += "," + given.get("content", "").lower()
        elif name == "meta" and given.get("http-equiv", "").lower() == "refresh":
            found.append(given.get("content", "").partition("=")[2].strip("\"' "))
        elif name == "input" and given.get("type", "").lower() == "password":
            has_password = True
    said = {word.strip() for word in robots.split(",")}
    links = [] if said & {"nofollow", "none"} else (site.address(link, base) for link in found)
    title = TITLE.search(text)
    words = WORD.findall(re.sub(r"<[^<>]*+>?", " ", text).lower())
    return Markup(
        title=" ".join(html.unescape(title[1]).split())[:200] if title else "",
        links=list(dict.fromkeys(link for link in links if link)),
        canonical=site.address(canonical, base) if canonical else None,
        may_be_indexed=not said & {"noindex", "none"},
        has_password=has_password,
        words=frozenset(words[:20_000]),
        word_count=len(words),
    )


def decoded(data: bytes, content_type: str) -> str:
    """The text of markup, for its addresses: what it says of its encoding counts, if that can be."""
    named = CHARSET.search(content_type.encode("ascii", "replace")) or CHARSET.search(data[:2048])
    return data.decode((named and codec(named[1].decode("ascii", "replace"))) or "utf-8", "replace")


def _without_scripts(text: str) -> str:
    kept, at = [], 0
    while begin := UNSEEN.search(text, at):
        kept.append(text[at : begin.start()])
        end = ENDS[begin[1].lower()].search(text, begin.end())
        if end is None:
            return "".join(kept)
        at = end.start()
    return "".join([*kept, text[at:]])


def is_login(page: Markup, was_redirected: bool) -> bool:
    """Whether visitors see a form for a password and little else."""
    return page.has_password and (was_redirected or page.word_count < 150)


def is_alike(words: frozenset[str], others: frozenset[str]) -> bool:
    """Whether two pages say the same but for some words, such as the address that was asked for."""
    return bool(words | others) and len(words ^ others) <= max(6, len(words | others) // 50)


# Sitemaps ---------------------------------------------------------------------------------------

LOC = re.compile(
    rb"<(?:\w{1,20}:)?loc\b[^>]{0,200}>\s{0,99}+(?:<!\[CDATA\[\s{0,99}+)?([^<\]\s]{1,2000})",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sitemap:
    """Addresses as they stand in it: of more sitemaps, or of pages."""

    is_index: bool
    data: bytes

    def addresses(self) -> Iterator[str]:
        if b"<" not in self.data[:1000]:
            for line in self.data.splitlines():
                yield line.decode("utf-8", "replace").strip()
            return
        for found in LOC.finditer(self.data):
            yield html.unescape(found[1].decode("utf-8", "replace"))


def read_sitemap(data: bytes) -> Sitemap:
    return Sitemap(b"<sitemapindex" in data[:5000].lower(), data)


# What a crawl brings home -----------------------------------------------------------------------


@dataclass(frozen=True)
class Scouted:
    """What is known before the first page."""

    robots: str
    pause: float
    absent_words: list[str]
    addresses: list[str]
    warnings: list[str]


@dataclass(frozen=True)
class Document:
    """A page that becomes a source."""

    data: bytes
    content_type: str
    name: str


@dataclass(frozen=True)
class Outcome:
    """`state` and `reason` as in the table crawl_pages; `links` are new addresses, `instead` the page's other one."""

    state: str
    reason: str | None = None
    links: list[str] = field(default_factory=list)
    instead: str | None = None
    document: Document | None = None
    etag: str | None = None
    last_modified: str | None = None
    sent: int = 0
