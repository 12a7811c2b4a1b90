"""The adapter to OpenAI's Chat Completions, and to whatever speaks it at another base URL."""

from collections.abc import Sequence
from typing import Any

import openai

from f.agent.loop import Completion, Message, ModelError, Tool, ToolCall


class OpenAIModel:
    """`resource` holds `api_key` and, where it is not OpenAI itself, `base_url`."""

    def __init__(self, name: str, resource: dict[str, Any], temperature: float):
        if not resource.get("api_key"):
            raise ModelError("the model's resource has no api_key")
        self.name = name
        self._temperature = temperature
        self._client = openai.OpenAI(
            api_key=resource["api_key"], base_url=resource.get("base_url") or None, max_retries=1
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
        try:
            # Half of the time each, since a timeout or a refusal is tried once more.
            answer = self._client.chat.completions.create(**request, timeout=seconds / 2)
        except openai.APIStatusError as error:
            raise ModelError(f"provider answered {error.status_code}: {error.code or type(error).__name__}") from error
        except openai.APIError as error:
            raise ModelError(f"provider failed: {type(error).__name__}") from error
        return decode(answer, self.name)


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
    """The provider's answer; tolerant of servers that leave out what they should send."""
    if not getattr(answer, "choices", None):
        raise ModelError("the provider's answer has no choices")
    choice = answer.choices[0]
    if choice.finish_reason == "content_filter":
        raise ModelError("the provider blocked the answer")
    calls = tuple(
        ToolCall(call.id, call.function.name, call.function.arguments or "{}")
        for call in choice.message.tool_calls or ()
        if call.type == "function"
    )
    return Completion(
        text=choice.message.content or "",
        model=answer.model or name,
        prompt_tokens=answer.usage.prompt_tokens if answer.usage else 0,
        completion_tokens=answer.usage.completion_tokens if answer.usage else 0,
        tool_calls=calls,
    )
