"""Calls of an installation's public routes, for the verbs of `./dev`."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from local.credentials import Credentials
from local.running import find_running
from local.settings import load

KEY_VARIABLE = "MILLRACE_API_KEY"


class CallError(Exception):
    """The call was refused, or could not be made; the message says why."""


def place(
    options: argparse.Namespace, environment: Mapping[str, str], own_key: Callable[[Credentials], str]
) -> tuple[str, str]:
    """Address and key, from `--api-url` and `--api-key` or the environment; else this installation's, with `own_key`.

    A key of this installation never goes elsewhere. Raises CallError.
    """
    key = options.api_key or environment.get(KEY_VARIABLE)
    if options.api_url:
        if not key:
            raise CallError(f"--api-url needs --api-key or {KEY_VARIABLE}")
        return options.api_url, key
    settings = load(environment)
    running = find_running(settings.data_dir)
    if running is None:
        raise CallError("nothing runs here: ./dev up first, or name an installation with --api-url")
    return running.settings.api_url, key or own_key(Credentials.load(settings.data_dir))


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
