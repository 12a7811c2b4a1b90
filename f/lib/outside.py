# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Addresses that tenants give, called without a way into our own network. No database, no Windmill."""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import httpx

#: Networks whose addresses carry one of IPv4 inside, by the number of its last bit.
EMBEDDED = {"64:ff9b::/96": 128, "64:ff9b:1::/48": 128, "2002::/16": 48}

TIMEOUT = httpx.Timeout(10, connect=5)

Resolve = Callable[..., list[Any]]


class AddressRefused(Exception):
    """The address cannot be called: it is none, or it leads inside the network. The text does not repeat it."""


def post_json(address: str, body: Any, *, may_be_local: bool = False, resolve: Resolve = socket.getaddrinfo) -> int:
    """POST `body` to an https address and return the answer's status; the answer itself is not read.

    The name is looked up once, every address found is checked, and the call goes to the first of these: a name that
    answers differently the next time gains nothing. Redirects are not followed. With `may_be_local` plain http and
    the network's own addresses are allowed. Raises AddressRefused, httpx.TransportError.
    """
    url = read_url(address, may_be_local)
    host = url.raw_host.decode()
    target = find_address(host, url.port or (443 if url.scheme == "https" else 80), may_be_local, resolve)
    headers = {"host": url.netloc.decode(), "user-agent": "millrace"}
    # No proxy of the environment: it would look the name up again.
    with (
        httpx.Client(timeout=TIMEOUT, trust_env=False) as client,
        client.stream(
            "POST", url.copy_with(host=target), json=body, headers=headers, extensions={"sni_hostname": host}
        ) as response,
    ):
        return response.status_code


def read_url(address: str, may_be_local: bool) -> httpx.URL:
    """Raises AddressRefused for what is no http(s) address with a host, or has a user in it."""
    try:
        url = httpx.URL(address.strip())
    except (httpx.InvalidURL, UnicodeError, TypeError):
        raise AddressRefused("it is not an address") from None
    if url.scheme not in ("https", "http") or not url.host or url.userinfo:
        raise AddressRefused("it is not a web address")
    if url.scheme == "http" and not may_be_local:
        raise AddressRefused("it does not begin with https://")
    return url


def find_address(host: str, port: int, may_be_local: bool, resolve: Resolve = socket.getaddrinfo) -> str:
    """The first address of `host`. Raises AddressRefused when it has none, or any of them is not public."""
    try:
        found = [str(entry[4][0]) for entry in resolve(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise AddressRefused("its name has no address")
    if not may_be_local and not all(is_public(address) for address in found):
        raise AddressRefused("it leads inside the network")
    return found[0]


def is_public(address: str) -> bool:
    """Whether the internet routes to `address`: not private, loopback, link-local (clouds' metadata) or the like."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or (ip.teredo and ip.teredo[1])
        for network, last_bit in EMBEDDED.items():
            if ip in ipaddress.ip_network(network):
                inner = ipaddress.IPv4Address((int(ip) >> (128 - last_bit)) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
