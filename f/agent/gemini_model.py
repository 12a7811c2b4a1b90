# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "annotated-types==0.8.0", "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "cffi==2.1.1",
#   "charset-normalizer==3.5.3", "cryptography==50.0.2", "distro==1.9.0", "google-auth==2.63.0", "google-genai==3.6.1",
#   "h11==0.16.0", "httpcore==1.0.9", "httpcore2==2.16.2", "httpx==0.28.1", "httpx2==2.16.2", "idna==3.20",
#   "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "pyasn1==0.6.5", "pyasn1-modules==0.4.2",
#   "pycparser==3.12", "pydantic==2.14.4", "pydantic-core==2.50.5", "referencing==0.37.0", "requests==2.34.2",
#   "rpds-py==2026.9.1", "sniffio==1.3.1", "tenacity==9.1.4", "truststore==0.10.5", "typing-extensions==4.16.0",
#   "typing-inspection==0.4.5", "urllib3==2.8.0", "websockets==17.4",
# ]
# ///
"""The adapter to Google's Gemini API, and to whatever speaks it at another base URL."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import httpx
from google import genai
from google.genai import errors, types

from f.agent.answers import object_of
from f.agent.loop import Allowance, Completion, Message, ModelError, Tool, ToolCall

#: What Gemini 3 takes for the signature of a call that it did not make (ai.google.dev, "Thought signatures").
FOREIGN_SIGNATURE = b"skip_thought_signature_validator"

#: The SDK's own default, v1, lacks preview models, `-latest` names, and function calls of Gemini 2.5.
API_VERSION = "v1beta"

#: Ids of calls that came without one: never sent.
LOCAL_ID = "local-"

MALFORMED = {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"}
ANSWERED = {"STOP", "OTHER", "FINISH_REASON_UNSPECIFIED", ""}


class GeminiModel:
    def __init__(
        self, name: str, api_key: str, base_url: str | None, temperature: float, api_version: str = API_VERSION
    ):
        self.name = name
        self.origin = f"gemini:{name}"
        self._temperature = temperature
        # A client of ours, so that what it raises is known; the SDK does not retry unless it is told to.
        client = httpx.Client(timeout=None)  # noqa: S113 - each request has one
        options = types.HttpOptions(base_url=base_url, api_version=api_version, httpx_client=client)
        self._client = genai.Client(vertexai=False, api_key=api_key, http_options=options)

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool], allowance: Allowance) -> Completion:
        mode = types.FunctionCallingConfigMode.AUTO if allowance.may_call else types.FunctionCallingConfigMode.NONE
        config = types.GenerateContentConfig(
            system_instruction="\n\n".join(m.content for m in messages if m.role == "system") or None,
            temperature=self._temperature,
            max_output_tokens=allowance.answer_tokens,
            tools=[types.Tool(function_declarations=[encode_tool(tool) for tool in tools])] if tools else None,
            tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode=mode))
            if tools
            else None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            http_options=types.HttpOptions(timeout=max(1, round(allowance.seconds * 1000))),
        )
        contents: Any = encode(messages, self.origin)
        try:
            answer = self._client.models.generate_content(model=self.name, contents=contents, config=config)
        except errors.APIError as error:
            raise refusal(error) from error
        except httpx.TimeoutException as error:
            raise ModelError(f"provider failed: {type(error).__name__}", "hang") from error
        except (httpx.HTTPError, ValueError) as error:  # no connection, or an answer that is not Gemini's
            raise ModelError(f"provider failed: {type(error).__name__}", "later") from error
        return decode(answer, self.name, self.origin)


def encode(messages: Sequence[Message], origin: str) -> list[types.Content]:
    """The exchange in the provider's words; results of calls that were made at once go back together."""
    calls = {call.id: call for message in messages for call in message.tool_calls}
    given = {call.id for message in messages if _is_echo(message, origin) for call in message.tool_calls}
    contents: list[types.Content] = []
    for message in messages:
        if message.role == "assistant":
            parts = None if _is_echo(message, origin) else list(_parts(message))
            contents.append(message.echo if parts is None else types.Content(role="model", parts=parts))
        elif message.role == "tool":
            part = _result(message, calls.get(message.tool_call_id or ""), given)
            if contents and contents[-1].parts and contents[-1].parts[-1].function_response:
                contents[-1].parts.append(part)
            else:
                contents.append(types.Content(role="user", parts=[part]))
        elif message.role == "user":
            contents.append(types.Content(role="user", parts=[types.Part(text=message.content)]))
    return contents


