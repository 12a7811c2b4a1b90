"""Addresses that lead inside, on real servers of this machine and a name server of our own."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from drips import served
from websites import resolver

from f.knowledge import visits
from f.knowledge.fetching import FetchError, fetch
from f.knowledge.robots import Robots
from f.knowledge.sites import Site, read_markup, read_sitemap
from f.lib import http, outside
from f.lib.outside import is_public

FOLDER = os.environ.get("SHARED_SECURITY", "")
CASES: list[dict[str, Any]] = json.loads((Path(FOLDER) / "ssrf_cases.json").read_text()) if FOLDER else []

PAGE = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\npage"

#: What names stand for where the system asks for them; numbers in every spelling are the system's to read.
NAMES = {
    "example.com": ["93.184.216.34"],
    "pub.test": ["127.0.0.1"],
    "localhost": ["127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "sub.localhost": ["127.0.0.1"],
    "localtest.me": ["127.0.0.1"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "host.docker.internal": ["172.17.0.1"],
    "instance-data": ["169.254.169.254"],
    "redis": ["172.18.0.3"],
    "postgres": ["172.18.0.2"],
}


def resolve(host: str, port: int, **more: Any) -> list[Any]:
    if host.lower() in NAMES:
        return resolver(NAMES)(host.lower(), port)
    return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **more)


def refused(url: str) -> bool:
    try:
        fetch(url, resolve=resolve, seconds=5)
    except FetchError as error:
        return error.code == "address_refused"
    return False


@pytest.mark.parametrize("case", [c for c in CASES if c["kind"] in ("ip", "url")], ids=lambda c: c["input"])
def test_every_address_of_the_list_is_right(case: dict[str, Any]):
    given = case["input"]
    if case["kind"] == "ip":
        assert is_public(given) is (case["expect"] == "allow")
        if case["expect"] == "block":
            assert refused(f"http://[{given}]/" if ":" in given else f"http://{given}/")
        return
    assert case["expect"] == "block"
    assert refused(given)
    with pytest.raises(http.ApiError):
        http.public_url("url", given)
    secure = given.replace("http://", "https://")
    with suppress(http.ApiError):
        assert refused(http.public_url("url", secure)), "a name that says nothing"


@pytest.mark.skipif(not FOLDER, reason="SHARED_SECURITY names no folder")
def test_every_other_case_of_the_list_is_right(monkeypatch: pytest.MonkeyPatch):
    for case in CASES:
        if case["kind"] not in ("ip", "url"):
            CHECKS[case["kind"]](case, monkeypatch)


def check_redirects(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """pub.test is the one public host; nothing of the rest of the chain is called."""
    first, *others = case["input"]
    location = others[0]
    asked: list[bytes] = []
    answer = f"HTTP/1.1 302 Found\r\nlocation: {location.replace('https://pub.test', '')}\r\n"
    answer += "content-length: 0\r\nconnection: close\r\n\r\n"
    with served(lambda: [answer.encode()], asked=asked) as port, monkeypatch.context() as patch:
        patch.setattr(outside, "PORTS", (80, port))
        patch.setattr(
            outside, "is_public", lambda address: is_public(address) or (address == "127.0.0.1" and not asked)
        )
        url = first.replace("https://pub.test", f"http://pub.test:{port}")
        if location == first:  # the circle stays where it is
            patch.setattr(outside, "is_public", lambda address: address == "127.0.0.1")
        with pytest.raises(FetchError) as error:
            fetch(url, resolve=resolve, seconds=5)
        assert error.value.code == ("redirects" if location == first else "address_refused")
        assert len(asked) <= len(case["input"])
        if location != first:
            assert len(asked) == 1


def check_markup(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site("https://pub.test/")
    assert read_markup(case["input"].encode(), "text/html", site.start, site).links == []


def rest(seconds: float) -> None:
    """No pause in tests."""


def check_sitemap(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def read(url: str, **_: Any) -> visits.Page:
        asked.append(url)
        return visits.Page(url, "application/xml", f"<sitemapindex>{case['input']}</sitemapindex>".encode())

    (named,) = read_sitemap(case["input"].encode()).addresses()
    assert visits.read_sitemaps(read, Site("https://pub.test/"), Robots(""), 10, rest)[0] == []
    assert asked == ["https://pub.test/sitemap.xml"], "the site's own only"
    assert refused(named)
    rules = Robots(f"Sitemap: {named}")
    (told,) = visits.read_sitemaps(
        lambda url, **_: fetch(url, resolve=resolve), Site("https://pub.test/"), rules, 9, rest
    )[1]
    assert "the address is not read" in told, "not even where the site's robots.txt names it"


def check_answer(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    with served(lambda: [PAGE], asked=asked) as port, monkeypatch.context() as patch:
        patch.setattr(outside, "PORTS", (port,))
        patch.setattr(outside, "is_public", lambda address: address == "127.0.0.1")
        if "PROXY" in case["input"]:
            patch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
            patch.setenv("ALL_PROXY", "http://127.0.0.1:1")
            assert fetch(f"http://pub.test:{port}/", resolve=resolve).data == b"page"
            assert f"host: pub.test:{port}".encode() in asked[0].lower()
        else:
            with pytest.raises(FetchError):
                fetch(f"https://pub.test:{port}/", resolve=resolve)
            assert asked[0][0] == 22 and b"pub.test" in asked[0], "a handshake of TLS, for the name"


def check_names(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(case["input"])
    with pytest.raises(FetchError) as error:
        fetch("http://pub.test/", resolve=lambda host, port, **_: resolver({host: next(answers)})(host, port))
    assert error.value.code == "address_refused"


CHECKS = {
    "redirect_chain": check_redirects,
    "meta_refresh": check_markup,
    "sitemap": check_sitemap,
    "response": check_answer,
    "dns_sequence": check_names,
}


@pytest.fixture
def inside() -> Iterator[tuple[dict[str, int], list[bytes]]]:
    """Servers where nobody from outside may call, by their address; and what they were asked."""
    asked: list[bytes] = []
    with ExitStack() as stack:
        ports = {"127.0.0.2": stack.enter_context(served(lambda: [PAGE], "127.0.0.2", asked))}
        with suppress(OSError):  # a machine may have no IPv6
            ports["::1"] = stack.enter_context(served(lambda: [PAGE], "::1", asked))
        yield ports, asked


@pytest.mark.parametrize(
    "written",
    ["127.0.0.2", "[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "[0:0:0:0:0:ffff:127.0.0.2]", "[::1]", "[0:0:0:0:0:0:0:1]",
     "[::ffff:0:127.0.0.2]", "[64:ff9b::7f00:2]", "[2002:7f00:2::]", "[::127.0.0.2]", "0x7f.2", "2130706434", "127.2",
     "0177.0.0.2", "inside.test", "both.test", "six.test"],
)  # fmt: skip
def test_servers_inside_are_not_called_however_they_are_written(
    inside: tuple[dict[str, int], list[bytes]], monkeypatch: pytest.MonkeyPatch, written: str
):
    ports, asked = inside
    port = ports.get("::1" if ":1]" in written or written == "six.test" else "127.0.0.2", ports["127.0.0.2"])
    monkeypatch.setattr(outside, "PORTS", tuple(ports.values()))
    names = {"inside.test": ["127.0.0.2"], "both.test": ["93.184.216.34", "127.0.0.2"], "six.test": ["::1"]}

    def look_up(host: str, port: int, **more: Any) -> list[Any]:
        if host in names:
            return resolver(names)(host, port)
        return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **more)

    with pytest.raises(FetchError) as error:
        fetch(f"http://{written}:{port}/", resolve=look_up, seconds=5)
    assert error.value.code == "address_refused" and asked == []


def test_a_name_that_answers_otherwise_the_next_time_gains_nothing(
    inside: tuple[dict[str, int], list[bytes]], monkeypatch: pytest.MonkeyPatch
):
    """The first answer is checked and called; a second one, with an address inside, is never asked for."""
    ports, asked = inside
    public: list[bytes] = []
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]])
    looked: list[str] = []

    def rebind(host: str, port: int, **_: Any) -> list[Any]:
        looked.append(host)
        return resolver({host: next(answers)})(host, port)

    with served(lambda: [PAGE], asked=public) as port:
        monkeypatch.setattr(outside, "PORTS", (port, *ports.values()))
        monkeypatch.setattr(outside, "is_public", lambda address: address == "127.0.0.1")
        assert fetch(f"http://rebind.test:{port}/", resolve=rebind).data == b"page"
        assert looked == ["rebind.test"] and len(public) == 1 and asked == []
        with pytest.raises(FetchError) as error:
            fetch(f"http://rebind.test:{ports['127.0.0.2']}/", resolve=rebind)
        assert error.value.code == "address_refused" and asked == []


def test_a_chain_of_redirects_is_checked_at_each_hop(
    inside: tuple[dict[str, int], list[bytes]], monkeypatch: pytest.MonkeyPatch
):
    """Public, public, then a name whose second answer is inside."""
    ports, asked = inside
    answers = iter([["127.0.0.1"], ["127.0.0.1"], ["127.0.0.2"]])
    hops: list[bytes] = []

    def rebind(host: str, port: int, **_: Any) -> list[Any]:
        return resolver({host: next(answers)})(host, port)

    def answer() -> list[bytes]:
        place = f"http://rebind.test:{ports['127.0.0.2']}/" if len(hops) > 1 else "/next"
        return [f"HTTP/1.1 307 Go\r\nlocation: {place}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()]

    with served(answer, asked=hops) as port:
        monkeypatch.setattr(outside, "PORTS", (port, *ports.values()))
        monkeypatch.setattr(outside, "is_public", lambda address: address == "127.0.0.1")
        with pytest.raises(FetchError) as error:
            fetch(f"http://rebind.test:{port}/", resolve=rebind, seconds=5)
    assert error.value.code == "address_refused" and len(hops) == 2 and asked == []
