# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""What routes share: arguments out of a request, checked values, one shape of answers and errors.

A script of a route serves a form in Windmill as well. There its arguments are the form's fields; on the route
`preprocessor` hands everything over as `request`, and `answering` fills the arguments in from it:

- as JSON *text*, since Windmill resolves `$var:` and `$res:` in arguments at every depth, and what somebody
  sends must not fetch a secret. For the same reason the request is read as the run's record has it, of its body
  only the raw text, and an error never repeats what was sent.
- without secrets and files: those stay in this process, which Windmill ends with the job. They are never stored.
"""

import functools
import hashlib
import inspect
import json
import re
import traceback
from collections.abc import Callable, Collection
from datetime import date
from decimal import Decimal
from typing import Any, ParamSpec
from urllib.parse import urlsplit
from uuid import UUID

from f.lib.windmill import event_as_sent

P = ParamSpec("P")

SLUG = r"[a-z0-9][a-z0-9-]{0,59}"
UUID_TEXT = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

#: Ports of public addresses; f/lib/outside.py calls these only (and is too heavy to import here).
PORTS = (None, 443, 8080, 8443)

#: What no text may hold: control characters but for tab and line feed, and halves of characters.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

#: Secrets among the arguments of this process' request.
_unstored: dict[str, Any] = {}

#: The file that came as its body, if the route takes one.
_files: list[Any] = []


class ApiError(Exception):
    """A request that is not followed. `code` is for programs, the message for people."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status = status
        self.code = code

    def body(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": str(self)}}


def invalid(name: str, why: str) -> ApiError:
    """An argument that cannot be used."""
    return ApiError(422, "invalid_argument", f"{name}: {why}")


# Requests and answers ---------------------------------------------------------------------------


def request_of(
    event: dict[str, Any],
    accepted: Collection[str],
    secrets: Collection[str] = (),
    take_file: Callable[[dict[str, Any]], tuple[Any, dict[str, Any]]] | None = None,
) -> dict[str, Any]:
    """What a run keeps of a request: who calls (the hash of the key) and the arguments but for `secrets`.

    Query, then body, then path: the later one counts. `take_file` is given the request instead of JSON being read
    from its body; what it returns is this process' `sent_file`, and arguments that came with it. What is wrong with the
    request is its `problem`, told once the caller is known. Raises WindmillError where Windmill does not say what was
    sent.
    """
    _unstored.clear()
    _files.clear()
    event = event_as_sent(event)
    problem = None
    found: dict[str, Any] = {}
    if take_file is not None:
        file, found = take_file(event)
        _files.append(file)
        event = {name: value for name, value in event.items() if name not in ("body", "raw_string")}
    query, params = event.get("query") or {}, event.get("params") or {}
    # Where the body is none, what the path names counts all the same.
    stored: dict[str, Any] = {**query, **found, **params}
    try:
        stored = {**query, **found, **_body(event), **params}
        if unknown := stored.keys() - set(accepted):
            names = ", ".join(sorted(name for name in unknown if re.fullmatch(r"\w{1,40}", name))) or "some"
            problem = f"unknown arguments: {names}; known are {', '.join(sorted(accepted))}"
    except (ValueError, RecursionError):
        problem = "the body must be a JSON object"
    _unstored.update({name: stored.pop(name) for name in secrets if name in stored})
    return {"key_hash": key_hash(event), "arguments": json.dumps(stored), "problem": problem}


def sent_file() -> Any:
    """What the route's `take_file` made of the request; None where none came."""
    return _files[-1] if _files else None


def refuse_problem(request: dict[str, Any]) -> None:
    """Tell the caller, who is known by now, what is wrong with the request. Raises ApiError 422."""
    if request.get("problem"):
        raise ApiError(422, "invalid_request", request["problem"])


def _body(event: dict[str, Any]) -> dict[str, Any]:
    text = event.get("raw_string") or ""
    if not text.strip():
        if event.get("body"):
            raise ValueError("the route does not pass on the body's text")
        return {}
    value = json.loads(text, parse_constant=_refuse)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def key_hash(event: dict[str, Any]) -> str:
    """The SHA-256 of the bearer key in hex; empty when there is none."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    scheme, _, key = str(headers.get("authorization") or "").partition(" ")
    key = key.strip()
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest() if scheme.lower() == "bearer" and key else ""


def accepted_by(main: Callable[..., Any]) -> list[str]:
    """The arguments that a caller of the route may give to the script `main`."""
    return [name for name in inspect.signature(main).parameters if name != "request"]


def answering(status: int = 200) -> Callable[[Callable[P, dict[str, Any]]], Callable[P, dict[str, Any]]]:
    """On the route, `main` answers with `status`, and whatever it raises becomes an error of the one shape.

    In the form it returns and raises like any script.
    """

    def decorate(main: Callable[P, dict[str, Any]]) -> Callable[P, dict[str, Any]]:
        names = accepted_by(main)

        @functools.wraps(main)
        def answer(*args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
            request: Any = kwargs.get("request")
            if request is None:
                return main(*args, **kwargs)
            try:
                sent = {**_unstored, **json.loads(request["arguments"])}
                return _answer(status, main(**{**dict.fromkeys(names), **_only(sent, names)}, request=request))  # type: ignore[call-arg]
            except ApiError as error:
                if error.status >= 500:
                    traceback.print_exc()
                return _answer(error.status, error.body())
            except Exception:  # noqa: BLE001  # the log is for operators; callers are told nothing of our insides
                traceback.print_exc()
                fault = ApiError(500, "internal", "this is our fault; the run's log says more to an operator")
                return _answer(fault.status, fault.body())

        return answer

    return decorate


def _only(values: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _answer(status: int, result: dict[str, Any]) -> dict[str, Any]:
    return {"windmill_status_code": status, "windmill_headers": {"cache-control": "no-store"}, "result": result}


def plain(value: Any) -> Any:
    """`value` as JSON has it: ids as text, moments in ISO 8601, exact numbers as numbers."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value) if isinstance(value, UUID) else value


# Values -----------------------------------------------------------------------------------------


def text(name: str, value: Any, *, most: int = 200, pattern: str | None = None, what: str = "") -> str:
    """A text of 1 to `most` characters, one that fits `pattern` whole. Raises ApiError."""
    if value is None:
        raise invalid(name, "is missing")
    if not isinstance(value, str) or not value.strip():
        raise invalid(name, "must be a text that is not empty")
    if len(value) > most:
        raise invalid(name, f"must have {most} characters at most")
    if UNPRINTABLE.search(value):
        raise invalid(name, "must not have control characters")
    if pattern and not re.fullmatch(pattern, value):
        raise invalid(name, f"must be {what}")
    return value


def slug(name: str, value: Any) -> str:
    return text(name, value, pattern=SLUG, what="small letters, digits and hyphens, 60 at most")


def uuid(name: str, value: Any) -> str:
    return text(name, value.lower() if isinstance(value, str) else value, pattern=UUID_TEXT, what="a UUID")


def choice(name: str, value: Any, choices: Collection[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise invalid(name, f"must be one of {', '.join(choices)}")
    return value


def number(name: str, value: Any, least: float, most: float) -> float:
    """A number in the range; from a query it comes as text."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}(\.\d{1,6})?", value, re.ASCII):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise invalid(name, f"must be a number from {least:g} to {most:g}")
    return value


def integer(name: str, value: Any, least: int, most: int) -> int:
    value = number(name, value, least, most)
    if int(value) != value:
        raise invalid(name, "must be a whole number")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """True or false; from a query it comes as text."""
    value = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    if not isinstance(value, bool):
        raise invalid(name, "must be true or false")
    return value


def texts(name: str, value: Any, *, most: int = 50, longest: int = 128) -> list[str]:
    """A list of different texts."""
    if not isinstance(value, list) or len(value) > most:
        raise invalid(name, f"must be a list of {most} texts at most")
    return list(dict.fromkeys(text(name, item, most=longest) for item in value))


def public_url(name: str, value: Any) -> str:
    """An https address of a host that is named, not numbered: none of our own insides."""
    address = text(name, value, most=500, pattern=r"[!-~]+", what="an address without spaces")
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise invalid(name, "must be an address") from None
    named = re.fullmatch(r"([a-z0-9_-]+\.)+[a-z][a-z0-9-]*", host)
    inside = host.endswith((".localhost", ".local", ".internal", ".lan", ".home", ".arpa"))
    if parts.scheme != "https" or parts.username is not None or not named or inside or port not in PORTS:
        raise invalid(name, "must be a public https address, such as https://www.example.com/prices")
    return address
