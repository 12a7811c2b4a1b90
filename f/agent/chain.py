# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "attrs==26.1.0", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "referencing==0.37.0",
#   "rpds-py==2026.9.1", "typing-extensions==4.16.0",
# ]
# ///
"""A chatbot's models in order, and the one policy for what goes wrong with a provider. Pure.

The SDKs' own retries are switched off. What may help is tried again, within the time there is;
then the next model goes on with the same exchange, and keeps it for the rest of the turn.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

from f.agent.answers import sound, usable
from f.agent.loop import Allowance, Completion, Failure, Message, Model, ModelError, Tool
from f.lib.patience import OutOfTime, within

#: Times that one model is tried for one answer, and the seconds before each repetition.
ATTEMPTS = 3
PAUSES = (0.5, 1.5)

#: Longest wait that a provider's retry-after gets, in seconds: when another model is there, and when none is.
PATIENCE = 4
PATIENCE_WITH_THE_LAST = 30

#: Seconds of one call: below the lease (60 s), which is renewed just before.
CALL_SECONDS = 40

#: What a call must have left to be worth making: seconds, and tokens of its answer.
LEAST_SECONDS = 1.0
LEAST_TOKENS = 64

#: How many times our estimate of a prompt, or what an answer may have, a provider's count may be to be believed.
MOST_OFF = 10

#: Most tokens of one answer, thoughts included; current models accept it, and a chat needs less.
ANSWER_TOKENS = 8192

#: Below this share of its tokens or money a turn has to end: tools may not be called any more.
LAST_SHARE = Decimal("0.25")


@dataclass(frozen=True)
class Price:
    """Money per million tokens."""

    prompt: Decimal
    completion: Decimal

    def of(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1_000_000


@dataclass(frozen=True)
class Link:
    """One model of a chain. `build` makes its adapter, which imports the provider's SDK: only when needed."""

    provider: str
    name: str
    resource_path: str | None
    build: Callable[[], Model]
    price: Price | None = None


@dataclass(frozen=True)
class Budget:
    """What one turn may take over all its calls; None: no cap. `cost` holds for models whose price is known."""

    tokens: int | None = None
    cost: Decimal | None = None


class Meter(Protocol):
    """What an organisation has left. `reserve` gives a call `prompt` tokens and returns how many of `answer`, and
    `least` at least, its answer may have; ModelError "quota" when there are none. `settle` says what it has taken.
    """

    def reserve(self, prompt: int, answer: int, least: int) -> int: ...

    def settle(self, used: int) -> None: ...


class Unmetered:
    """No quota."""

    def reserve(self, prompt: int, answer: int, least: int) -> int:
        return answer

    def settle(self, used: int) -> None:
        pass


