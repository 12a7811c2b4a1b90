"""The routes of the knowledge on the running system, as a tenant calls them."""

from collections.abc import Callable
from typing import Any

import httpx
from systems import until

Call = Callable[..., httpx.Response]


def upload(
    call: Call, data: str | bytes, name: str = "notes.txt", kind: str = "text/plain", **request: Any
) -> httpx.Response:
    content = data.encode() if isinstance(data, str) else data
    return call("POST", "upload", params={"filename": name}, content=content, headers={"content-type": kind}, **request)


def settled(call: Call, source_id: str, seconds: float = 90) -> dict[str, Any]:
    """The source once it is ready or has failed."""
    source: dict[str, Any] = {}

    def is_over() -> bool:
        source.update(call("GET", f"sources/{source_id}").json())
        return source["state"] in ("ready", "failed")

    until(is_over, seconds, pause=0.3)
    return source
