"""The agent loop: a model that may call tools until it answers. Pure, and the same for every provider.

A provider is an adapter with one method, `Model.complete`. What a model or a tool does wrong is
data for the loop; only `ModelError` leaves it, and its caller answers with the fallback text.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    """One message of the exchange; `role` is system, user, assistant or tool."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True)
class Completion:
    """What a model answered: text, or tool calls (then text may be empty), and the tokens it took."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Tool:
    """A function the model may call; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]
    run: Callable[[dict[str, Any]], str]


class ModelError(Exception):
    """The model gave no answer that can be used; `reason` is for operators and names no customer's words."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class ToolError(Exception):
    """A tool could not do what was asked; the text is for the model, which may try something else."""


class InvalidCall(ToolError):
    """The call itself was wrong, such as arguments that do not fit the tool: a mistake of the model."""


class Model(Protocol):
    """An adapter to a provider. `seconds` is how long the call may take. Raises ModelError."""

    name: str

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool], seconds: float) -> Completion: ...


@dataclass(frozen=True)
class Limits:
    """Caps of one turn: model calls, tool calls of one completion, seconds in all and of one call, and how many
    mistaken tool calls may be repaired."""

    steps: int = 6
    calls: int = 8
    seconds: float = 60
    call_seconds: float = 40
    repairs: int = 2


@dataclass
class Answer:
    """The reply and what it took: a step for each call, usage for each call of the model."""

    text: str = ""
    model: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)
    usage: list[Completion] = field(default_factory=list)

    @property
    def tools(self) -> list[str]:
        return [step["name"] for step in self.steps if step["kind"] == "tool"]


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
    before each call to the outside (to renew a lease). Raises ModelError when a cap is reached,
    the provider fails, or the model keeps making invalid calls.
    """
    by_name = {tool.name: tool for tool in tools}
    exchange = list(messages)
    answer.model = model.name
    deadline = clock() + limits.seconds
    mistakes = 0
    for _ in range(limits.steps):
        left = deadline - clock()
        if left <= 1:
            raise ModelError(f"no answer within {limits.seconds:g} s")
        before_call()
        started = clock()
        completion = model.complete(exchange, tools, min(left, limits.call_seconds))
        answer.steps.append({"kind": "model", "name": completion.model, "ms": _ms(clock() - started)})
        answer.usage.append(completion)
        answer.model = completion.model
        if not completion.tool_calls:
            if not completion.text.strip():
                raise ModelError("the model's answer is empty")
            answer.text = completion.text.strip()
            return
        exchange.append(Message("assistant", completion.text, completion.tool_calls))
        for number, call in enumerate(completion.tool_calls):
            if number >= limits.calls:
                refusal = f"Not called: at most {limits.calls} calls at a time."
                exchange.append(Message("tool", refusal, tool_call_id=call.id))
                continue
            if deadline - clock() <= 1:
                raise ModelError(f"no answer within {limits.seconds:g} s")
            before_call()
            started = clock()
            result, valid = _run_tool(by_name, call)
            answer.steps.append({"kind": "tool", "name": call.name, "ms": _ms(clock() - started)})
            exchange.append(Message("tool", result, tool_call_id=call.id))
            mistakes += not valid
        if mistakes > limits.repairs:
            raise ModelError(f"the model made {mistakes} invalid tool calls")
    raise ModelError(f"no answer after {limits.steps} steps")


def _run_tool(by_name: dict[str, Tool], call: ToolCall) -> tuple[str, bool]:
    """The tool's result for the model, and whether the call itself was valid."""
    tool = by_name.get(call.name)
    if tool is None:
        return f"There is no tool {call.name!r}. Tools: {', '.join(sorted(by_name)) or 'none'}.", False
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError as error:
        return f"The arguments are not valid JSON: {error}", False
    if not isinstance(arguments, dict):
        return "The arguments must be a JSON object.", False
    try:
        return tool.run(arguments), True
    except InvalidCall as error:
        return f"Error: {error}", False
    except ToolError as error:
        return f"Error: {error}", True


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
