"""HTTP routes of the workspace: `/api/r/…` runs the script or flow of a trigger."""

import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from local.engine import values
from local.engine.access import ADMIN, Access
from local.engine.bodies import MULTIPART, read_body
from local.engine.engine import Engine
from local.engine.expressions import NotFound
from local.engine.http import ApiError, bearer, not_found, plain_answer, read, result_answer, wait_for
from local.engine.object_api import read_form
from local.engine.workspace import HttpTrigger


@dataclass(frozen=True)
class Match:
    trigger: HttpTrigger
    params: dict[str, str]


class Routes:
    """The triggers of a workspace. Where several fit a path, the one with the fewest parameters answers."""

    def __init__(self, engine: Engine, access: Access) -> None:
        self._engine = engine
        self._access = access
        triggers = sorted(engine.workspace.triggers, key=lambda trigger: len(re.findall(r"[:*]", trigger.route_path)))
        self._patterns = [(self._pattern(trigger), trigger) for trigger in triggers]

    async def serve(self, request: Request) -> Response:
        """Answer a request below `/api/r`."""
        return await self.answer(request, request.path_params["path"])

    async def answer(self, request: Request, path: str, *, as_text: bool = False) -> Response:
        """`as_text`: whatever the body is said to be, the script gets its text and no reference in it is followed."""
        match = self._match(request.method.lower(), path)
        if match is None:
            raise not_found(f"Trigger not found at name /{path}")
        trigger = match.trigger
        await run_in_threadpool(self._authenticate, trigger, request)
        content_type = "text/plain" if as_text else request.headers.get("content-type", "")
        data = await read(request)
        if content_type.startswith(MULTIPART):
            body = await read_form(self._engine.storage, data, request.headers)
        else:
            body = read_body(data, content_type, raw_string=trigger.raw_string)
        script = None if trigger.is_flow else self._engine.workspace.scripts.get(trigger.target)
        flow = self._engine.workspace.flows.get(trigger.target) if trigger.is_flow else None
        preprocess = bool((script and script.has_preprocessor) or (flow and flow.value.get("preprocessor_module")))
        args = body.arguments(wrapped=trigger.wrap_body)
        if preprocess:
            args = {"event": self._event(request, path, match, {"body": body.value, "raw_string": body.raw_string})}
        submit = partial(
            self._engine.submit,
            trigger.target,
            args,
            is_flow=trigger.is_flow,
            by=ADMIN,
            trigger="http",
            preprocess=preprocess,
        )
        job_id = await run_in_threadpool(submit)
        if trigger.is_async:
            return plain_answer(str(job_id), 201)
        ended = await wait_for(self._engine, job_id, request, ADMIN)
        return result_answer(ended) if ended else plain_answer("", 499)

    def _event(self, request: Request, path: str, match: Match, body: dict[str, Any]) -> dict[str, Any]:
        """What a preprocessor gets."""
        return {
            "kind": "http",
            **body,
            "params": match.params,
            "query": dict(parse_qsl(request.url.query, keep_blank_values=True)),
            "headers": dict(request.headers),
            "method": request.method.lower(),
            "route": match.trigger.route_path,
            "path": path,
            "trigger_path": match.trigger.path,
        }

    def _match(self, method: str, path: str) -> Match | None:
        for pattern, trigger in self._patterns:
            if trigger.method == method and (found := pattern.fullmatch(path)):
                names = re.findall(r"[:*]([-\w]+)", trigger.route_path)
                return Match(trigger, dict(zip(names, found.groups(), strict=True)))
        return None

    def _pattern(self, trigger: HttpTrigger) -> re.Pattern[str]:
        route = f"{self._engine.name}/{trigger.route_path}" if trigger.workspaced else trigger.route_path
        parts = [
            "([^/]+)" if part.startswith(":") else "(.*)" if part.startswith("*") else re.escape(part)
            for part in route.split("/")
        ]
        return re.compile("/".join(parts))

    def _authenticate(self, trigger: HttpTrigger, request: Request) -> None:
        match trigger.authentication:
            case "windmill":
                if self._access.caller(bearer(request)) is None:
                    raise ApiError(401, "Not authorized: Requires authentication")
            case "api_key":
                wanted = self._credentials(trigger)
                given = request.headers.get(str(wanted.get("api_key_header", "")), "")
                if not _same(given, wanted.get("api_key_secret")):
                    raise ApiError(401, "Not authorized: Invalid API key")
            case "basic_http":
                wanted = self._credentials(trigger)
                if not _same(_basic(request), f"{wanted.get('username')}:{wanted.get('password')}"):
                    raise ApiError(401, "Not authorized: Invalid credentials")

    def _credentials(self, trigger: HttpTrigger) -> dict[str, Any]:
        try:
            found = self._engine.store.run(lambda c: values.resource(c, str(trigger.credentials)), 20)
        except NotFound as error:
            raise not_found(str(error)) from None
        return dict(found)


def _same(given: str, wanted: Any) -> bool:
    return isinstance(wanted, str) and bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


def _basic(request: Request) -> str:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        return base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        return ""
