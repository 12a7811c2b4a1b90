"""The gateway's HTTP side: verify, split, queue; answer 200 only when every run is queued."""

import asyncio
import hmac
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway import split
from gateway.config import Config
from gateway.excess import Excess
from gateway.metrics import Metrics
from gateway.refusals import (
    BadSignature,
    BadVerifyToken,
    BodyTooLarge,
    BodyTooSlow,
    BodyTruncated,
    MalformedDelivery,
    NotQueued,
    Refusal,
    TooManyFailures,
    Unverified,
    WindmillUnreachable,
    explain,
    explain_http,
)
from gateway.signature import HEADER, AppSecret, claimed_digest, signing_app
from gateway.throttle import Throttle, client_key
from gateway.upstream import Outcome, Submission, Windmill, open_session

log = logging.getLogger("gateway")

#: Bytes of a body. Meta sends at most 3 MB.
MAX_BODY = 4 * 1024 * 1024
#: Seconds for a body to arrive, and from then on for its runs to be queued: an answer within 3 s in either case.
BODY_SECONDS = 3.0
QUEUE_SECONDS = 2.6


class Gateway:
    """The endpoints and what they share. `windmill` exists while the app runs."""

    windmill: Windmill

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self.throttle = Throttle(config.unverified_limit)
        self.excess = Excess(config, self.metrics)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with open_session() as session, self.excess:
            self.windmill = Windmill(session, self.config, self.metrics)
            yield

    async def verify(self, request: Request) -> Response:
        """Meta's check that the webhook is ours: repeat its challenge."""
        result = "verified"
        query = request.query_params
        token = query.get("hub.verify_token", "").encode()
        known = hmac.compare_digest(token, self.config.verify_token.encode())
        try:
            if not known or query.get("hub.mode") != "subscribe" or "hub.challenge" not in query:
                raise await self._unverified(request, BadVerifyToken())
        except Refusal as refusal:
            result = refusal.code
            raise
        finally:
            self.metrics.verifications.labels(result).inc()
            log.info("verification", extra={"fields": {"result": result}})
        return PlainTextResponse(query["hub.challenge"], headers={"x-content-type-options": "nosniff"})

    async def deliver(self, request: Request) -> Response:
        """One delivery: 200 when all of it is queued (or ignored for a reason), else a Refusal."""
        started = time.perf_counter()
        facts: dict[str, Any] = {"result": "crashed"}
        try:
            try:
                app_id, body = await _verified_body(request, self.config.app_secrets)
            except Unverified as refusal:
                raise await self._unverified(request, refusal) from None
            return await self._accept(app_id, body, facts)
        except Refusal as refusal:
            facts["result"] = refusal.code
            raise
        finally:
            self.metrics.deliveries.labels(facts["result"]).inc()
            facts["ms"] = round((time.perf_counter() - started) * 1000, 1)
            log.info("delivery", extra={"fields": facts})

    async def health(self, request: Request) -> Response:
        """The process is alive."""
        return JSONResponse({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Deliveries can be queued: Windmill answers."""
        if not await self.windmill.reachable():
            raise WindmillUnreachable
        return JSONResponse({"status": "ready"})

    async def show_metrics(self, request: Request) -> Response:
        return Response(self.metrics.render(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def _unverified(self, request: Request, refusal: Unverified) -> Refusal:
        """Count a request that did not verify. No other request meets the limit."""
        peer = request.client.host if request.client else ""
        client = client_key(peer, request.headers.getlist("x-forwarded-for"), self.config.trusted_proxies)
        if await self.throttle.failed(client):
            return TooManyFailures(retry_after=self.throttle.retry_after, unread=refusal.unread)
        return refusal

    async def _accept(self, app_id: str, body: bytes, facts: dict[str, Any]) -> Response:
        """Queue a verified body. Puts what the log shall say into `facts`."""
        deadline = asyncio.get_running_loop().time() + QUEUE_SECONDS
        facts |= {"app_id": app_id, "bytes": len(body)}
        try:
            delivery = split.parse(body)
        except split.Malformed as error:
            raise MalformedDelivery(str(error)) from error
        if delivery["object"] != split.WHATSAPP:
            facts |= {"result": "ignored", "reason": "not about WhatsApp"}
            return JSONResponse({"ignored": "not about WhatsApp"})
        parts = split.read(delivery)
        origin = split.Origin(app_id, split.digest(body), datetime.now(UTC))
        runs = await self.excess.mark(split.runs(parts, origin), app_id, origin.received_at)
        submission = await self.windmill.submit(runs, deadline)
        limited = self._count_limited(submission)
        self.metrics.unreadable.inc(parts.unreadable)
        jobs = {outcome: submission.of(outcome) for outcome in Outcome}
        facts |= {outcome.value: [str(job_id) for job_id in job_ids] for outcome, job_ids in jobs.items()}
        facts["messages"] = [{"wamid": run.wamid, "job_id": str(run.job_id)} for run in runs if run.wamid]
        facts |= {"unreadable": parts.unreadable, "limited": limited, "failed_calls": submission.failed_calls}
        if jobs[Outcome.FAILED]:
            raise NotQueued
        facts["result"] = "queued"
        return JSONResponse({outcome.value: len(jobs[outcome]) for outcome in (Outcome.QUEUED, Outcome.ALREADY_QUEUED)})

    def _count_limited(self, submission: Submission) -> Counter[str]:
        """How many messages were queued as beyond a limit, by whose. A repeated one was counted when it was queued."""
        queued = set(submission.of(Outcome.QUEUED))
        scopes = Counter(scope for run in submission.runs if run.job_id in queued and (scope := run.limited))
        for scope, number in scopes.items():
            self.metrics.limited.labels(scope).inc(number)
        return scopes


def build_app(config: Config) -> Starlette:
    """The ASGI application. It opens its connections to Windmill when it starts."""
    gateway = Gateway(config)
    return Starlette(
        routes=[
            Route("/webhook", gateway.verify, methods=["GET"]),
            Route("/webhook", gateway.deliver, methods=["POST"]),
            Route("/health", gateway.health),
            Route("/ready", gateway.ready),
            Route("/metrics", gateway.show_metrics),
        ],
        exception_handlers={Refusal: explain, HTTPException: explain_http},
        lifespan=gateway.lifespan,
    )


async def _verified_body(request: Request, secrets: Sequence[AppSecret]) -> tuple[str, bytes]:
    """The app that signed the request, and the body. The body is read only if it can verify at all.

    Raises BodyTooLarge, BadSignature, BodyTooSlow, BodyTruncated.
    """
    if _declared_length(request) > MAX_BODY:
        raise BodyTooLarge(unread=True)
    digest = claimed_digest(request.headers.getlist(HEADER))
    if digest is None:
        raise BadSignature(unread=True)
    body = await _read_body(request)
    app_id = signing_app(secrets, body, digest)
    if app_id is None:
        raise BadSignature
    return app_id, body


def _declared_length(request: Request) -> int:
    """What the request says of its body's size; a body may well be longer, or of no declared length."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() and len(declared) < 20 else 0


async def _read_body(request: Request) -> bytes:
    """The body. Raises BodyTooLarge as soon as it is, BodyTooSlow and BodyTruncated when it does not arrive."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise BodyTooLarge(unread=True)
    except TimeoutError as error:
        raise BodyTooSlow(unread=True) from error
    except ClientDisconnect as error:
        raise BodyTruncated from error
    return bytes(body)
