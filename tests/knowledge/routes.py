"""The routes of the knowledge on the running system, as a tenant calls them."""

import time
from collections.abc import Callable
from typing import Any

import httpx

Call = Callable[..., httpx.Response]


def upload(
    call: Call, data: str | bytes, name: str = "notes.txt", kind: str = "text/plain", **request: Any
) -> httpx.Response:
    content = data.encode() if isinstance(data, str) else data
    return call("POST", "upload", params={"filename": name}, content=content, headers={"content-type": kind}, **request)


def settled(call: Call, source_id: str, seconds: float = 90) -> dict[str, Any]:
    """The source once it is ready or has failed."""
    deadline = time.monotonic() + seconds
    while (source := call("GET", f"sources/{source_id}").json())["state"] not in ("ready", "failed"):
        assert time.monotonic() < deadline, source
        time.sleep(0.3)
    return source
