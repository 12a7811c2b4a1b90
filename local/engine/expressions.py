"""Evaluates the JavaScript of a flow's transforms and predicates, as Windmill does.

Every evaluation has a fresh QuickJS context with bounded time and memory. Data go in and out as JSON. Results of
steps, variables and resources are fetched when the expression asks for them: its promises wait meanwhile.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import quickjs

from local.engine.runner import tidied as storable

SECONDS = 5.0
MEMORY_BYTES = 128 << 20
#: `results.a` is a promise, so Windmill awaits it wherever it is written like this.
RESULT = re.compile(r'(results\??(?:\.[a-zA-Z_0-9]+|\[".*?"\]))')
#: An expression that is only a path into a step's result. Here, and only here, what is missing is null.
RESULT_PATH = re.compile(r"^results\??\.([a-zA-Z_0-9]+)(?:\[(\d+)\])?((?:\.[a-zA-Z_0-9]+)+)?$", re.MULTILINE)
AWAITED = ("variable", "resource", "flow_user_state")
#: An expression that begins like this, or holds a semicolon, is a body: it returns by itself.
STATEMENTS = ("const ", "let ", "var ", "if ", "if(", "for ", "for(", "while ", "while(", "switch ", "switch(", "try ",
              "try{", "throw ", "function ", "class ", "async ", "await ", "return ", "return;")  # fmt: skip
STRING = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`""", re.DOTALL)

PRELUDE = """
Object.assign(globalThis, JSON.parse(__data));
var __asked = [];
function __ask(kind, name) {
  return new Promise((resolve, reject) => __asked.push({kind, name, resolve, reject}));
}
function __answer(answers) {
  const asked = __asked.splice(0);
  JSON.parse(answers).forEach(([found, value], i) =>
    found ? asked[i].resolve(value) : asked[i].reject(new Error(value)));
}
function variable(path) { return __ask("variable", path); }
function resource(path) { return __ask("resource", path); }
function flow_user_state(key) { return __ask("flow_user_state", key); }
"""
RESULTS = """
var results = new Proxy({}, {get: (_, name) => typeof name === "symbol" ? undefined
  : name === __previous_id && typeof previous_result !== "undefined" ? Promise.resolve(previous_result)
  : __ask("result", name)});
"""
#: What a failure module sees as `error`.
ERROR = """
var error = previous_result?.error;
if (!error && Array.isArray(previous_result)) {
  const failed = previous_result.filter((item) => item && typeof item === "object" && "error" in item);
  if (failed.length === 1) {
    error = failed[0].error;
  } else {
    const said = failed.map(({error: e}, i) => `[${e.step_id || i}] ${e.message || e.name}`).join("; ");
    error = {name: "MultipleErrors", message: failed.length ? said : "Could not parse errors", errors: previous_result};
  }
} else if (!error) {
  error = previous_result
    ? {name: "UnknownError", message: "Could not parse the error", error: previous_result}
    : {name: "UnknownError", message: "No error found"};
}
"""


class ExpressionError(Exception):
    """The expression threw, or took too long or too much memory."""


class NotFound(LookupError):
    """What an expression asks for does not exist; the message is what it is told."""


#: Finds what an expression asks for: kind (result, variable, resource, flow_user_state) and name. Raises NotFound.
Lookup = Callable[[str, str], Any]


@dataclass(frozen=True)
class Scope:
    """What an expression can see."""

    names: dict[str, Any]
    flow_input: dict[str, Any]
    lookup: Lookup
    flow_env: dict[str, Any] = field(default_factory=dict)
    has_results: bool = False
    #: The step before, whose result is `previous_result`.
    previous_id: str = ""


def evaluate(expression: str, scope: Scope) -> Any:
    """The JSON value of `expression`; `undefined` is None. Raises ExpressionError."""
    expression = expression.strip()
    if expression in scope.names:
        return scope.names[expression]
    for prefix, values in (("flow_input", scope.flow_input), ("flow_env", scope.flow_env)):
        for key in (expression.removeprefix(f"{prefix}."), expression.removeprefix(f'{prefix}["').removesuffix('"]')):
            if len(key) < len(expression) and key in values:
                return values[key]
    if scope.has_results:
        if "previous_result" in scope.names and expression in _spellings(scope.previous_id):
            return scope.names["previous_result"]
        path = RESULT_PATH.search(expression)
        if path and (path[3] or "").rsplit(".", 1)[-1] != "length":
            return _follow(path, scope.lookup)
    return _run(expression, scope)


