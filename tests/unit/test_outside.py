"""f/lib/outside.py: addresses that strangers give lead outside or nowhere."""

import socket

import httpx
import pytest
from pytest_httpserver import HTTPServer

from f.lib.outside import AddressRefused, find_address, is_public, post_json, read_url


def resolves_to(*addresses: str):
    """A name server that gives each call one more look at its list."""
    asked: list[str] = []

    def resolve(host, port, **_):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return resolve, asked


@pytest.mark.parametrize(
    "address",
    "127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.100.100.200 0.0.0.0 255.255.255.255 224.0.0.1"
    " 240.1.1.1 192.0.2.1 192.0.0.192 192.88.99.1 168.63.129.16 198.18.0.1"
    " 3fff::1 ::1 :: fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1 ::127.0.0.1"
    " ::ffff:127.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b:1::a00:1 2002:7f00:1:: 2002:a9fe:a9fe::"
    " 2001:0:4136:e378:8000:63bf:f5ff:fffe".split(),
)
def test_inside(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808"])
def test_outside(address: str) -> None:
    assert is_public(address)


def test_one_address_inside_refuses_the_name() -> None:
    resolve, _ = resolves_to("93.184.216.34", "10.0.0.1")
    with pytest.raises(AddressRefused, match="inside the network"):
        find_address("example.org", 443, False, resolve)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.0.0.1", "localhost", "017700000001"])
def test_other_spellings_of_this_machine(host: str) -> None:
    with pytest.raises(AddressRefused):
        find_address(host, 443, False)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "http://example.org/",
        "https:///x",
        "https://user@example.org/",
        "https://example.org:6379/",
    ],
)
def test_what_is_no_public_web_address(address: str) -> None:
    with pytest.raises(AddressRefused):
        read_url(address, may_be_local=False)


def test_the_call_goes_to_the_address_that_was_checked(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook", method="POST", json={"a": 1}).respond_with_data("x" * 100, status=202)
    resolve, asked = resolves_to("127.0.0.1")
    port = httpserver.port
    assert post_json(f"http://somewhere.example:{port}/hook", {"a": 1}, may_be_local=True, resolve=resolve) == 202
    assert asked == ["somewhere.example"], "looked up once"
    request, _ = httpserver.log[0]
    assert request.headers["host"] == f"somewhere.example:{port}"


def test_a_redirect_is_an_answer(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data(
        "", status=302, headers={"location": httpserver.url_for("/in")}
    )
    assert post_json(httpserver.url_for("/hook"), {}, may_be_local=True) == 302
    assert len(httpserver.log) == 1


def test_the_certificate_must_be_that_of_the_name(httpserver: HTTPServer) -> None:
    """Plain text answers, so the handshake fails; the point is that one is tried."""
    resolve, _ = resolves_to("127.0.0.1")
    with pytest.raises(httpx.ConnectError):
        post_json(f"https://somewhere.example:{httpserver.port}/", {}, may_be_local=True, resolve=resolve)
