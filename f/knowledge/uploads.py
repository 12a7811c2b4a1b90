# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""A file as it comes with a request: as its body, or in a form. Pure."""

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from f.knowledge.documents import CONTENT_TYPES, EXTENSIONS
from f.lib import http

#: Bodies that Windmill hands over as text; every other one only where it is UTF-8, else in base64.
AS_TEXT = ("text/plain", "application/xml", "text/xml", "application/json", "application/x-www-form-urlencoded")

#: Types that say nothing: then the ending counts alone.
VAGUE = ("", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded")


@dataclass(frozen=True)
class Upload:
    """`data` None: the bytes cannot be had; `problem` says why where there is more to say."""

    data: bytes | None
    content_type: str
    problem: http.ApiError | None = None


def upload_of(event: dict[str, Any]) -> Upload:
    return Upload(bytes_of(event), content_type_of(event))


def content_type_of(event: dict[str, Any]) -> str:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return str(headers.get("content-type") or "").partition(";")[0].strip().lower()


def bytes_of(event: dict[str, Any]) -> bytes | None:
    """The body's bytes; None where they cannot be had. Never raises."""
    raw = event.get("raw_string")
    if not isinstance(raw, str):
        return None
    kind = content_type_of(event)
    if kind in AS_TEXT or kind.endswith("+json"):
        return raw.encode("utf-8", "replace")
    try:
        data = base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError):
        return raw.encode("utf-8", "replace")
    # What is UTF-8 does not come in base64: then it was sent like this.
    return raw.encode() if is_utf8(data) else data


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_form(event: dict[str, Any]) -> bool:
    """Whether the files of the request are in the object storage, where Windmill has put them."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return str(headers.get("content-type") or "").startswith("multipart/form-data")


def form_of(event: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The texts of a form, and the keys of its files in the object storage.

    A text cannot pass for a file: of a field with files Windmill makes a list, of any other one a text.
    """
    body = event.get("body")
    fields = body.items() if isinstance(body, dict) else ()
    texts = {name: value for name, value in fields if isinstance(value, str)}
    lists = [value for _, value in fields if isinstance(value, list)]
    keys = [item.get("s3") for items in lists for item in items if isinstance(item, dict)]
    return texts, [key for key in keys if isinstance(key, str)]


def file_name(name: str, value: Any) -> str:
    """A file's name without a path. Raises ApiError."""
    given = http.text(name, value, most=255)
    last = re.split(r"[/\\]", given)[-1].strip()
    return http.text(name, last, most=200)


def is_readable(name: str, content_type: str) -> bool:
    """Whether it is worth trying. What it really is, the ingestion finds out from its bytes."""
    return PurePath(name).suffix.lower()[1:] in EXTENSIONS and (content_type in VAGUE or content_type in CONTENT_TYPES)
