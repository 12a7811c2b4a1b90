"""What all of the API's endpoints share: answers, errors, and waiting for a job."""

import asyncio
import functools
import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import psycopg
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.engine.access import Access, Caller
from local.engine.bodies import BadBody, read_body
from local.engine.engine import Engine, JobExists, UnknownTarget
from local.engine.jobs import Ended
from local.engine.store import Unavailable

#: Bytes of a request's body.
MAX_BODY = 64 << 20


class ApiError(Exception):
    """An answer other than the one that was hoped for; the text is Windmill's where callers compare it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def not_found(text: str) -> ApiError:
    return ApiError(404, f"Not found: {text}")


def bad_request(text: str) -> ApiError:
    return ApiError(400, f"Bad request: {text}")


@dataclass(frozen=True)
class Call:
    """A request, with what an endpoint needs to answer it."""

    request: Request
    engine: Engine
    access: Access
    caller: Caller
    body: bytes

    def __getitem__(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def json(self) -> dict[str, Any]:
        """The body, which must be an object."""
        value = read_body(self.body, "application/json").value
        if not isinstance(value, dict):
            raise bad_request("a JSON object is expected")
        return value

    def job_id(self, name: str = "id") -> UUID:
        return parse_id(self[name])

    def require(self, scope: str) -> None:
        """Raises ApiError unless the caller's token covers `scope`."""
        if not self.caller.may(scope):
            raise ApiError(403, f"Permission denied: the token lacks the scope {scope}")


Endpoint = Callable[[Call], Response | Awaitable[Response]]


def endpoint(engine: Engine, access: Access, answer: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """Serve `answer` to callers with a token that covers it. One that is no coroutine runs on a thread."""

    @functools.wraps(answer)
    async def serve(request: Request) -> Response:
        workspace = request.path_params.get("workspace", engine.name)
        caller = await run_in_threadpool(access.caller, bearer(request))
        if caller is None:
            known = bearer(request) is not None
            return text_answer("Not authorized: Unauthorized", 401) if known else plain_answer("Unauthorized", 401)
        if workspace != engine.name:
            raise not_found(f"workspace not found at name {workspace}")
        domain, action = _use(request)
        if not caller.may_use(domain, action):
            raise ApiError(403, f"Permission denied: the token lacks the scope {domain}:{action}")
        return await answered(answer, Call(request, engine, access, caller, await read(request)))

    return serve


def signed_endpoint(engine: Engine, access: Access, answer: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """Serve `answer` to whoever has its address from us: it ends in {id}/{nonce}/{signature}."""

    @functools.wraps(answer)
    async def serve(request: Request) -> Response:
        given = request.path_params
        if given["workspace"] != engine.name or not access.is_signed(
            f"{given['id']}:{given['nonce']}", given["signature"]
        ):
            raise ApiError(401, "Not authorized: the signature is not ours")
        approver = Caller(request.query_params.get("approver") or "anonymous", scopes=())
        return await answered(answer, Call(request, engine, access, approver, await read(request)))

    return serve


async def answered(answer: Endpoint, call: Call) -> Response:
    if inspect.iscoroutinefunction(answer):
        return cast(Response, await answer(call))
    return cast(Response, await run_in_threadpool(answer, call))


def _use(request: Request) -> tuple[str, str]:
    """Domain and action of Windmill's scopes that a request of the API needs."""
    parts = request.url.path.split("/")
    place = parts[4:] if parts[2] == "w" else parts[2:]
    if place[0] == "jobs" and (place[1].startswith("run") or place[1:3] == ["flow", "resume"]):
        return "jobs", "run"
    return place[0].removesuffix("_u"), "read" if request.method == "GET" else "write"


async def read(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise ApiError(413, f"the body is larger than {MAX_BODY >> 20} MB")
    return bytes(body)


def bearer(request: Request) -> str | None:
    """The token of a request: a header, or `?token=`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return request.query_params.get("token")


async def wait_for(engine: Engine, job_id: UUID, request: Request, by: str) -> Ended | None:
    """How the job ended; None when the caller hung up first, and then the job is cancelled."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Ended] = loop.create_future()

    def tell(item: Ended) -> None:
        loop.call_soon_threadsafe(settle, item)

    def settle(item: Ended) -> None:
        if not ended.done():
            ended.set_result(item)

    await run_in_threadpool(engine.watch, job_id, tell)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        waited: list[asyncio.Future[Any]] = [ended, gone]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return ended.result()
    finally:
        gone.cancel()
        engine.forget(job_id)
    await run_in_threadpool(engine.cancel, job_id, by, "the caller hung up")
    return None


def result_answer(ended: Ended) -> Response:
    """A result as the caller who waited for it gets it: a script may choose status, headers and content type."""
    status = 200 if ended.success and not ended.skipped else 422
    if not isinstance(ended.result, dict) or not ended.result.keys() & CHOSEN:
        return JSONResponse(ended.result, status)
    try:
        return _chosen_answer(ended.result, status)
    except (ValueError, TypeError, AttributeError) as error:
        return text_answer(f"Internal: the answer that the script chose cannot be given: {error}", 500)


def _chosen_answer(result: dict[str, Any], status: int) -> Response:
    headers = {str(name).lower(): str(value) for name, value in (result.get("windmill_headers") or {}).items()}
    kind = result.get("windmill_content_type")
    if kind is not None:
        headers["content-type"] = str(kind)
    for name, header in headers.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(header):
            raise ValueError(f"{name!r}: {header!r} is no header")
    status = int(result.get("windmill_status_code") or status)
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is no status")
    value = result.get("result")
    if status in (204, 304):
        return Response(None, status, {"content-type": "application/json", **headers})
    if kind is None:
        return JSONResponse(value, status, headers)
    return Response(value if isinstance(value, str) else _dump(value), status, headers)


HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
CHOSEN = {"windmill_status_code", "windmill_headers", "windmill_content_type"}


def text_answer(text: str, status: int) -> Response:
    """Most of Windmill's errors: text without a character set."""
    return Response(text, status, {"content-type": "text/plain"})


def plain_answer(text: str, status: int = 200) -> Response:
    return Response(text, status, {"content-type": "text/plain; charset=utf-8"})


def explain(_: Request, error: Exception) -> Response:
    """Errors as Windmill words them."""
    match error:
        case ApiError():
            return text_answer(error.text, error.status)
        case BadBody() | JobExists():
            return text_answer(f"Bad request: {error}", 400)
        case UnknownTarget():
            return text_answer(f"Not found: {error}", 404)
        case psycopg.DataError():
            return text_answer(f"Bad request: {error}", 400)
        case Unavailable():
            return text_answer("Internal: the engine's database does not answer", 503)
    raise error


EXPLAINED: tuple[type[Exception], ...] = (
    ApiError,
    BadBody,
    JobExists,
    UnknownTarget,
    Unavailable,
    psycopg.DataError,
)


def parse_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise bad_request(f"{text[:80]!r} is not a UUID") from None


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _dump(value: Any) -> bytes:
    return bytes(JSONResponse(value).body)
