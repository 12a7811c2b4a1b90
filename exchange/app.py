"""Between steps that read what strangers wrote and the database: docs/knowledge.md says who may ask for what."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from exchange.bodies import MAX_BODY, FailureBody, NextBody, OutcomeBody, SiteBody, TextBody
from exchange.config import Config
from f.knowledge import crawling, tickets, versions
from f.knowledge.crawling import Run
from f.knowledge.sites import Site
from f.knowledge.versions import Job
from f.lib.database import SESSION, Connection
from f.lib.http import ApiError, plain
from f.lib.signatures import TokenRefused

log = logging.getLogger("exchange")

#: Seconds until there is a connection.
POOL_SECONDS = 3.0

B = TypeVar("B", bound=BaseModel)
S = TypeVar("S", Job, Run)

#: What an endpoint does for whom the ticket is for, with the request's body.
Answer = Callable[[Connection, S, bytes], Response]


class Exchange:
    """The endpoints and what they share."""

    def __init__(self, config: Config) -> None:
        self._key = config.signing_key
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            config.database_url,
            min_size=1,
            max_size=8,
            open=False,
            timeout=POOL_SECONDS,
            check=ConnectionPool.check_connection,
            kwargs={"autocommit": True, "row_factory": dict_row, "options": SESSION, "connect_timeout": 5},
        )

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._pool.open()
        try:
            yield
        finally:
            self._pool.close()

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health),
            self._route("GET", "/source", tickets.SOURCE, Job, show_source),
            self._route("GET", "/source/file", tickets.SOURCE, Job, hand_out_file),
            self._route("PUT", "/source/text", tickets.SOURCE, Job, keep_text),
            self._route("PUT", "/source/unchanged", tickets.SOURCE, Job, keep_unchanged),
            self._route("PUT", "/source/failure", tickets.SOURCE, Job, fail_source),
            self._route("GET", "/crawl", tickets.CRAWL, Run, show_crawl),
            self._route("PUT", "/crawl/site", tickets.CRAWL, Run, keep_site),
            self._route("PUT", "/crawl/failure", tickets.CRAWL, Run, fail_crawl),
            self._route("POST", "/crawl/next", tickets.CRAWL, Run, next_page),
            self._route("PUT", "/crawl/page", tickets.CRAWL, Run, settle_page),
        ]

    async def health(self, request: Request) -> Response:
        await self._work(lambda connection: connection.execute("select 1"))
        return JSONResponse({"status": "ok"})

    def _route(self, method: str, path: str, use: str, kind: Callable[..., S], answer: Answer[S]) -> Route:
        async def serve(request: Request) -> Response:
            scheme, _, ticket = request.headers.get("authorization", "").partition(" ")
            try:
                subject = kind(**tickets.read(use, ticket if scheme.lower() == "bearer" else "", self._key))
            except TokenRefused as error:
                raise ApiError(401, "unauthorized", f"a valid ticket is needed: {error}") from error
            body = await read_body(request)
            return await self._work(lambda connection: answer(connection, subject, body))

        return Route(path, serve, methods=[method])

    async def _work(self, work: Callable[[Connection], Any]) -> Any:
        """Raises ApiError 503 when the database does not answer."""

        def run() -> Any:
            with self._pool.connection() as connection:
                return work(connection)

        try:
            return await run_in_threadpool(run)
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("unavailable", extra={"fields": {"error": type(error).__name__}})
            raise ApiError(503, "unavailable", "the database cannot do this now: try again") from error


# A source ---------------------------------------------------------------------------------------


def show_source(connection: Connection, job: Job, body: bytes) -> Response:
    state, source = versions.look(connection, job)
    if state != "wanted":
        return JSONResponse({"state": state})
    shown = ("kind", "name", "url", "content_type", "attempts")
    known = versions.validators(connection, job, source)
    return JSONResponse({"state": state} | {name: source[name] for name in shown} | known)


def hand_out_file(connection: Connection, job: Job, body: bytes) -> Response:
    state, source = versions.look(connection, job)
    if state == "wanted" and source["file_sha256"]:
        try:
            data = versions.read_file(connection, job, source["file_sha256"])
        except versions.Refused as error:
            versions.fail(connection, job, error.code, str(error))
        else:
            return Response(data, media_type="application/octet-stream")
    raise ApiError(410, "gone", "there is no file of this version to be read")


def keep_text(connection: Connection, job: Job, body: bytes) -> Response:
    given = parsed(TextBody, body)
    state = versions.keep(connection, job, given.extraction(), given.etag, given.last_modified)
    return JSONResponse({"state": state})


def keep_unchanged(connection: Connection, job: Job, body: bytes) -> Response:
    try:
        return JSONResponse({"state": versions.keep_unchanged(connection, job)})
    except ValueError as error:
        raise ApiError(409, "not_asked", str(error)) from None


def fail_source(connection: Connection, job: Job, body: bytes) -> Response:
    failure = parsed(FailureBody, body)
    state, _ = versions.look(connection, job)
    has_failed = state == "wanted" and versions.fail(connection, job, failure.code, failure.message)
    return JSONResponse({"state": "failed" if has_failed else state})


# A crawl ----------------------------------------------------------------------------------------


def show_crawl(connection: Connection, run: Run, body: bytes) -> Response:
    state, crawl = crawling.look(connection, run)
    shown = ("url", "most_pages", "most_depth", "robots", "pause", "absent_words")
    return JSONResponse(plain({"state": state} | {name: crawl[name] for name in shown if crawl}))


def keep_site(connection: Connection, run: Run, body: bytes) -> Response:
    given = parsed(SiteBody, body)
    state, crawl = crawling.look(connection, run)
    if state == "wanted":
        state = crawling.prepared(connection, run, given.scouted(Site(crawl["url"]), crawl["most_pages"]))
    return JSONResponse({"state": state})


def fail_crawl(connection: Connection, run: Run, body: bytes) -> Response:
    failure = parsed(FailureBody, body)
    has_failed = crawling.fail(connection, run, failure.code, failure.message)
    return JSONResponse({"state": "failed" if has_failed else crawling.look(connection, run)[0]})


def next_page(connection: Connection, run: Run, body: bytes) -> Response:
    picked = crawling.pick(connection, run, has_turn=parsed(NextBody, body).has_turn)
    return JSONResponse({"state": picked.state, "page": picked.page, "wait": picked.wait})


def settle_page(connection: Connection, run: Run, body: bytes) -> Response:
    given = parsed(OutcomeBody, body)
    state, crawl = crawling.look(connection, run)
    job = None
    if state == "prepared":
        state, job = crawling.settle(connection, run, given.url, given.outcome(Site(crawl["url"])))
    return JSONResponse({"state": state, "is_taken": job is not None})


# Requests ---------------------------------------------------------------------------------------


async def read_body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                raise ApiError(413, "too_large", f"the body is larger than {MAX_BODY >> 20} MB")
    except ClientDisconnect:
        raise ApiError(400, "cut", "the request ended early") from None
    return bytes(body)


def parsed(kind: type[B], body: bytes) -> B:
    """Raises ApiError 422, whose text names places and kinds of faults and repeats nothing of the body."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in error.errors()[:5]]
        raise ApiError(422, "invalid", "; ".join(faults)) from None


async def explain(request: Request, error: Exception) -> Response:
    """The answer to a request that is not served."""
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), error.status)


async def explain_http(request: Request, error: Exception) -> Response:
    """The answer where Starlette itself refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    return JSONResponse(ApiError(error.status_code, "http", str(error.detail)).body(), error.status_code)


def build(config: Config) -> Starlette:
    exchange = Exchange(config)
    return Starlette(
        routes=exchange.routes(),
        lifespan=exchange.lifespan,
        exception_handlers={ApiError: explain, HTTPException: explain_http},
    )
