"""Windmill's rules for flows, as far as they need nothing but a definition. Pure."""

import random
from dataclasses import dataclass
from typing import Any

from local.engine.expressions import ExpressionError, Scope, evaluate
from local.engine.jobs import failure

MAX_RETRY_SECONDS = 6 * 3600
LOOPS = ("forloopflow", "whileloopflow")
#: Steps that are one job: they have transforms of their own.
SINGLE = ("script", "rawscript", "flow")


@dataclass(frozen=True)
class Ending:
    """How a job ended."""

    success: bool
    result: Any
    #: Counts as skipped: a caller that waits for it is told so.
    skipped: bool = False
    #: An inner flow that was stopped early: whether the flow around it counts as skipped by that. None: not stopped.
    stop: bool | None = None
    #: A failure module has seen the error already.
    handled: bool = False
    logs: str = ""
    #: What a preprocessor made of the arguments.
    args: dict[str, Any] | None = None


def outcome(success: bool) -> str:
    return "Success" if success else "Failure"


def expression_failed(error: ExpressionError) -> Ending:
    return Ending(False, failure("ExecutionErr", f"Error during isolated evaluation of an expression:\n{error}"))


def transformed(transform: dict[str, Any], scope: Scope) -> Any:
    return transform["value"] if transform["type"] == "static" else evaluate(transform["expr"], scope)


def seconds_of(transform: dict[str, Any], scope: Scope) -> float:
    """A pause or a timeout. Raises ExpressionError when it is no number."""
    seconds = transformed(transform, scope)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise ExpressionError(f"Expected a number of seconds, found: {seconds!r}")
    return float(seconds)


def at_once_of(transform: dict[str, Any] | None, scope: Scope, count: int) -> int:
    """How many of `count` rounds may run at once. Raises ExpressionError when it is no number."""
    number = None if transform is None else transformed(transform, scope)
    if number is None:
        return count
    if isinstance(number, bool) or not isinstance(number, int | float) or number < 1:
        raise ExpressionError(f"Expected a parallelism of at least 1, found: {number!r}")
    return int(number)


def retry_pause(retry: dict[str, Any], failures: int) -> float | None:
    """Seconds until the next attempt; None when there is none. Constant attempts come first and count on."""
    constant, exponential = retry.get("constant") or {}, retry.get("exponential") or {}
    first = constant.get("attempts") or 0
    if failures < first:
        return float(constant.get("seconds") or 0)
    if failures >= first + (exponential.get("attempts") or 0):
        return None
    multiplier = exponential.get("multiplier")
    pause = (1 if multiplier is None else multiplier) * float(exponential["seconds"]) ** (failures + 1)
    jitter = pause * (exponential.get("random_factor") or 0) / 100
    return min(pause + random.uniform(-jitter, jitter), MAX_RETRY_SECONDS)  # noqa: S311  # no secret


def may_fail(value: dict[str, Any], index: int) -> bool:
    """Whether the failure of one round of a loop, or of one branch of all, is not the failure of all."""
    branches = value.get("branches")
    return bool(branches[index]["skip_failure"] if branches else value["skip_failures"])


def with_iter(args: dict[str, Any], item: dict[str, Any], name: str = "iter") -> dict[str, Any]:
    """`args` with `iter`; that of a loop around this one becomes `iter_parent`."""
    outer = with_iter(args, args[name], f"{name}_parent") if name in args else args
    return {**outer, name: item}


def is_simple(modules: list[dict[str, Any]], flow: dict[str, Any]) -> bool:
    """A loop over one plain step needs no inner flow: each round is that step's job, named as the loop."""
    if len(modules) != 1 or flow.get("failure_module"):
        return False
    known = {"id", "value", "summary", "timeout"}
    given = {key for key, value in modules[0].items() if value not in (None, False)}
    return modules[0]["value"]["type"] in SINGLE and given <= known
