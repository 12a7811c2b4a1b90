"""News for open pages: every subscriber gets everything that happens from now on."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Events that a page may lag behind before it is cut off, to load everything anew.
BACKLOG = 1000

Subscription = asyncio.Queue[str | None]


class Feed:
    """`None` in a subscription ends it."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    def publish(self, kind: str, **values: Any) -> None:
        if not self._subscriptions:
            return
        text = json.dumps({"kind": kind, **values})
        for subscription in list(self._subscriptions):
            if subscription.qsize() >= BACKLOG:
                self._end(subscription)
            else:
                subscription.put_nowait(text)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        subscription: Subscription = asyncio.Queue()
        self._subscriptions.add(subscription)
        if self._closed:
            self._end(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End all subscriptions, those to come as well."""
        self._closed = True
        for subscription in list(self._subscriptions):
            self._end(subscription)

    def _end(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        subscription.put_nowait(None)
