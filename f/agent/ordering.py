# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "attrs==26.1.0", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "referencing==0.37.0",
#   "rpds-py==2026.9.1", "typing-extensions==4.16.0",
# ]
# ///
"""The call of a chatbot's model that orders passages before it answers: one of the turn's, in its budget. Pure."""

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from f.agent.chain import Budget, Chain, Link, Meter
from f.agent.loop import Allowance, Answer, Completion, Message, ModelError


def budget_of(chatbot: dict[str, Any], answer: Answer) -> Budget:
    """What the turn may still take."""
    tokens = sum(call.prompt_tokens + call.completion_tokens for call in answer.usage)
    cost = sum((call.cost for call in answer.usage if call.cost), Decimal(0))
    return Budget(chatbot["max_tokens"] - tokens, chatbot["max_cost"] and chatbot["max_cost"] - cost)


def ordering_call(
    links: list[Link], chatbot: dict[str, Any], meter: Meter, answer: Answer, renew: Callable[[], None]
) -> Callable[[Sequence[Message], Allowance], Completion]:
    """A call of the chatbot's first model that orders passages: paid for as others, with half of the turn's budget."""

    def complete(messages: Sequence[Message], allowance: Allowance) -> Completion:
        cost = chatbot["max_cost"] and chatbot["max_cost"] / 2
        chain = Chain(links[:1], Budget(chatbot["max_tokens"] // 2, cost), meter, before_retry=renew)
        started = time.monotonic()
        try:
            completion = chain.complete(messages, (), allowance)
        except ModelError as error:
            answer.add_failures(error.failures)
            raise
        answer.usage.append(completion)
        ms = round((time.monotonic() - started) * 1000)
        answer.steps.append({"kind": "knowledge", "name": f"order by {completion.model}", "ms": ms})
        return completion

    return complete
