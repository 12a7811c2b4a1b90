"""The adapter to OpenAI's Chat Completions, and to whatever speaks it at another base URL."""

import json
import time
from collections.abc import Sequence
from typing import Any

import openai

from f.agent.loop import Completion, Message, ModelError, Tool, ToolCall

#: Seconds to connect, and before a second try where the provider does not say how long.
CONNECT_SECONDS = 5.0
PAUSE_SECONDS = 0.5


class OpenAIModel:
    """`resource` holds `api_key` and, where it is not OpenAI itself, `base_url`."""

    def __init__(self, name: str, resource: dict[str, Any], temperature: float):
        if not resource.get("api_key"):
            raise ModelError("the model's resource has no api_key")
        self.name = name
        self._temperature = temperature
        # Tries again itself: the SDK would wait as long as the provider asks, and that is longer than a lease.
        self._client = openai.OpenAI(
            api_key=resource["api_key"], base_url=resource.get("base_url") or None, max_retries=0
        )

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool], seconds: float) -> Completion:
        request: dict[str, Any] = {
            "model": self.name,
            "messages": [encode(message) for message in messages],
            "temperature": self._temperature,
        }
        if tools:
            request["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in tools
            ]
        deadline = time.monotonic() + seconds
        try:
            # Half of the time, since a timeout or a refusal for the moment is tried once more.
            return self._ask(request, seconds / 2)
        except openai.APIError as error:
            pause = pause_before_retry(error)
            left = deadline - time.monotonic() - (pause or 0)
            if pause is None or left <= 0:
                raise ModelError(reason_of(error)) from error
        time.sleep(pause)
        try:
            return self._ask(request, left)
        except openai.APIError as error:
            raise ModelError(reason_of(error)) from error

    def _ask(self, request: dict[str, Any], seconds: float) -> Completion:
        timeout = openai.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        try:
            answer = self._client.chat.completions.create(**request, timeout=timeout)
        except ValueError as error:
            raise ModelError("the provider's answer is not JSON") from error
        try:
            return decode(answer, self.name)
        except (AttributeError, LookupError, TypeError) as error:
            raise ModelError("the provider's answer has an unknown shape") from error


def pause_before_retry(error: openai.APIError) -> float | None:
    """Seconds after which it is worth asking again; None when the provider would only say the same."""
    if not isinstance(error, openai.APIStatusError):
        return 0 if isinstance(error, openai.APIConnectionError) else None
    if error.status_code not in (408, 409, 429) and error.status_code < 500:
        return None
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return PAUSE_SECONDS


def reason_of(error: openai.APIError) -> str:
    """What operators are told; never the provider's message, which may quote a customer."""
    if isinstance(error, openai.APIStatusError):
        return f"provider answered {error.status_code}: {error.code or type(error).__name__}"
    return f"provider failed: {type(error).__name__}"


def encode(message: Message) -> dict[str, Any]:
    """A message of the loop in the provider's words."""
    encoded: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        encoded["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        encoded["tool_call_id"] = message.tool_call_id
    return encoded


def decode(answer: Any, name: str) -> Completion:
    """The provider's answer; tolerant of servers that leave out what they should send.

    Raises ModelError when it is no answer; AttributeError, LookupError or TypeError when it is of another shape.
    """
    if not getattr(answer, "choices", None):
        raise ModelError("the provider's answer has no choices")
    choice = answer.choices[0]
    if choice.finish_reason == "content_filter":
        raise ModelError("the provider blocked the answer")
    text = choice.message.content or ""
    if not isinstance(text, str):
        raise TypeError("content")
    calls = tuple(
        ToolCall(call.id, call.function.name, _json_text(call.function.arguments or {}))
        for call in choice.message.tool_calls or ()
        if call.type == "function"
    )
    return Completion(
        text=text,
        model=answer.model or name,
        prompt_tokens=(answer.usage and answer.usage.prompt_tokens) or 0,
        completion_tokens=(answer.usage and answer.usage.completion_tokens) or 0,
        tool_calls=calls,
    )


def _json_text(arguments: Any) -> str:
    """A call's arguments as JSON text, also from servers that send the object itself."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
