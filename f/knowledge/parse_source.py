# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "babel==2.18.0", "beautifulsoup4==4.15.0", "certifi==2026.10.19.post1",
#   "charset-normalizer==3.5.3", "courlan==1.4.0", "dateparser==1.5.0", "h11==0.16.0", "htmldate==1.11.0",
#   "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20", "justext==3.0.2", "lxml==6.1.3", "lxml-html-clean==0.4.6",
#   "pymupdf==1.28.2", "python-dateutil==2.9.0.post0", "python-docx==1.2.0", "pytz==2026.6", "regex==2026.11.19",
#   "six==1.17.0", "soupsieve==2.10", "tld==0.13.2", "trafilatura==2.3.1", "typing-extensions==4.16.0",
#   "tzlocal==5.4.5", "urllib3==2.8.0",
# ]
# ///
"""Ingestion, step 2, without the database: fetch the page or read the file, and keep its text"""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from f.knowledge.documents import ExtractionError
from f.knowledge.exchange import Exchange
from f.knowledge.extraction import extract, shield
from f.knowledge.fetching import FetchError, Page, fetch

#: The status of a page that is as it was.
NOT_MODIFIED = 304

#: Attempts at an ingestion in which a page that is away is waited for.
PATIENCE = 3


def main(exchange_url: str, ticket: str) -> dict:
    """Purpose: strangers' addresses and files are read on workers with the tag `documents`, which have no secret.

    Input: where the exchange is, and the ticket of the version.

    Returns `state`: "read" (also when an earlier run did it, then perhaps "staged"); "unchanged" since the version
    before; "failed" (with its reason in the source), "superseded", "gone".
    """
    shield()
    with Exchange(exchange_url, ticket) as exchange:
        source = exchange.source()
        if source["state"] != "wanted":
            return {"state": source["state"]}
        try:
            return {"state": read_page(exchange, source) if source["kind"] == "url" else read_file(exchange, source)}
        except ExtractionError as error:
            return {"state": exchange.fail_source(error.code, str(error))}
        except FetchError as error:
            if error.passing and source["attempts"] < PATIENCE:
                raise
            code = "gone" if error.status in (404, 410) else error.code
            return {"state": exchange.fail_source(code, str(error))}


def read_page(exchange: Exchange, source: dict) -> str:
    """The state once its page was read, if it has changed. Raises ExtractionError, FetchError."""
    page = ask(source)
    if page.status == NOT_MODIFIED:
        return exchange.keep_unchanged()
    extraction = extract(page.data, file_name(page.url, page.content_type), page.content_type)
    # What another address says of itself says nothing of the next one that this one may lead to.
    is_own = page.url == source["url"]
    return exchange.keep(extraction, page.etag if is_own else None, page.last_modified if is_own else None)


def ask(source: dict) -> Page:
    """The page; only its status where it is as it was. One that leads elsewhere is asked for whole."""
    if source["etag"] or source["last_modified"]:
        page = fetch(source["url"], follow=False, etag=source["etag"], last_modified=source["last_modified"])
        if not page.location:
            return page
    return fetch(source["url"])


def read_file(exchange: Exchange, source: dict) -> str:
    """The state once the bytes that are kept were read. Raises ExtractionError."""
    data = exchange.file()
    if data is None:
        return "failed"
    return exchange.keep(extract(data, name_of(source), source["content_type"]))


def name_of(source: dict) -> str:
    """The name of a source as a file's; that of a page which a crawl has kept is its address's."""
    if source["kind"] == "page":
        return file_name(source["url"], source["content_type"])
    return "text.md" if source["kind"] == "text" else str(source["name"])


def file_name(url: str, content_type: str) -> str:
    """The name of a page as a file's: of one that a program has made, the ending says nothing."""
    return "page.html" if "html" in content_type else PurePosixPath(urlsplit(url).path).name
