# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Text from outside as PostgreSQL can keep it."""

from typing import Any


def storable(value: Any) -> Any:
    """`value`, at every depth, without what PostgreSQL cannot store: U+FFFD for NUL, "?" for a lone surrogate."""
    if isinstance(value, str):
        return value if _is_storable(value) else value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def _is_storable(text: str) -> bool:
    return "\x00" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text))
