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

#: Networks of IANA's registries of special purposes that Python's `is_global` does not know everywhere: assignments of
#: protocols (with a cloud's metadata in it), the old relays to 6to4, documentation; and the address at which every
#: machine in Azure finds what serves it, which no registry has.
SPECIAL = [
    ipaddress.ip_network(network) for network in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "168.63.129.16/32")
]

#: Where the web is served. On others of a public host there are mail servers and databases.
PORTS = (80, 443, 8080, 8443)

TIMEOUT = httpx.Timeout(10, connect=5)

Resolve = Callable[..., list[Any]]


class AddressRefused(httpx.ConnectError):
    """The address cannot be called: it is none, or it leads inside the network. The text does not repeat it."""


class AddressUnknown(AddressRefused):
    """Nobody knows the name, at least at present."""


class OutsideTransport(httpx.BaseTransport):
    """For an httpx.Client that calls what a stranger has named. Each request, a redirect's too, is checked.

    The name is looked up once, every address found is checked, and the call goes to the first of these: a name that
    answers differently the next time gains nothing. The certificate has to be the name's. `plain`: http, too. With
    `may_be_local` also http, any port, and the network's own addresses. Requests raise AddressRefused beside what
    httpx raises.
    """

    def __init__(
        self, *, plain: bool = False, may_be_local: bool = False, resolve: Resolve = socket.getaddrinfo
    ) -> None:
        self._plain = plain
        self._may_be_local = may_be_local
        self._resolve = resolve
        # By name: a connection that was made for one name must not carry what another at the same address is sent.
        self._by_host: dict[str, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = read_url(str(request.url), self._may_be_local, plain=self._plain)
        host = url.raw_host.decode()
        port = url.port or (443 if url.scheme == "https" else 80)
        target = url.copy_with(host=find_address(host, port, self._may_be_local, self._resolve))
        if host not in self._by_host:
            # No proxy of the environment: it would look the name up again.
            self._by_host[host] = httpx.HTTPTransport(trust_env=False)
        extensions = {**request.extensions, "sni_hostname": host}
        sent = httpx.Request(
            request.method, target, headers=request.headers, stream=request.stream, extensions=extensions
        )
        return self._by_host[host].handle_request(sent)

    def close(self) -> None:
        for transport in self._by_host.values():
            transport.close()


def post_json(address: str, body: Any, *, may_be_local: bool = False, resolve: Resolve = socket.getaddrinfo) -> int:
    """POST `body` to an address outside and return the answer's status; the answer itself is not read.

    Redirects are not followed. Raises AddressRefused, other kinds of httpx.TransportError.
    """
    read_url(address, may_be_local)
    transport = OutsideTransport(may_be_local=may_be_local, resolve=resolve)
    headers = {"user-agent": "millrace"}
    with (
        httpx.Client(transport=transport, timeout=TIMEOUT) as client,
        client.stream("POST", address.strip(), json=body, headers=headers) as response,
    ):
        return response.status_code


def read_url(address: str, may_be_local: bool, *, plain: bool = False) -> httpx.URL:
    """Raises AddressRefused for what is no http(s) address with a host, has a user in it, or an odd port."""
    try:
        url = httpx.URL(address.strip())
    except (httpx.InvalidURL, UnicodeError, TypeError):
        raise AddressRefused("it is not an address") from None
    if url.scheme not in ("https", "http") or not url.host or url.userinfo:
        raise AddressRefused("it is not a web address")
    if url.scheme == "http" and not (may_be_local or plain):
        raise AddressRefused("it does not begin with https://")
    if url.port is not None and url.port not in PORTS and not may_be_local:
        raise AddressRefused(f"its port is none of {', '.join(map(str, PORTS))}")
    return url


def find_address(host: str, port: int, may_be_local: bool, resolve: Resolve = socket.getaddrinfo) -> str:
    """The first address of `host`. Raises AddressRefused when it has none, or any of them is not public."""
    try:
        found = [str(entry[4][0]) for entry in resolve(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise AddressUnknown("its name has no address")
    if not may_be_local and not all(is_public(address) for address in found):
        raise AddressRefused("it leads inside the network")
    return found[0]


def is_public(address: str) -> bool:
    """Whether the internet routes to `address`: not private, loopback, link-local (clouds' metadata) or the like."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if any(ip in network for network in SPECIAL):
        return False
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
