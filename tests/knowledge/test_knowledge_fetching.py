"""Pages of the web: public addresses only, whatever names and redirects say."""

import gzip
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from drips import served
from pytest_httpserver import HTTPServer
from werkzeug import Response

from f.knowledge import fetching
from f.knowledge.fetching import FetchError, fetch
from f.lib import outside

#: What the test's name server knows. The first is "public" here, as the test's web server has no other address.
NAMES = {"shop.example": ["127.0.0.1"], "inside.example": ["127.0.0.2"], "both.example": ["127.0.0.1", "10.0.0.1"]}


@pytest.fixture(autouse=True)
def web(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(outside, "PORTS", (httpserver.port,))


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def look(httpserver: HTTPServer, asked: list[str]) -> Callable[[str], fetching.Page]:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in NAMES.get(host, [host] if host[0].isdigit() else [])
        ]

    return lambda path: fetch(f"http://shop.example:{httpserver.port}{path}", resolve=resolve)


def test_a_page_comes_with_its_type(httpserver: HTTPServer, look, asked):
    httpserver.expect_request("/a").respond_with_response(Response("", 301, {"location": "/b"}))
    httpserver.expect_request("/b").respond_with_data("<p>Hi</p>", content_type="text/html; charset=utf-8")
    page = look("/a")
    assert page.url == f"http://shop.example:{httpserver.port}/b"
    assert (page.content_type, page.data) == ("text/html; charset=utf-8", b"<p>Hi</p>")
    assert [request.headers["host"] for request, _ in httpserver.log] == [f"shop.example:{httpserver.port}"] * 2
    assert asked == ["shop.example"] * 2, "once for each request"


@pytest.mark.parametrize(
    "location",
    ["http://inside.example:{port}/", "http://both.example:{port}/", "//127.0.0.2:{port}/", "http://169.254.169.254/",
     "http://shop.example:22/", "file:///etc/passwd", "http://user@shop.example:{port}/", "http://nowhere.example:{port}/"],
)  # fmt: skip
def test_a_redirect_is_checked_like_the_first_address(httpserver: HTTPServer, look, location: str):
    to = location.format(port=httpserver.port)
    httpserver.expect_request("/a").respond_with_response(Response("", 302, {"location": to}))
    with pytest.raises(FetchError) as error:
        look("/a")
    assert error.value.code == "address_refused"
    assert error.value.passing is ("nowhere" in location), "only what nobody knows may be known later"
    assert len(httpserver.log) == 1


def test_redirects_in_a_circle_end(httpserver: HTTPServer, look):
    httpserver.expect_request("/a").respond_with_response(Response("", 302, {"location": "/a"}))
    with pytest.raises(FetchError) as error:
        look("/a")
    assert error.value.code == "redirects" and len(httpserver.log) == fetching.REDIRECTS + 1


@pytest.mark.parametrize(("status", "passing"), [(404, False), (500, True), (429, True)])
def test_a_page_that_is_not_there(httpserver: HTTPServer, look, status: int, passing: bool):
    httpserver.expect_request("/a").respond_with_response(Response("", status))
    with pytest.raises(FetchError) as error:
        look("/a")
    assert error.value.passing is passing


@pytest.mark.parametrize(
    ("sent", "kept"),
    [('"v1"', '"v1"'), ('W/"v1"', 'W/"v1"'), ("\xe9", None), ("x" * 201, None), ("", None)],
    ids=["strong", "weak", "not to be sent back", "too long", "empty"],
)
def test_a_tag_is_kept_if_it_can_be_sent_back(httpserver: HTTPServer, look, sent: str, kept: str | None):
    httpserver.expect_request("/a").respond_with_data("page", headers={"etag": sent})
    assert look("/a").etag == kept


def test_sizes_are_those_of_the_unpacked_page(httpserver: HTTPServer, look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetching, "MAX_BYTES", 100_000)
    bomb = gzip.compress(bytes(10_000_000))
    httpserver.expect_request("/a").respond_with_data(bomb, headers={"content-encoding": "gzip"})
    with pytest.raises(FetchError) as error:
        look("/a")
    assert error.value.code == "too_large"


