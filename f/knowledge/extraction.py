"""Text of uploaded files: plain text and Markdown."""

from dataclasses import dataclass, field
from pathlib import PurePath


@dataclass(frozen=True)
class Page:
    number: int | None
    markdown: str


@dataclass(frozen=True)
class Extraction:
    pages: list[Page]
    warnings: list[str] = field(default_factory=list)


class ExtractionError(Exception):
    """The file cannot be read; `code` is for programs."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


def extract(data: bytes, filename: str, content_type: str) -> Extraction:
    """The pages of a file. Raises ExtractionError."""
    if PurePath(filename).suffix.lower() not in (".txt", ".md", "") or b"\0" in data:
        raise ExtractionError("unsupported_type", "only plain text and Markdown can be read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    return Extraction([Page(None, text)])
