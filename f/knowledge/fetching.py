# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Web pages for knowledge: public addresses only, whatever names and redirects say; sizes and times bounded."""

import contextlib
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from f.lib.outside import AddressRefused, AddressUnknown, OutsideTransport, Resolve

#: Bytes of a page, as sent and as unpacked; seconds for all of it; redirects.
MAX_BYTES = 20 * 1024 * 1024
SECONDS = 60
REDIRECTS = 5
#: Bytes that are unpacked at once.
PIECE = 1 << 16
AGENT = "Millrace-Knowledge/1 (+https://github.com/)"


class FetchError(Exception):
    """There is no page. `code` and text are for the tenant; `passing`: it may be there later."""

    def __init__(self, code: str, message: str, *, passing: bool = False, status: int = 0):
        super().__init__(message)
        self.code = code
        self.passing = passing
        #: What the page answered, if it did.
        self.status = status


@dataclass(frozen=True)
class Page:
    url: str
    content_type: str
    data: bytes
    status: int = 200
    #: Where it says that the page is instead, as it says it; only without `follow`.
    location: str = ""
    #: What makes a later call answer 304, if nothing has changed.
    etag: str | None = None
    last_modified: str | None = None
    #: Bytes as they were sent.
    sent: int = 0


def fetch(
    url: str,
    *,
    resolve: Resolve = socket.getaddrinfo,
    may_be_local: bool = False,
    follow: bool = True,
    etag: str | None = None,
    last_modified: str | None = None,
    most: int | None = None,
    seconds: float | None = None,
    is_wanted: Callable[[str], bool] = lambda content_type: True,
) -> Page:
    """The page at `url`, wherever it redirects to, in `most` bytes and `seconds` (MAX_BYTES, SECONDS).

    With `follow` false a redirect is an answer: a Page with its `location`. With `etag` or `last_modified` 304 is one,
    too. A page whose content type is not wanted is not read. Raises FetchError.
    """
    most, seconds = most or MAX_BYTES, seconds or SECONDS
    headers = {
        "user-agent": AGENT,
        "accept": "text/html, text/*, application/pdf, */*;q=0.5",
        "accept-encoding": "gzip",
    }
    headers |= {"if-none-match": etag} if etag else {}
    headers |= {"if-modified-since": last_modified} if last_modified else {}
    transport = OutsideTransport(plain=True, may_be_local=may_be_local, resolve=resolve)
    with Deadline(seconds) as deadline:
        try:
            with (
                httpx.Client(
                    transport=transport, timeout=10, headers=headers, follow_redirects=follow, max_redirects=REDIRECTS
                ) as client,
                client.stream("GET", url, extensions={"trace": deadline.watch}) as response,
            ):
                is_answer = response.status_code == httpx.codes.NOT_MODIFIED and bool(etag or last_modified)
                is_answer = is_answer or (response.has_redirect_location and not follow)
                return _read(response, most, deadline, is_wanted, is_whole=is_answer)
        except AddressRefused as error:
            passing = isinstance(error, AddressUnknown)
            raise FetchError("address_refused", f"the address is not read: {error}", passing=passing) from error
        except httpx.TooManyRedirects as error:
            raise FetchError("redirects", "the page redirects too often") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
            raise FetchError("address_refused", "the address is not one of the web") from error
        except httpx.HTTPError as error:
            if deadline.is_over():
                raise deadline.error() from error
            raise FetchError("no_answer", f"the page does not answer: {type(error).__name__}", passing=True) from error


class Deadline:
    """Ends a call when its time is up, however slowly the other side goes on, its headers too."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> "Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def watch(self, event: str, info: dict[str, Any]) -> None:
        """What httpcore calls at each event of a call."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._sockets.append(info["return_value"].get_extra_info("socket"))
            if self.is_over():
                self._cut()  # the timer has run out while this one was looked up

    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    def error(self) -> FetchError:
        return FetchError("too_slow", f"the page takes longer than {self._seconds:g} s", passing=True)

    def _cut(self) -> None:
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _read(
    response: httpx.Response, most: int, deadline: Deadline, is_wanted: Callable[[str], bool], *, is_whole: bool
) -> Page:
    """The page of an answer; `is_whole`: its headers are all."""
    content_type = response.headers.get("content-type", "")
    page = {
        "url": str(response.url),
        "content_type": content_type,
        "status": response.status_code,
        "etag": _validator(response, "etag"),
        "last_modified": _validator(response, "last-modified"),
    }
    if is_whole:
        return Page(**page, data=b"", location=response.headers.get("location", ""))
    if response.status_code != httpx.codes.OK:
        status = response.status_code
        passing = status >= 500 or status in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT)
        raise FetchError("http_error", f"the page answered {status}", passing=passing, status=status)
    if not is_wanted(content_type):
        raise FetchError("content_type", "the page is of a kind that is not read")
    data, sent = bytearray(), 0
    too_large = FetchError("too_large", f"the page is larger than {most / 1024 / 1024:g} MB")
    if int("0" + "".join(filter(str.isdecimal, response.headers.get("content-length", "")))[:18]) > most:
        raise too_large
    unpacker = _unpacker(response.headers.get("content-encoding", ""))
    for part in response.iter_raw():
        sent += len(part)
        if deadline.is_over():
            raise deadline.error()
        for piece in unpacker.pieces(part):
            data += piece
            if len(data) > most:
                raise too_large
        if sent > most:
            raise too_large
    if deadline.is_over():  # the connection was cut, which looks like the end of a page
        raise deadline.error()
    unpacker.end()
    return Page(**page, data=bytes(data), sent=sent)


def _validator(response: httpx.Response, name: str) -> str | None:
    """What may be sent back as it came."""
    value = response.headers.get(name, "")
    return value if 0 < len(value) <= 200 and value.isascii() and value.isprintable() else None


class Plain:
    """What is not packed, piece by piece."""

    def pieces(self, part: bytes) -> Iterator[bytes]:
        yield part

    def end(self) -> None:
        """Raises FetchError if something is missing."""


class Gzip(Plain):
    """Unpacks so little at once that somebody can look before something small has become large."""

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._is_within = False

    def pieces(self, part: bytes) -> Iterator[bytes]:
        while part:
            self._is_within = True
            try:
                piece = self._unpacker.decompress(part, PIECE)
            except zlib.error:
                raise _wrongly_packed() from None
            if piece:
                yield piece
            if self._unpacker.eof:
                # Another one may follow; zeros fill up.
                part = self._unpacker.unused_data.lstrip(b"\0")
                self._unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
                self._is_within = False
            else:
                part = self._unpacker.unconsumed_tail

    def end(self) -> None:
        if self._is_within:
            raise _wrongly_packed()


def _wrongly_packed() -> FetchError:
    return FetchError("encoding", "the page is packed wrongly")


def _unpacker(encoding: str) -> Plain:
    names = [name for name in encoding.lower().replace(" ", "").split(",") if name not in ("", "identity")]
    if not names:
        return Plain()
    if len(names) > 1 or names[0] not in ("gzip", "x-gzip"):
        raise FetchError("encoding", "the page is packed in a way that was not asked for")
    return Gzip()


def gunzip(data: bytes, most: int) -> bytes:
    """A file that is packed itself, such as a sitemap. Raises FetchError."""
    unpacked, unpacker = bytearray(), Gzip()
    for piece in unpacker.pieces(data):
        unpacked += piece
        if len(unpacked) > most:
            raise FetchError("too_large", f"unpacked it is larger than {most / 1024 / 1024:g} MB")
    unpacker.end()
    return bytes(unpacked)