@pytest.mark.parametrize(
    ("data", "encoding", "outcome"),
    [
        pytest.param(gzip.compress(b"page"), "gzip", b"page", id="packed"),
        pytest.param(
            gzip.compress(b"pa") + gzip.compress(b"ge") + bytes(99), "x-gzip", b"page", id="two members and padding"
        ),
        pytest.param(b"page", "identity", b"page", id="not packed"),
        pytest.param(b"page", "gzip", "encoding", id="only said to be packed"),
        pytest.param(gzip.compress(b"page" * 999)[:-9], "gzip", "encoding", id="truncated"),
        pytest.param(gzip.compress(gzip.compress(bytes(10_000_000))), "gzip, gzip", "encoding", id="packed twice"),
        pytest.param(b"page", "br", "encoding", id="a way nobody offered"),
    ],
)
def test_packed_pages(httpserver: HTTPServer, look, data: bytes, encoding: str, outcome: bytes | str):
    httpserver.expect_request("/a").respond_with_data(data, headers={"content-encoding": encoding})
    if isinstance(outcome, bytes):
        assert look("/a").data == outcome
    else:
        with pytest.raises(FetchError) as error:
            look("/a")
        assert error.value.code == outcome


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n"


def drip(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece
        time.sleep(0.1)


#: What servers send that mean no good, and what it is called.
ENDLESS: dict[str, tuple[Callable[[], Iterable[bytes]], str]] = {
    "ten gigabytes that are announced": (lambda: [HEAD + b"content-length: 10737418240\r\n\r\n"], "too_large"),
    "ten gigabytes that are not": (lambda: chain([HEAD + b"\r\n"], repeat(bytes(65536))), "too_large"),
    "ten gigabytes of nothing": (
        lambda: chain([HEAD + b"content-encoding: gzip\r\n\r\n"], repeat(gzip.compress(b"") * 3000)),
        "too_large",
    ),
    "a body drop by drop": (lambda: chain([HEAD + b"\r\n"], drip(b"x")), "too_slow"),
    "packed drops": (
        lambda: chain([HEAD + b"content-encoding: gzip\r\n\r\n"], drip(gzip.compress(b""))),
        "too_slow",
    ),
    "a header drop by drop": (lambda: chain([HEAD + b"x-more: "], drip(b"x")), "too_slow"),
    "no answer": (lambda: drip(b""), "too_slow"),
    "headers without end": (lambda: chain([HEAD], repeat(b"x-more: " + b"x" * 4000 + b"\r\n")), "no_answer"),
    "something else": (lambda: [b"220 mail.example ESMTP\r\n"], "no_answer"),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end(monkeypatch: pytest.MonkeyPatch, what: str):
    answer, code = ENDLESS[what]
    with served(answer) as port:
        monkeypatch.setattr(outside, "PORTS", (port,))
        began = time.monotonic()
        with pytest.raises(FetchError) as error:
            fetch(f"http://127.0.0.1:{port}/", most=1_000_000, seconds=1)
        assert error.value.code == code
        assert time.monotonic() - began < 5


def test_a_page_that_has_not_changed(httpserver: HTTPServer, look):
    httpserver.expect_request("/a", headers={"if-none-match": '"1"'}).respond_with_response(Response("", 304))
    page = fetch(f"http://127.0.0.1:{httpserver.port}/a", etag='"1"', last_modified="Thu, 01 Jan 2026 00:00:00 GMT")
    assert (page.status, page.data) == (304, b"")
    assert httpserver.log[0][0].headers["if-modified-since"] == "Thu, 01 Jan 2026 00:00:00 GMT"


def test_a_redirect_may_be_an_answer_and_what_is_not_wanted_is_not_read(httpserver: HTTPServer):
    httpserver.expect_request("/a").respond_with_response(Response("", 302, {"location": "/b"}))
    httpserver.expect_request("/b").respond_with_data(b"x", content_type="image/png")
    at = f"http://127.0.0.1:{httpserver.port}"
    assert (fetch(f"{at}/a", follow=False).location, len(httpserver.log)) == ("/b", 1)
    with pytest.raises(FetchError) as error:
        fetch(f"{at}/b", is_wanted=lambda kind: "html" in kind)
    assert error.value.code == "content_type"


@pytest.mark.parametrize("url", ["ftp://shop.example/", "file:///etc/passwd", "http://user@shop.example/", "http:///"])
def test_what_is_no_address_of_the_web(url: str):
    with pytest.raises(FetchError) as error:
        fetch(url)
    assert error.value.code == "address_refused"
