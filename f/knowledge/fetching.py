# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Web pages for knowledge: public addresses only, whatever names and redirects say."""

import socket
import time
from dataclasses import dataclass

import httpx

from f.lib.outside import AddressRefused, AddressUnknown, OutsideTransport, Resolve

#: Bytes of a page, seconds for all of it, redirects.
MAX_BYTES = 20 * 1024 * 1024
SECONDS = 60
REDIRECTS = 5
AGENT = "Millrace-Knowledge/1 (+https://github.com/)"


class FetchError(Exception):
    """There is no page. `code` and text are for the tenant; `passing`: it may be there later."""

    def __init__(self, code: str, message: str, *, passing: bool = False):
        super().__init__(message)
        self.code = code
        self.passing = passing


@dataclass(frozen=True)
class Page:
    url: str
    content_type: str
    data: bytes


def fetch(url: str, *, resolve: Resolve = socket.getaddrinfo, may_be_local: bool = False) -> Page:
    """The page at `url`, wherever it redirects to. Raises FetchError."""
    deadline = time.monotonic() + SECONDS
    headers = {
        "user-agent": AGENT,
        "accept": "text/html, text/*, application/pdf, */*;q=0.5",
        "accept-encoding": "gzip",
    }
    transport = OutsideTransport(plain=True, may_be_local=may_be_local, resolve=resolve)
    try:
        with (
            httpx.Client(
                transport=transport, timeout=10, headers=headers, follow_redirects=True, max_redirects=REDIRECTS
            ) as client,
            client.stream("GET", url) as response,
        ):
            if response.is_error:
                passing = response.status_code >= 500 or response.status_code == httpx.codes.TOO_MANY_REQUESTS
                raise FetchError("http_error", f"the page answered {response.status_code}", passing=passing)
            data = bytearray()
            for part in response.iter_bytes():
                data += part
                if len(data) > MAX_BYTES:
                    raise FetchError("too_large", "the page is larger than 20 MB")
                if time.monotonic() > deadline:
                    raise FetchError("too_slow", f"the page takes longer than {SECONDS} s", passing=True)
            return Page(str(response.url), response.headers.get("content-type", ""), bytes(data))
    except AddressRefused as error:
        passing = isinstance(error, AddressUnknown)
        raise FetchError("address_refused", f"the address is not read: {error}", passing=passing) from error
    except httpx.TooManyRedirects as error:
        raise FetchError("redirects", "the page redirects too often") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise FetchError("address_refused", "the address is not one of the web") from error
    except httpx.HTTPError as error:
        raise FetchError("no_answer", f"the page does not answer: {type(error).__name__}", passing=True) from error
