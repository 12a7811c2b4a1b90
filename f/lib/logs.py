# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Logs as one JSON object a line: ids, decisions and durations, never what customers wrote, their numbers or secrets.

Only the standard library, and little of it: every step imports this.
"""

import functools
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: What Windmill tells a job of itself.
IDS = {"job_id": "WM_JOB_ID", "flow_job_id": "WM_FLOW_JOB_ID", "path": "WM_JOB_PATH"}
#: Ids in the objects `turn` and `conversation` that steps hand on.
TURN_IDS = ("organization_id", "conversation_id", "turn_id", "fence")

#: Longest text of one field: ids, names of states and errors are shorter.
MOST_CHARACTERS = 200

WITHHELD = "the text is withheld, it may quote a customer; type and place are in the log"

_noted: dict[str, Any] = {}


def log(event: str, *, level: str = "info", **fields: Any) -> None:
    """Write a line. `fields` are ids, numbers, and words of ours; what is None is left out."""
    line: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}
    line |= {name: value for name, variable in IDS.items() if (value := os.environ.get(variable))}
    line |= {name: _plain(value) for name, value in fields.items() if value is not None}
    print(json.dumps(line), flush=True)


def note(**fields: Any) -> None:
    """Add to the line that the running step writes at its end."""
    _noted.update(fields)


def logged(main: Callable[P, R]) -> Callable[P, R]:
    """A step whose end is logged: what it decided, for which message, conversation and turn, and how long it took.

    What it raises is logged as type and place, and goes on without its text: Windmill keeps that with the run and
    shows it, and texts of exceptions quote what they stumbled over.
    """
    step = main.__module__.rpartition(".")[2]

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        _noted.clear()
        started = time.perf_counter()
        names = main.__code__.co_varnames[: main.__code__.co_argcount]
        facts = _ids(dict(zip(names, args, strict=False)) | kwargs)
        try:
            result = main(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  # raised again, whatever it is
            log(step, level="error", **facts | _noted | _ms(started) | described(error))
            raise without_text(error) from None
        told = result if isinstance(result, dict) else {}
        decided = {name: value for name, value in told.items() if isinstance(value, str | int | float | bool)}
        log(step, **facts | _ids(told) | decided | _noted | _ms(started))
        return result

    return run


def described(error: BaseException) -> dict[str, Any]:
    """Type and place of an error, and its code where it has one."""
    stack = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        stack.append(f"{os.path.relpath(code.co_filename)}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "code": getattr(error, "sqlstate", None), "stack": stack[-8:]}


def without_text(error: BaseException) -> BaseException:
    """The error itself, its text, attributes and causes taken away; one of the same name where that cannot be done.

    Windmill shows attributes with the run: that of a refused connection to the database has its password.
    """
    vars(error).clear()
    error.args = (WITHHELD,)
    error.__cause__ = error.__context__ = None
    try:
        shown = str(error)
    except Exception:  # noqa: BLE001  # its text may be made of the attributes
        shown = ""
    if WITHHELD in shown and len(shown) <= len(WITHHELD) + 2:
        return error
    return type(type(error).__name__, (Exception,), {})(WITHHELD).with_traceback(error.__traceback__)


def _ids(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for holder in (values.get("conversation"), values.get("turn")):
        if isinstance(holder, dict):
            found |= {name: holder[name] for name in TURN_IDS if name in holder}
    return found


def _ms(started: float) -> dict[str, Any]:
    return {"ms": round((time.perf_counter() - started) * 1000)}


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value[:50]]
    if isinstance(value, dict):
        return {str(name)[:MOST_CHARACTERS]: _plain(item) for name, item in value.items()}
    return str(value)[:MOST_CHARACTERS]
