# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "attrs==26.1.0", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "referencing==0.37.0",
#   "rpds-py==2026.9.1", "typing-extensions==4.16.0",
# ]
# ///
"""The agent loop: a model that may call tools until it answers. Pure, and the same for every provider.

A provider is an adapter with one method, `Model.complete`. What a model or a tool does wrong is
data for the loop; only `ModelError` leaves it, and its caller answers with the fallback text.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

from f.lib.texts import storable

#: Below this share of its seconds a turn has to end: the model must answer without calling tools again.
LAST_SHARE = 0.25

UNREADABLE_CALL = (
    "[Your last tool call could not be read: it was cut off or is malformed. Call the tool again with short, valid"
    " arguments, or answer without it.]"
)


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    """One message of the exchange; `role` is system, user, assistant or tool.

    `echo` is what the model that wrote it wants back, beside what we read from it (thought
    signatures, say); it belongs to `origin`, and means nothing to any other model.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    origin: str = ""
    echo: Any = None


@dataclass(frozen=True)
class Completion:
    """What a model answered: text, or tool calls (then text may be empty), and what it took.

    `finish`: "stop"; "length", cut off; "blocked", refused for its content; "malformed", a tool
    call that not even the provider could read. `cost` is None where the model's price is unknown.
    `failures` are calls that were made in vain before this one.
    """

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Literal["stop", "length", "blocked", "malformed"] = "stop"
    detail: str = ""
    origin: str = ""
    echo: Any = None
    provider: str = ""
    resource_path: str | None = None
    cost: Decimal | None = None
    failures: tuple["Failure", ...] = ()


@dataclass(frozen=True)
class Tool:
    """A function the model may call; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]
    run: Callable[[dict[str, Any]], str]


@dataclass(frozen=True)
class Allowance:
    """What one call may take: seconds in all, tokens of the answer (None: the provider's limit)."""

    seconds: float
    answer_tokens: int | None = None
    may_call: bool = True


@dataclass(frozen=True)
class Failure:
    """A call that gave nothing to use. `usage` is there when it was paid for."""

    provider: str
    model: str
    resource_path: str | None
    kind: str
    reason: str
    ms: int
    usage: Completion | None = None


class ModelError(Exception):
    """The model gave no answer that can be used; `reason` is for operators and names no customer's words.

    `kind` says what helps. "later": the same again, after `retry_after` seconds where the provider
    named them. "hang": another model. "refused", "blocked" (for the content): another model.
    "denied": another model, and somebody who looks after key or account. "spent": nothing in this
    turn. "quota": nothing until the organisation's next period.
    """

    def __init__(
        self,
        reason: str,
        kind: Literal["later", "hang", "refused", "blocked", "denied", "spent", "quota"] = "refused",
        *,
        retry_after: float | None = None,
        usage: Completion | None = None,
        failures: tuple[Failure, ...] = (),
    ):
        self.reason = storable(reason)
        super().__init__(self.reason)
        self.kind = kind
        self.retry_after = retry_after
        self.usage = usage
        self.failures = failures


class ToolError(Exception):
    """A tool could not do what was asked; the text is for the model, which may try something else."""


class InvalidCall(ToolError):
    """The call itself was wrong, such as arguments that do not fit the tool: a mistake of the model."""


class Model(Protocol):
    """An adapter to a provider, or a chain of them. Raises ModelError."""

    @property
    def name(self) -> str: ...

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool], allowance: Allowance) -> Completion: ...


@dataclass(frozen=True)
class Limits:
    """Caps of one turn: answers of a model, tool calls of one answer, seconds in all, mistakes in tool calls that are
    repaired.

    Tokens and money are capped by who knows prices: see `f.agent.chain`.
    """

    steps: int = 6
    calls: int = 8
    seconds: float = 60
    repairs: int = 2


@dataclass
class Answer:
    """The reply and what it took: a step for each call, usage for each call of a model that is paid for."""

    text: str = ""
    model: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)
    usage: list[Completion] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def tools(self) -> list[str]:
        return [step["name"] for step in self.steps if step["kind"] == "tool"]

    def add(self, completion: Completion, ms: int) -> None:
        self.add_failures(completion.failures)
        spent = ms - sum(failure.ms for failure in completion.failures)
        step = {"kind": "model", "name": completion.model, "ms": max(0, spent)}
        self.steps.append(step if completion.finish == "stop" else step | {"finish": completion.finish})
        self.usage.append(completion)
        self.model = completion.model

    def add_failures(self, failures: Sequence[Failure]) -> None:
        for failure in failures:
            self.steps.append({"kind": "model", "name": failure.model, "ms": failure.ms, "error": failure.reason})
            self.failures.append(failure)
            if failure.usage:
                self.usage.append(failure.usage)


