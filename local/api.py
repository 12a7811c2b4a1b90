"""Calls of an installation's public routes, for the verbs of `./dev`."""

from collections.abc import Mapping
from typing import Any

import httpx

KEY_VARIABLE = "MILLRACE_API_KEY"


class CallError(Exception):
    """The call was refused, or could not be made; the message says why."""


def call(api_url: str, api_key: str, method: str, path: str, **request: Any) -> dict[str, Any]:
    """One call of the route `path` below /api; `request` is for httpx. Raises CallError."""
    headers = {"authorization": f"Bearer {api_key}", **request.pop("headers", {})}
    url = f"{api_url.rstrip('/')}/api/{path}"
    try:
        response = httpx.request(method, url, headers=headers, timeout=60, **request)
        answer = response.json()
    except httpx.HTTPError as error:
        raise CallError(f"{api_url} does not answer ({error}): run ./dev up first, or name another --api-url") from None
    except ValueError:
        raise CallError(f"{api_url} answered {response.status_code}, and not in JSON") from None
    if response.is_error:
        problem = answer.get("error") if isinstance(answer, Mapping) else None
        told = problem.get("message") if isinstance(problem, Mapping) else answer
        raise CallError(f"{told} ({response.status_code})")
    return dict(answer)
