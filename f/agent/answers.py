# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "attrs==26.1.0", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "referencing==0.37.0",
#   "rpds-py==2026.9.1", "typing-extensions==4.16.0",
# ]
# ///
"""What a provider answered, made sound: whatever speaks its protocol may send what the protocol does not have.

Completions that leave this module have text that can be stored, counts that are counts, and calls whose name and
arguments are text.
"""

import json
import math
import re
from dataclasses import replace
from typing import Any

from f.agent.loop import Completion, ModelError, ToolCall, unreadable
from f.lib.texts import storable

#: More tokens than any model takes or writes: what counts more counts wrongly.
MOST_TOKENS = 100_000_000

#: Longest name of a model or a tool, in characters.
MOST_NAME = 200


def sound(completion: Completion, asked_for: str) -> Completion:
    """The completion with everything in the type and the characters that it should have.

    asked_for: the model's name, for a server that does not say who answered. Raises ModelError "later" where nothing
    sensible can be made of the answer.
    """
    if not isinstance(completion.text, str):
        raise ModelError("the provider's answer has an unknown shape", "later")
    return replace(
        completion,
        text=storable(completion.text),
        model=_name(completion.model) or asked_for,
        detail=_name(completion.detail),
        prompt_tokens=count(completion.prompt_tokens),
        completion_tokens=count(completion.completion_tokens),
        tool_calls=tuple(_call(call, number) for number, call in enumerate(completion.tool_calls)),
    )


def _call(call: ToolCall, number: int) -> ToolCall:
    if not isinstance(call.arguments, str):
        raise ModelError("the provider's answer has an unknown shape", "later")
    # A name that is none of ours is a mistake that the loop lets the model repair.
    return ToolCall(_name(call.id) or f"call-{number}", _name(call.name), call.arguments)


def _name(value: Any) -> str:
    return storable(value)[:MOST_NAME] if isinstance(value, str) else ""


def count(value: Any) -> int:
    """Tokens as a provider counts them, 0 for what is no count: then they are estimated."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return int(number) if math.isfinite(number) and 0 <= number <= MOST_TOKENS else 0


def text_of(content: Any) -> Any:
    """The text of an answer that is text, nothing, or a list of parts, of which only those of text count."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return "" if content is None else content


def object_of(arguments: str) -> dict[str, Any] | None:
    """The JSON object that a call's arguments are, or None."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def usable(completion: Completion) -> Completion:
    """The completion as the loop may take it: text that was cut off ends with its last whole sentence.

    Raises ModelError, with the completion as `usage`, for an answer that is blocked, empty, or cut off too early.
    """
    if completion.finish == "blocked":
        detail = f": {completion.detail}" if completion.detail else ""
        raise ModelError(f"the provider blocked the answer{detail}", "blocked", usage=completion)
    if completion.tool_calls or unreadable(completion):
        return completion
    if completion.finish == "length":
        text = whole_sentences(completion.text)
        if not text:
            raise ModelError("the answer was cut off before its first sentence ended", usage=completion)
        return replace(completion, text=text)
    if not completion.text.strip():
        raise ModelError("the model's answer is empty", "later", usage=completion)
    return completion


def whole_sentences(text: str) -> str:
    """`text` up to the end of its last sentence or line; empty when not even one is whole.

    A full stop after a digit counts only when something follows: "from 3." may be half of 3.50.
    """
    ends = [match.end() for match in re.finditer(r"[.!?…]+[\"'»”’)\]*_]*(?=\s)|[。！？]|(?=\n)", text)]
    if re.search(r"[^\d\s.][.!?…]+[\"'»”’)\]*_]*\s*$", text):
        ends.append(len(text))
    return text[: max(ends, default=0)].strip()