def is_true(expression: str, scope: Scope) -> bool:
    """Whether `expression` is truthy. Raises ExpressionError."""
    return evaluate(f"Boolean({expression})", scope) is True


def _spellings(step: str) -> tuple[str, ...]:
    return f"results.{step}", f"results?.{step}", f'results["{step}"]', f'results?.["{step}"]'


def _follow(path: re.Match[str], lookup: Lookup) -> Any:
    try:
        value = lookup("result", path[1])
        for key in [key for key in (path[2], *(path[3] or "").split(".")) if key]:
            value = value[int(key)] if isinstance(value, list) else value[key]
    except (LookupError, TypeError, ValueError):
        return None
    return value


def _run(expression: str, scope: Scope) -> Any:
    context = quickjs.Context()
    context.set_memory_limit(MEMORY_BYTES)
    deadline = time.monotonic() + SECONDS
    names = {name: value for name, value in scope.names.items() if name in expression}
    mentions_previous = any(spelling in expression for spelling in _spellings(scope.previous_id))
    if "previous_result" in scope.names and ("error" in expression or (scope.has_results and mentions_previous)):
        names["previous_result"] = scope.names["previous_result"]
    if "flow_input" in expression:
        names["flow_input"] = scope.flow_input
    if "flow_env" in expression:
        names["flow_env"] = scope.flow_env
    try:
        context.set_time_limit(SECONDS)
        context.set("__data", json.dumps(names | {"__previous_id": scope.previous_id}))
        setup = PRELUDE + (RESULTS if scope.has_results else "")
        context.eval(setup + (ERROR if "error" in expression and "previous_result" in names else ""))
        context.eval(_program(expression))
        while not _settled(context, deadline):
            asked = json.loads(context.eval("JSON.stringify(__asked.map(({kind, name}) => [kind, String(name)]))"))
            if not asked:
                raise ExpressionError("the expression waits for something that never comes")
            context.eval(f"__answer({json.dumps(json.dumps([_answer(scope.lookup, *item) for item in asked]))})")
        outcome = storable(json.loads(context.eval("__outcome")))
    except quickjs.JSException as error:
        raise ExpressionError(_explain(expression, error, deadline)) from None
    if "thrown" in outcome:
        raise ExpressionError(f"QuickJS evaluation error: {outcome['thrown']}")
    return outcome.get("value")


def _settled(context: Any, deadline: float) -> bool:
    """Run what is pending; whether the expression has its value."""
    while True:
        context.set_time_limit(max(deadline - time.monotonic(), 0.001))
        if not context.execute_pending_job():
            return bool(context.eval("__outcome !== null"))


def _answer(lookup: Lookup, kind: str, name: str) -> tuple[bool, Any]:
    try:
        return True, lookup(kind, name)
    except NotFound as error:
        return False, str(error)


def _program(expression: str) -> str:
    awaited = expression
    for name in AWAITED:
        awaited = _await_calls(awaited, f"{name}(")
    awaited = RESULT.sub(r"(await \1)", awaited)
    is_body = expression.startswith(STATEMENTS) or expression == "return" or ";" in STRING.sub("", expression)
    body = awaited if is_body else f"return {awaited}"
    return (
        f"var __outcome = null; (async function() {{ {body} }})().then(\n"
        "  (value) => { __outcome = JSON.stringify({value: value ?? null}); },\n"
        "  (e) => { __outcome = JSON.stringify({thrown: e instanceof Error ?"
        " `Error: ${e.message}\\n${e.stack}` : String(e)}); })"
    )


def _await_calls(expression: str, call: str) -> str:
    """`expression` with each `name(…)` as `(await name(…))`."""
    first, *rest = expression.split(call)
    parts = [first]
    for tail in rest:
        depth, end = 1, len(tail)
        for place, character in enumerate(tail):
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth == 0:
                end = place
                break
        parts.append(f"(await {call}{tail[:end]}){tail[end:]}")
    return "".join(parts)


def _explain(expression: str, error: Exception, deadline: float) -> str:
    text = str(error).strip()
    if time.monotonic() >= deadline or "interrupted" in text:
        return f"The expression evaluation `{expression}` took too long to execute (>{SECONDS:g}s)"
    if text == "null" or "out of memory" in text:
        return f"The expression evaluation exceeded the memory limit of {MEMORY_BYTES >> 20} MB."
    return f"QuickJS evaluation error: Error: {text}"