def _parts(message: Message) -> Iterator[types.Part]:
    if message.content or not message.tool_calls:
        yield types.Part(text=message.content)
    for number, call in enumerate(message.tool_calls):
        yield types.Part(
            function_call=types.FunctionCall(name=call.name, args=object_of(call.arguments) or {}),
            thought_signature=FOREIGN_SIGNATURE if number == 0 else None,
        )


def _result(message: Message, call: ToolCall | None, given: set[str]) -> types.Part:
    response = types.FunctionResponse(
        id=call.id if call and call.id in given and not call.id.startswith(LOCAL_ID) else None,
        name=call.name if call else message.tool_call_id,
        response={"output": message.content},
    )
    return types.Part(function_response=response)


def _is_echo(message: Message, origin: str) -> bool:
    """Whether this model wrote the message: then it goes back as it came, with its signatures."""
    return isinstance(message.echo, types.Content) and message.origin == origin


def encode_tool(tool: Tool) -> types.FunctionDeclaration:
    return types.FunctionDeclaration(
        name=tool.name, description=tool.description, parameters_json_schema=tool.parameters
    )


def decode(answer: types.GenerateContentResponse, name: str, origin: str) -> Completion:
    candidate = answer.candidates[0] if answer.candidates else None
    blocked = answer.prompt_feedback.block_reason if answer.prompt_feedback else None
    reason = _name(candidate.finish_reason) if candidate else _name(blocked)
    content = candidate.content if candidate else None
    parts = content.parts or [] if content else []
    usage = answer.usage_metadata or types.GenerateContentResponseUsageMetadata()
    calls = [part.function_call for part in parts if part.function_call]
    return Completion(
        text="".join(part.text for part in parts if part.text and not part.thought),
        model=answer.model_version or name,
        prompt_tokens=(usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
        completion_tokens=(usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
        tool_calls=tuple(
            ToolCall(call.id or f"{LOCAL_ID}{uuid4().hex}", call.name or "", json.dumps(call.args or {}))
            for call in calls
        ),
        finish=_finish(reason) if not blocked else "blocked",
        detail=reason,
        origin=origin,
        echo=content,
    )


def _finish(reason: str) -> Any:
    if reason in ANSWERED:
        return "stop"
    if reason in ("MAX_TOKENS", "CONTINUATION"):
        return "length"
    return "malformed" if reason in MALFORMED else "blocked"


def _name(reason: Any) -> str:
    return str(getattr(reason, "value", reason) or "")


def refusal(error: errors.APIError) -> ModelError:
    details = _details(error)
    reason = f"provider answered {error.code}: {error.status or type(error).__name__}"
    if error.code in (401, 403) or any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
        return ModelError(reason, "denied")
    if error.code in (408, 409, 429) or error.code >= 500:
        return ModelError(reason, "later", retry_after=_retry_after(error, details))
    return ModelError(reason)


def _details(error: errors.APIError) -> list[dict[str, Any]]:
    """Google's machine-readable causes, from `{"error": {"details": […]}}`."""
    body = error.details.get("error") if isinstance(error.details, dict) else None
    details = body.get("details") if isinstance(body, dict) else None
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _retry_after(error: errors.APIError, details: list[dict[str, Any]]) -> float | None:
    """Seconds from a `RetryInfo` ("retryDelay": "7s") or the header."""
    delays = [str(detail["retryDelay"]).removesuffix("s") for detail in details if "retryDelay" in detail]
    for value in [*delays, getattr(error.response, "headers", {}).get("retry-after", "")]:
        try:
            return max(0.0, float(value))
        except ValueError:
            continue
    return None
