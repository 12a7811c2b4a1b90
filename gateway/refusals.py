"""Requests that are not served: why, with which status, and in which form the client reads it."""

import asyncio
from contextlib import suppress
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

#: Seconds during which the unread rest of a refused request is thrown away.
LINGER_SECONDS = 1.0


class Refusal(Exception):
    """A request that is not served. The text is what the client reads: nothing of the request is in it.

    `unread`: the body was not read to its end. `retry_after`: seconds.
    """

    status: int
    code: str

    def __init__(self, message: str | None = None, *, unread: bool = False, retry_after: int | None = None) -> None:
        super().__init__(message or self.__doc__)
        self.unread = unread
        self.retry_after = retry_after


class Unverified(Refusal):
    """Something that anyone may send: counted against its sender's address."""


class BadSignature(Unverified):
    """The signature is missing or does not fit the body."""

    status, code = 401, "bad_signature"


class BadVerifyToken(Unverified):
    """This is not the verification that was agreed on."""

    status, code = 403, "bad_verify_token"


class TooManyFailures(Refusal):
    """Too many requests from this address did not verify."""

    status, code = 429, "too_many_failures"


class BodyTooLarge(Unverified):
    """The body is larger than 4 MiB."""

    status, code = 413, "body_too_large"


class BodyTooSlow(Refusal):
    """The body did not arrive in time."""

    status, code = 408, "body_too_slow"


class BodyTruncated(Refusal):
    """The connection ended before the body did."""

    status, code = 400, "body_truncated"


class MalformedDelivery(Refusal):
    """The body is signed, but it is no delivery."""

    status, code = 400, "malformed"


class NotQueued(Refusal):
    """Not everything could be queued. What was queued stays so; send the delivery again."""

    status, code = 503, "not_queued"


class WindmillUnreachable(Refusal):
    """Windmill does not answer."""

    status, code = 503, "windmill_unreachable"


class ClosingResponse(JSONResponse):
    """Answers before the body was read, and closes the connection.

    A socket that is closed with unread bytes is reset, and the reset can overtake the answer. So
    the rest is thrown away for a moment first.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*self.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await receive()).get("more_body"):
                    pass
        await send({"type": "http.response.body", "body": b""})


async def explain(request: Request, refusal: Exception) -> Response:
    """The answer to a refused request."""
    assert isinstance(refusal, Refusal)
    headers = {"retry-after": str(refusal.retry_after)} if refusal.retry_after else None
    kind = ClosingResponse if refusal.unread else JSONResponse
    return kind(_error(refusal.code, str(refusal)), refusal.status, headers)


async def explain_http(request: Request, error: Exception) -> Response:
    """The answer where Starlette itself refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name.lower()
    return JSONResponse(_error(code, error.detail), error.status_code, error.headers)


def _error(code: str, message: str) -> dict[str, dict[str, str]]:
    return {"error": {"code": code, "message": message}}
