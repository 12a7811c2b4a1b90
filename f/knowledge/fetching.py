"""Web pages for knowledge: public addresses only, whatever names and redirects say."""

import ipaddress
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

#: Bytes of a page, seconds for all of it, redirects.
MAX_BYTES = 20 * 1024 * 1024
SECONDS = 60
REDIRECTS = 5
AGENT = "Millrace-Knowledge/1 (+https://github.com/)"

#: host → addresses; a test puts in its own.
Resolver = Callable[[str], list[str]]


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


def resolve(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError("unknown_host", "the address's host is not known", passing=True) from error
    return [str(entry[4][0]) for entry in found]


def public_address(host: str, resolver: Resolver) -> str:
    """An address of `host`. All of them must be public: it is ours that is spoken to, whatever its name becomes."""
    addresses = resolver(host)
    for address in addresses:
        parsed = ipaddress.ip_address(address.split("%")[0])
        inner = getattr(parsed, "ipv4_mapped", None) or parsed
        if not inner.is_global or inner.is_multicast:
            raise FetchError("private_address", "the address is not public")
    if not addresses:
        raise FetchError("unknown_host", "the address's host is not known", passing=True)
    return addresses[0]


def fetch(url: str, resolver: Resolver = resolve, check: Callable[[str, Resolver], str] = public_address) -> Page:
    """The page at `url`. Raises FetchError."""
    import httpx  # only sources of this kind need it

    deadline = time.monotonic() + SECONDS
    for _ in range(REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise FetchError("bad_address", "the address is not one of the web")
        address = check(parts.hostname, resolver)
        target = httpx.URL(url).copy_with(host=address)
        headers = {"host": parts.netloc, "user-agent": AGENT, "accept": "text/html, text/*, application/pdf, */*;q=0.5"}
        extensions = {"sni_hostname": parts.hostname}
        try:
            with (
                httpx.Client(timeout=10, trust_env=False) as client,
                client.stream("GET", target, headers=headers, extensions=extensions) as response,
            ):
                if response.is_redirect:
                    url = urljoin(url, response.headers.get("location", ""))
                    continue
                if response.is_error:
                    passing = response.status_code >= 500 or response.status_code == 429
                    raise FetchError("http_error", f"the page answered {response.status_code}", passing=passing)
                data = bytearray()
                for part in response.iter_bytes():
                    data += part
                    if len(data) > MAX_BYTES:
                        raise FetchError("too_large", "the page is larger than 20 MB")
                    if time.monotonic() > deadline:
                        raise FetchError("too_slow", f"the page takes longer than {SECONDS} s", passing=True)
                return Page(url, response.headers.get("content-type", ""), bytes(data))
        except httpx.HTTPError as error:
            raise FetchError("no_answer", f"the page does not answer: {type(error).__name__}", passing=True) from error
    raise FetchError("redirects", "the page redirects too often")