def run_loop(
    model: Model,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    limits: Limits,
    answer: Answer,
    before_call: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Let `model` answer `messages`, calling `tools` as it asks, and fill `answer` in.

    `answer` is the caller's, so that what a failed attempt cost is known too. `before_call` runs
    before each call to the outside (to renew a lease). The last step, and one for which little
    time is left, must be an answer: tools are shown but may not be called. Raises ModelError when
    a cap is reached, the provider fails, or the model keeps making invalid calls.
    """
    by_name = {tool.name: tool for tool in tools}
    exchange = list(messages)
    answer.model = model.name
    deadline = clock() + limits.seconds
    mistakes = 0
    for step in range(1, limits.steps + 1):
        left = deadline - clock()
        if left <= 1:
            raise ModelError(f"no answer within {limits.seconds:g} s", "spent")
        last = step == limits.steps or left < limits.seconds * LAST_SHARE
        before_call()
        started = clock()
        try:
            completion = model.complete(exchange, tools, Allowance(left, may_call=not last))
        except ModelError as error:
            answer.add_failures(error.failures)
            raise
        answer.add(completion, _ms(clock() - started))
        if unreadable(completion):
            mistakes += 1
            exchange.append(Message("user", UNREADABLE_CALL))
        elif not completion.tool_calls:
            if not completion.text.strip():
                raise ModelError("the model's answer is empty")
            answer.text = completion.text.strip()
            return
        elif last:
            break
        else:
            exchange.append(
                Message(
                    "assistant",
                    completion.text,
                    completion.tool_calls,
                    origin=completion.origin,
                    echo=completion.echo,
                )
            )
            for number, call in enumerate(completion.tool_calls):
                if number >= limits.calls:
                    refusal = f"Not called: at most {limits.calls} calls at a time."
                    exchange.append(Message("tool", refusal, tool_call_id=call.id))
                    continue
                if deadline - clock() <= 1:
                    raise ModelError(f"no answer within {limits.seconds:g} s", "spent")
                before_call()
                started = clock()
                result, valid = _run_tool(by_name, call)
                answer.steps.append({"kind": "tool", "name": call.name, "ms": _ms(clock() - started)})
                exchange.append(Message("tool", result, tool_call_id=call.id))
                mistakes += not valid
        if mistakes > limits.repairs:
            raise ModelError(f"the model made {mistakes} invalid tool calls")
    raise ModelError(f"no answer after {step} steps", "spent")


def unreadable(completion: Completion) -> bool:
    """Whether there is a tool call that must not be run: arguments that are cut off may still be valid JSON."""
    return completion.finish == "malformed" or (completion.finish == "length" and bool(completion.tool_calls))


def _run_tool(by_name: dict[str, Tool], call: ToolCall) -> tuple[str, bool]:
    """The tool's result for the model, and whether the call itself was valid."""
    tool = by_name.get(call.name)
    if tool is None:
        return f"There is no tool {call.name!r}. Tools: {', '.join(sorted(by_name)) or 'none'}.", False
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        return f"The arguments are not valid JSON: {error}", False
    if not isinstance(arguments, dict):
        return "The arguments must be a JSON object.", False
    if fault := _fault(arguments, tool.parameters):
        return f"The arguments do not fit the tool: {fault}", False
    try:
        return tool.run(arguments), True
    except InvalidCall as error:
        return f"Error: {error}", False
    except ToolError as error:
        return f"Error: {error}", True


def _fault(arguments: dict[str, Any], schema: dict[str, Any]) -> str | None:
    """What is wrong with the arguments, or None. A schema that is itself wrong excludes nothing.

    A schema may be a stranger's: nothing that it refers to is fetched, and its patterns, which could
    keep us busy for ever, are left for its server to check.
    """
    from jsonschema.exceptions import SchemaError, best_match  # a tenth of a second that most turns do not need
    from jsonschema.validators import Draft202012Validator, extend, validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    known = validator_for(schema, default=Draft202012Validator)
    validator = extend(known, {"pattern": _excludes_nothing, "patternProperties": _excludes_nothing})
    try:
        validator.check_schema(schema)
        error = best_match(validator(schema, registry=Registry()).iter_errors(arguments))
    except (SchemaError, Unresolvable, RecursionError, ArithmeticError):
        return None
    return f"{error.json_path}: {error.message}"[:500] if error else None


def _excludes_nothing(*_: Any) -> tuple[()]:
    return ()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
