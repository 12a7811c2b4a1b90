"""Stands between the gateway and the engine, and fails on order: so the gateway can be killed between two bytes."""

import asyncio
import json
import threading
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

#: What may be ordered for a message: what its next submissions meet.
#: refuse: not forwarded, connection closed. lost: forwarded, but no answer. A number: not forwarded, that status.
#: slow: forwarded, answered too late. before, after: the gateway is killed then.
ACTS = ("refuse", "lost", "400", "500", "slow", "before", "after")
SLOW_SECONDS = 2.5


class Upstream:
    """An HTTP server in a thread of its own. `kill` is called for `before` and `after`."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.kill: Callable[[], None] = lambda: None
        self.down = False
        self._orders: dict[str, deque[str]] = defaultdict(deque)
        self.met: list[tuple[str, str]] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="upstream")
        self._thread.start()
        self._ready.wait()

    def order(self, wamid: str, *acts: str) -> None:
        """What the next submissions of the message `wamid` meet, one each."""
        self._orders[wamid].extend(acts)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        connector = TCPConnector(limit=0)
        async with ClientSession(
            connector=connector, timeout=ClientTimeout(total=60), auto_decompress=False
        ) as session:
            self._session = session
            app = web.Application(client_max_size=8 << 20)
            app.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._ready.set()
            await self._over.wait()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        orders = self._orders.get(wamid := wamid_in(body)) if body else None
        act = orders.popleft() if orders else ""
        if act:
            self.met.append((wamid, act))
        if act == "refuse" or self.down:
            return cut(request)
        if act.isdigit():
            return web.Response(status=int(act), text="Bad request: not for a reason that the gateway knows")
        if act == "before":
            await self._kill()
            return cut(request)
        answer = await self._forward(request, body)
        if act == "lost":
            return cut(request)
        if act == "after":
            await self._kill()
            return cut(request)
        if act == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        return answer

    async def _kill(self) -> None:
        await asyncio.to_thread(self.kill)

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name: request.headers[name] for name in ("authorization", "content-type") if name in request.headers}
        call: Awaitable[web.Response] = self._call(request, body, headers)
        try:
            return await call
        except (ClientError, TimeoutError, OSError):
            return cut(request)

    async def _call(self, request: web.Request, body: bytes, headers: dict[str, str]) -> web.Response:
        url = f"{self._target}{request.path_qs}"
        async with self._session.request(request.method, url, data=body, headers=headers) as response:
            kind = response.headers.get("content-type", "text/plain")
            return web.Response(status=response.status, body=await response.read(), headers={"content-type": kind})


def wamid_in(body: bytes) -> str:
    """The id of the message that a submission is about."""
    try:
        return str(json.loads(json.loads(body)["delivery"])["message"]["id"])
    except (KeyError, TypeError, ValueError):
        return ""


def cut(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response(status=502)
