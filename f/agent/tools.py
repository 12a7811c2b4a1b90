# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "referencing==0.37.0",
#   "rpds-py==2026.9.1", "typing-extensions==4.16.0",
# ]
# ///
"""The tools of a chatbot: what its servers offer, made safe for a model, and calls that happen once.

A call goes through `perform`: recorded before it runs, its result kept, and given again when a
repeated step asks for the same. Pure: records are kept by whoever calls.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from f.agent.loop import InvalidCall, Tool, ToolError
from f.agent.tool_servers import Server, ToolUnavailable, ToolUncertain

#: What a model sees of one result, in bytes.
MAX_RESULT = 64 * 1024

#: What a server may offer: tools, characters of a description, bytes of a schema.
MAX_TOOLS = 100
MAX_DESCRIPTION = 1000
MAX_SCHEMA = 16 * 1024

#: Names that MCP allows; providers take less (`public_name`).
NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")

UNAVAILABLE = "This tool is not available at the moment and has done nothing. Do without it, and say so."
UNKNOWN = (
    "It is not known whether this tool has done what was asked. Do not call it again for this; "
    "tell the customer that it still has to be confirmed."
)


@dataclass(frozen=True)
class Execution:
    """A recorded call; `state` "running" means: call it now."""

    id: UUID
    state: str
    result: str | None


class Records(Protocol):
    """Where calls are kept."""

    def begin(self, offer: "Offer", arguments: dict[str, Any], repeatable: bool) -> Execution | None: ...

    def finish(
        self, offer: "Offer", execution: Execution, state: str, ms: int, result: str | None, error: str | None
    ) -> None: ...


@dataclass(frozen=True)
class Offer:
    """A tool that a chatbot has; `name` is what the model calls it."""

    integration_id: UUID
    integration: str
    tool_name: str
    name: str
    description: str
    schema: dict[str, Any]


def offers_of(integration: Mapping[str, Any]) -> list[Offer]:
    """The enabled tools of one server, from its stored list. Those of others carry the server's name."""
    return [
        Offer(
            integration_id=integration["id"],
            integration=integration["name"],
            tool_name=tool["name"],
            name=public_name(integration, tool["name"]),
            description=tool["description"],
            schema=tool["schema"],
        )
        for tool in integration["tools"] or ()
        if tool["name"] in integration["enabled"]
    ]


def public_name(integration: Mapping[str, Any], tool_name: str) -> str:
    """What the model calls a tool: letters, digits, _ and -, at most 64, as every provider takes them."""
    name = tool_name if integration["kind"] == "own" else f"{integration['name']}__{tool_name}"
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]


def sound_tools(listed: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """What of a server's list can be offered to a model, and what is wrong with the rest."""
    sound: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for tool in listed[:MAX_TOOLS]:
        name = tool["name"] if isinstance(tool["name"], str) else ""
        problem = "its name cannot be used" if not NAME.fullmatch(name) or name in sound else None
        if problem := problem or schema_problem(tool["schema"]):
            problems.append(f"{name[:64]!r}: {problem}")
        else:
            sound[name] = {**tool, "description": shorten(str(tool["description"])[:MAX_DESCRIPTION])}
    if len(listed) > MAX_TOOLS:
        problems.append(f"{len(listed)} tools, only {MAX_TOOLS} are taken")
    return list(sound.values()), problems


def schema_problem(schema: Any) -> str | None:
    """Why a schema cannot be used, if it cannot."""
    import jsonschema  # a tenth of a second that a reply without tools does not need

    if not isinstance(schema, dict) or schema.get("type") != "object":
        return "its schema is not of an object"
    if not is_storable(schema):
        return "its schema holds what JSON cannot"
    text = json.dumps(schema)
    if len(text) > MAX_SCHEMA:
        return f"its schema is larger than {MAX_SCHEMA} bytes"
    if re.search(r'"\$(ref|dynamicRef)": "(?!#)', text):
        return "its schema refers to another document"
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"its schema is none: {error.message[:200]}"
    return None


def resume(tools: Mapping[str, Tool], offers: Sequence[Offer], earlier: Sequence[Mapping[str, Any]]) -> None:
    """Settle the calls that an attempt of this turn began and did not end, before the model is asked again."""
    names = {(offer.integration_id, offer.tool_name): offer.name for offer in offers}
    for row in earlier:
        tool = tools.get(names.get((row["integration_id"], row["tool_name"]), ""))
        if row["state"] == "running" and tool is not None:
            # How it ended is recorded by then: the model reads that when it calls the tool again.
            with suppress(ToolError):
                tool.run(row["arguments"])


def build_tool(offer: Offer, server: Server, records: Records) -> Tool:
    """`offer` as the loop calls it."""

    def run(arguments: dict[str, Any]) -> str:
        if not is_storable(arguments):
            raise InvalidCall("The arguments hold what JSON cannot: NUL, half a character, or a number without end.")
        return perform(offer, server, records, arguments)

    return Tool(offer.name, offer.description, offer.schema, run)


def perform(offer: Offer, server: Server, records: Records, arguments: dict[str, Any]) -> str:
    """The result of a call that happens once, whoever asks how often. Raises ToolError."""
    execution = records.begin(offer, arguments, server.repeatable)
    if execution is None:
        raise ToolError(UNAVAILABLE)
    match execution.state:
        case "succeeded":
            return execution.result or ""
        case "refused":
            raise ToolError(execution.result or "")
        case "unknown":
            raise ToolError(UNKNOWN)
    started = time.monotonic()

    def finish(state: str, result: str | None = None, error: str | None = None) -> None:
        ms = round((time.monotonic() - started) * 1000)
        records.finish(offer, execution, state, ms, result, error and shorten(error))

    try:
        result = shorten(_call(server, offer.tool_name, arguments, execution.id))
    except ToolError as error:
        refusal = shorten(str(error))
        finish("refused", refusal)
        raise ToolError(refusal) from error
    except ToolUnavailable as error:
        finish("failed", error=str(error))
        raise ToolError(UNAVAILABLE) from error
    except ToolUncertain as error:
        finish("unknown", error=str(error))
        raise ToolError(UNKNOWN) from error
    finish("succeeded", result)
    return result


def _call(server: Server, name: str, arguments: dict[str, Any], execution_id: UUID) -> str:
    """Where the server recognises the id, an answer that was lost is asked for once more."""
    try:
        return server.call(name, arguments, execution_id)
    except ToolUncertain:
        if not server.repeatable:
            raise
    return server.call(name, arguments, execution_id)


def is_storable(value: Any) -> bool:
    """Whether PostgreSQL takes it as JSON: Python reads NaN, NUL and lone surrogates, which it does not."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        return "\\u0000" not in text and bool(text.encode())
    except (ValueError, RecursionError):
        return False


def shorten(text: str) -> str:
    """`text` as it can be stored and shown to a model: without NUL, at most MAX_RESULT bytes."""
    data = text.replace("\x00", "").encode(errors="replace")
    if len(data) <= MAX_RESULT:
        return data.decode()
    return f"{data[:MAX_RESULT].decode(errors='ignore')}\n[cut off: the result has {len(data)} bytes]"
