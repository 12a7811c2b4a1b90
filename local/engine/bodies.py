"""What a request's body and query mean as arguments, as Windmill reads them. Pure."""

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
NO_STORAGE = f"{MULTIPART} needs object storage: send the file as the body, with its own content type"
TEXTS = ("text/plain", "application/xml", "text/xml")


class BadBody(ValueError):
    """The body cannot be read; the message says why."""


@dataclass(frozen=True)
class Body:
    """`value` is what the body says; `raw_string`, where it says nothing that JSON could, its text, or base64 where it
    is not UTF-8."""

    value: Any
    raw_string: str | None = None

    def arguments(self, *, wrapped: bool = False) -> dict[str, Any]:
        """What a script without a preprocessor gets."""
        is_object = isinstance(self.value, dict)
        arguments = self.value if is_object and not wrapped else {"body": self.value}
        return arguments if self.raw_string is None else {**arguments, "raw_string": self.raw_string}


def holds_values(content_type: str) -> bool:
    """Whether a body of this type becomes arguments, in which references are followed."""
    kind = content_type.lower()
    return not kind.strip() or "json" in kind or FORM in kind


def read_body(data: bytes, content_type: str, *, raw_string: bool = False) -> Body:
    """Read a body by its content type; with `raw_string` its text is kept as well. Raises BadBody."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == MULTIPART:
        raise BadBody(NO_STORAGE)
    if kind in ("", "application/json") or kind.endswith("+json"):
        text = _text(data)
        return Body(_json(text) if text.strip() else {}, text if raw_string else None)
    if kind == FORM:
        text = _text(data)
        return Body(dict(parse_qsl(text, keep_blank_values=True)), text if raw_string else None)
    if kind in TEXTS:
        return Body({}, _text(data))
    try:
        return Body({}, data.decode())
    except UnicodeDecodeError:
        return Body({}, base64.b64encode(data).decode())


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadBody(f"invalid utf8: {error}") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadBody(f"invalid json: {error}") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
