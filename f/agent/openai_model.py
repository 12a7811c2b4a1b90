# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "annotated-types==0.8.0", "anyio==4.16.0", "attrs==26.1.0", "h11==0.16.0", "httpcore2==2.16.2", "httpx2==2.16.2",
#   "idna==3.20", "jiter==0.19.0", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "openai==3.57.0",
#   "pydantic==2.14.4", "pydantic-core==2.50.5", "referencing==0.37.0", "rpds-py==2026.9.1", "sniffio==1.3.1",
#   "truststore==0.10.5", "typing-extensions==4.16.0", "typing-inspection==0.4.5",
# ]
# ///
"""The adapter to OpenAI's Chat Completions, and to whatever speaks it at another base URL."""

import json
from collections.abc import Sequence
from typing import Any

import openai

from f.agent.answers import object_of, text_of
from f.agent.loop import Allowance, Completion, Message, ModelError, Tool, ToolCall

#: 429 codes that waiting does not help.
ACCOUNT_CODES = {"insufficient_quota", "billing_hard_limit_reached", "account_deactivated"}
FINISHES = {"length": "length", "content_filter": "blocked"}


class OpenAIModel:
    def __init__(self, name: str, api_key: str, base_url: str | None, temperature: float):
        self.name = name
        self.origin = f"openai:{name}"
        self._temperature: float | None = temperature
        self._client = openai.OpenAI(api_key=api_key, base_url=base_url, max_retries=0)

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool], allowance: Allowance) -> Completion:
        request: dict[str, Any] = {
            "model": self.name,
            "messages": [encode(message, self.origin) for message in messages],
        }
        if allowance.answer_tokens is not None:
            request["max_completion_tokens"] = allowance.answer_tokens
        if self._temperature is not None:
            request["temperature"] = self._temperature
        if tools:
            request["tools"] = [encode_tool(tool) for tool in tools]
            if not allowance.may_call:
                request["tool_choice"] = "none"
        try:
            answer = self._client.chat.completions.create(**request, timeout=allowance.seconds)
        except openai.BadRequestError as error:
            if error.param == "temperature" and self._temperature is not None:
                self._temperature = None  # reasoning models take only their own
                return self.complete(messages, tools, allowance)
            raise refusal(error) from error
        except openai.APIStatusError as error:
            raise refusal(error) from error
        except openai.APITimeoutError as error:
            raise ModelError("provider failed: APITimeoutError", "hang") from error
        except (openai.APIError, ValueError) as error:  # no connection, or an answer that is not JSON
            raise ModelError(f"provider failed: {type(error).__name__}", "later") from error
        return decode(answer, self.name, self.origin)


def encode(message: Message, origin: str) -> dict[str, Any]:
    """A message of the loop in the provider's words."""
    encoded: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        extras = message.echo or {} if message.origin == origin else {}
        encoded["tool_calls"] = [
            {
                **extras.get(call.id, {}),
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json_object(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        encoded["tool_call_id"] = message.tool_call_id
    return encoded


def encode_tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def decode(answer: Any, name: str, origin: str) -> Completion:
    """The provider's answer; tolerant of servers that leave out what they should send."""
    if not getattr(answer, "choices", None) or answer.choices[0].message is None:
        raise ModelError("the provider's answer has no choices", "later")
    choice = answer.choices[0]
    asked = [call for call in choice.message.tool_calls or () if call.type == "function" and call.function]
    refused = getattr(choice.message, "refusal", None)
    usage = answer.usage
    return Completion(
        text=text_of(choice.message.content),
        model=answer.model or name,
        prompt_tokens=getattr(usage, "prompt_tokens", 0),
        completion_tokens=getattr(usage, "completion_tokens", 0),
        tool_calls=tuple(ToolCall(call.id, call.function.name, json_text(call.function.arguments)) for call in asked),
        finish="blocked" if refused else FINISHES.get(choice.finish_reason, "stop"),  # type: ignore[arg-type]
        detail="refusal" if refused else choice.finish_reason or "",
        origin=origin,
        # What other servers add to a call (signatures, say) and want to see again.
        echo={call.id: call.model_extra for call in asked if call.model_extra},
    )


def json_text(arguments: Any) -> str:
    """A call's arguments as JSON text, also from servers that send the object itself."""
    return arguments if isinstance(arguments, str) and arguments else json.dumps(arguments or {})


def json_object(arguments: str) -> str:
    """Arguments that every server can read: some answer 400 to their own model's broken JSON."""
    return arguments if object_of(arguments) is not None else "{}"


def refusal(error: openai.APIStatusError) -> ModelError:
    status = error.status_code
    reason = f"provider answered {status}: {error.code or type(error).__name__}"
    if status in (401, 403) or error.code in ACCOUNT_CODES:
        return ModelError(reason, "denied")
    if error.code in ("content_filter", "content_policy_violation"):
        return ModelError(reason, "blocked")
    if status in (408, 409, 429) or status >= 500:
        return ModelError(reason, "later", retry_after=retry_after(error.response.headers))
    return ModelError(reason)


def retry_after(headers: Any) -> float | None:
    """Seconds that the provider asks to wait (a date, which OpenAI does not send, counts as none)."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    return None