class Chain:
    """Is itself a `Model`, for one turn.

    `before_retry` runs before each pause and each call but the first, to renew a lease.
    """

    def __init__(
        self,
        links: Sequence[Link],
        budget: Budget = Budget(),
        meter: Meter | None = None,
        before_retry: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._links = links
        self._budget = budget
        self._meter = meter or Unmetered()
        self._before_retry = before_retry
        self._clock = clock
        self._sleep = sleep
        self._at = 0
        self._built: dict[int, Model] = {}
        self._tokens = 0
        self._cost = Decimal(0)

    @property
    def name(self) -> str:
        return self._links[self._at].name

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool], allowance: Allowance) -> Completion:
        deadline = self._clock() + allowance.seconds
        failures: list[Failure] = []
        attempt = 0
        while True:
            link, others = self._links[self._at], len(self._links) - self._at - 1
            if failures:
                self._before_retry()
            started = self._clock()
            try:
                completion = self._call(link, messages, tools, allowance, deadline - started, bool(others))
                return replace(completion, failures=tuple(failures))
            except ModelError as error:
                if error.kind == "quota":
                    raise
                failure = error
            now = self._clock()
            ms = round((now - started) * 1000)
            failures.append(
                Failure(
                    link.provider, link.name, link.resource_path, failure.kind, failure.reason, ms, usage=failure.usage
                )
            )
            pause = _pause(failure, attempt, deadline - now, bool(others))
            if pause is not None:
                attempt += 1
                self._before_retry()
                self._sleep(pause)
            elif others and deadline - now > LEAST_SECONDS:
                self._at, attempt = self._at + 1, 0
            else:
                raise ModelError(failure.reason, failure.kind, failures=tuple(failures)) from failure

    def _call(
        self,
        link: Link,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        allowance: Allowance,
        left: float,
        others: bool,
    ) -> Completion:
        """One call within the time and the budget; its answer is one that can be used."""
        prompt = estimate(messages, tools)
        room, last = self._room(link, prompt)
        room = self._meter.reserve(prompt, room, LEAST_TOKENS)
        # Another model must still get its turn when this one hangs.
        seconds = min(CALL_SECONDS, left * 2 / 3 if others else left)
        allowed = Allowance(seconds, room, allowance.may_call and not last)
        at = self._at  # not looked up in the thread, which may outlive the link

        def call() -> Completion:
            if at not in self._built:
                self._built[at] = link.build()
            try:
                return self._built[at].complete(messages, tools, allowed)
            except ModelError:
                raise
            # Whatever an adapter or its SDK stumbles over is the provider's answer, and a customer waits for ours.
            except Exception as error:
                raise ModelError(
                    f"the provider's answer has an unknown shape: {type(error).__name__}", "later"
                ) from error

        try:
            answer = sound(within(seconds, call), link.name)
        except OutOfTime as error:
            self._meter.settle(0)
            raise ModelError(str(error), "hang") from None
        except ModelError:
            self._meter.settle(0)
            raise
        # A server that does not count, or counts what cannot be: the caps and the quota hold all the same.
        if not 0 < answer.prompt_tokens <= MOST_OFF * prompt or answer.completion_tokens > MOST_OFF * room:
            written = answer.text + "".join(call.arguments for call in answer.tool_calls)
            answer = replace(answer, prompt_tokens=prompt, completion_tokens=tokens(written))
        cost = link.price.of(answer.prompt_tokens, answer.completion_tokens) if link.price else None
        self._tokens += answer.prompt_tokens + answer.completion_tokens
        self._cost += cost or 0
        self._meter.settle(answer.prompt_tokens + answer.completion_tokens)
        return usable(replace(answer, provider=link.provider, resource_path=link.resource_path, cost=cost))

    def _room(self, link: Link, prompt: int) -> tuple[int, bool]:
        """Tokens that an answer may have after `prompt` tokens, and whether it has to be the turn's last."""
        room, last = ANSWER_TOKENS, False
        if self._budget.tokens is not None:
            left = self._budget.tokens - self._tokens - prompt
            if left < LEAST_TOKENS:
                raise ModelError(f"the turn's {self._budget.tokens} tokens are used up", "spent")
            room, last = min(room, left), left < self._budget.tokens * LAST_SHARE
        if self._budget.cost is not None and link.price:
            money = self._budget.cost - self._cost - link.price.of(prompt, 0)
            if money < link.price.of(0, LEAST_TOKENS):
                raise ModelError(f"the turn's money ({self._budget.cost:f}) is used up", "spent")
            if link.price.completion:
                room = min(room, int(money * 1_000_000 / link.price.completion))
            last = last or money < self._budget.cost * LAST_SHARE
        return room, last


def _pause(error: ModelError, attempt: int, left: float, others: bool) -> float | None:
    """Seconds until the same model is tried again; None: not at all."""
    if error.kind not in ("later", "hang") or (error.kind == "hang" and others) or attempt + 1 >= ATTEMPTS:
        return None
    pause = max(error.retry_after or 0, PAUSES[attempt] if error.kind == "later" else 0)
    patience = PATIENCE if others else PATIENCE_WITH_THE_LAST
    return pause if pause + LEAST_SECONDS < left and pause <= patience else None


def estimate(messages: Sequence[Message], tools: Sequence[Tool]) -> int:
    """Tokens of a request, rather too many than too few."""
    calls = "".join(call.name + call.arguments for message in messages for call in message.tool_calls)
    described = "".join(tool.name + tool.description + _json(tool.parameters) for tool in tools)
    return tokens("".join(message.content for message in messages) + calls + described) + 4 * len(messages)


def tokens(text: str) -> int:
    """A third of the bytes: more than tokenizers count in the languages of Europe, about right in Asia's."""
    return len(text.encode("utf-8", "replace")) // 3


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
