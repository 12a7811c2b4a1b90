"""Brings deliveries to the gateway's webhook: signed, and again until it answers 200."""

import asyncio
import time
from types import TracebackType

import aiohttp

from local.simulator.feed import Feed
from local.simulator.payloads import signature
from local.simulator.store import Delivery, Store

#: Seconds until the next attempt, by number of attempts so far; then ever the last, for as long as Meta would try.
PAUSES = (0.2, 0.5, 1, 2, 5, 10, 30, 60)
GIVE_UP_SECONDS = 7 * 24 * 3600
#: Seconds for an answer, and deliveries under way at once.
ANSWER_SECONDS = 10
AT_ONCE = 32


class Courier:
    """Works through the store's deliveries while `run` runs, in an `async with` block.

    What a delivery's attempt means for its message is stored first and published to the feed then.
    """

    def __init__(self, store: Store, feed: Feed, webhook: str, secret: str) -> None:
        self._store = store
        self._feed = feed
        self._webhook = webhook
        self._secret = secret
        self._under_way: set[int] = set()
        self._news = asyncio.Event()

    async def __aenter__(self) -> "Courier":
        self._store.everything_is_due(time.time())
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def run(self) -> None:
        """Deliver what is due, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._news.clear()
                free = AT_ONCE - len(self._under_way)
                due = self._store.due(time.time(), AT_ONCE + len(self._under_way)) if free > 0 else []
                for delivery_id in [id for id in due if id not in self._under_way][: max(free, 0)]:
                    self._under_way.add(delivery_id)
                    group.create_task(self._deliver(delivery_id))
                await self._wait()

    async def deliver(self, delivery_id: int) -> tuple[int, str | None]:
        """One attempt, now. Returns the gateway's HTTP status, or 0 and what went wrong."""
        self._under_way.add(delivery_id)
        return await self._deliver(delivery_id)

    def look(self) -> None:
        """There are deliveries that were not there before."""
        self._news.set()

    async def _wait(self) -> None:
        now = time.time()
        next_due = self._store.next_due(now)
        try:
            async with asyncio.timeout(None if next_due is None else max(next_due - now, 0.005)):
                await self._news.wait()
        except TimeoutError:
            return

    async def _deliver(self, delivery_id: int) -> tuple[int, str | None]:
        try:
            delivery = self._store.delivery(delivery_id)
            if delivery is None:
                return 200, None
            if delivery.status and delivery.attempts == 0 and self._store.advance(delivery.wamid, delivery.status):
                self._publish(delivery.wamid)
            status, error = await self._post(delivery)
            again_at = None if status == 200 else self._again_at(delivery)
            self._store.attempted(delivery, status, error, again_at)
            if delivery.status is None:
                if status == 200:
                    self._store.advance(delivery.wamid, "delivered")
                self._publish(delivery.wamid)
            return status, error
        finally:
            self._under_way.discard(delivery_id)
            self._news.set()

    async def _post(self, delivery: Delivery) -> tuple[int, str | None]:
        headers = {
            "content-type": "application/json",
            "user-agent": "millrace-simulator",
            "x-hub-signature-256": signature(self._secret, delivery.body),
        }
        try:
            async with self._session.post(
                self._webhook, data=delivery.body, headers=headers, allow_redirects=False
            ) as response:
                await response.read()
                return response.status, None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, f"the gateway does not answer ({type(error).__name__})"

    def _again_at(self, delivery: Delivery) -> float | None:
        now = time.time()
        pause = PAUSES[min(delivery.attempts, len(PAUSES) - 1)]
        return now + pause if now + pause < delivery.created_at + GIVE_UP_SECONDS else None

    def _publish(self, wamid: str) -> None:
        message = self._store.message(wamid)
        if message:
            self._feed.publish("status", wamid=wamid, person=message["person"], **standing(message))


def standing(message: dict[str, object]) -> dict[str, object]:
    """How a stored message stands; for an inbound one also how the gateway took it."""
    if message["direction"] == "out":
        return {"status": message["status"]}
    gateway = {name: message[f"gateway_{name}"] for name in ("status", "attempts", "error")}
    return {"status": message["status"], "gateway": gateway}
