"""Limits for clients whose requests do not verify, by address. Verified deliveries never meet them."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import limits
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from gateway.config import Network

Address = IPv4Address | IPv6Address


class Throttle:
    """Counts the failures of each client in a moving window, in this process's memory."""

    def __init__(self, limit: limits.RateLimitItem) -> None:
        self._limit = limit
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self.retry_after = limit.get_expiry()  # seconds

    async def failed(self, client: str) -> bool:
        """Count a request that did not verify. True when the client is over its limit."""
        return not await self._limiter.hit(self._limit, client)


def client_key(peer: str, forwarded_for: Sequence[str], trusted: Iterable[Network]) -> str:
    """Under what a client is counted: its IPv4 address, or the /64 of its IPv6 address.

    `peer` is who is connected, `forwarded_for` the values of X-Forwarded-For. The header is read
    from its right end and only as far as trusted proxies wrote it: what stands left of the first
    untrusted hop is the client's own claim.
    """
    networks = tuple(trusted)
    client = _address(peer)
    if client is None:
        return peer
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    while hops and any(client in network for network in networks):
        hop = _address(hops.pop())
        if hop is None:
            break
        client = hop
    return str(client) if isinstance(client, IPv4Address) else f"{IPv6Address(int(client) >> 64 << 64)}/64"


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
