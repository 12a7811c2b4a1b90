# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Documents: what extraction takes and gives, and what a file really is.

A file is what its bytes say. Its name and content type are claims; one that differs is refused, not guessed at.
"""

import io
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any

#: What can be read, and what people call it.
KINDS = {"pdf": "a PDF", "docx": "a Word document", "html": "a web page", "markdown": "Markdown", "text": "plain text"}
#: What shows nothing but text in its bytes.
TEXTS = ("html", "markdown", "text")

EXTENSIONS = {
    "pdf": "pdf",
    "docx": "docx",
    "docm": "docx",
    "dotx": "docx",
    "htm": "html",
    "html": "html",
    "xhtml": "html",
    "md": "markdown",
    "markdown": "markdown",
    "txt": "text",
    "text": "text",
    "csv": "text",
    "log": "text",
}
CONTENT_TYPES = {
    "application/pdf": "pdf",
    "application/x-pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-word.document.macroenabled.12": "docx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template": "docx",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/markdown": "markdown",
    "text/x-markdown": "markdown",
    "text/plain": "text",
    "text/csv": "text",
}

#: First bytes of what is not read here.
FOREIGN = (
    (b"\x89PNG\r\n", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"II*\x00", "a picture"),
    (b"MM\x00*", "a picture"),
    (b"BM", "a picture"),
    (b"{\\rtf", "an RTF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "an archive"),
    (b"7z\xbc\xaf", "an archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"OggS", "a recording"),
    (b"ID3", "a recording"),
    (b"%!PS", "a PostScript file"),
)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one file may cost."""

    file_bytes: int = 20 * MEGABYTE
    seconds: int = 90
    cpu_seconds: int = 60
    #: Address space of the process that reads, interpreter and libraries included.
    memory_bytes: int = 512 * MEGABYTE
    pages: int = 3000
    #: Characters of Markdown.
    characters: int = 8_000_000
    archive_entries: int = 2000
    #: XML of a Word document, unpacked; its tree is several times larger.
    archive_bytes: int = 32 * MEGABYTE
    #: Markup of a web page; its tree is some thirty times larger.
    html_bytes: int = 4 * MEGABYTE
    table_seconds: float = 2.0


@dataclass(frozen=True)
class Page:
    """`number` counts from 1. What has no pages is one page."""

    number: int
    markdown: str


@dataclass(frozen=True)
class Extraction:
    pages: list[Page]
    #: What was left out or is uncertain, for the person who uploaded the file.
    warnings: list[str] = field(default_factory=list)
    kind: str = ""

    @property
    def markdown(self) -> str:
        return "\n\n".join(page.markdown for page in self.pages if page.markdown)

    def as_dict(self) -> dict[str, Any]:
        pages = [{"number": page.number, "markdown": page.markdown} for page in self.pages]
        return {"pages": pages, "warnings": self.warnings}


def clean(text: str) -> str:
    """`text` as JSON and PostgreSQL take it: without zeros and halves of characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


class ExtractionError(Exception):
    """A file cannot be read; the message is for the person who uploaded it.

    `code` is one of password_required, too_large, invalid, unsupported, type_mismatch, no_text_layer, timeout.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def as_dict(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message}}


def claimed_kind(filename: str, content_type: str | None) -> str | None:
    """What name or, if that says nothing, content type claim; "other" for a claim that is none of KINDS."""
    extension = re.search(r"\.([A-Za-z0-9]{1,10})$", filename.strip())
    if extension and (kind := EXTENSIONS.get(extension[1].lower())):
        return kind
    given = (content_type or "").split(";")[0].strip().lower()
    if kind := CONTENT_TYPES.get(given):
        return kind
    return None


def identify(data: bytes, filename: str, content_type: str | None) -> str:
    """Which of KINDS `data` is. Raises ExtractionError for what is not read here or claims to be something else."""
    if not data:
        raise ExtractionError("invalid", "The file is empty.")
    claimed = claimed_kind(filename, content_type)
    found = _by_first_bytes(data)
    if found in KINDS:
        if claimed in (None, found) or (claimed in TEXTS and found == "text"):
            return claimed or found
        raise ExtractionError("type_mismatch", f"The file claims to be {KINDS[claimed]}, but it is {KINDS[found]}.")
    if claimed is None:
        raise ExtractionError("unsupported", f"The file is {found}. PDF, DOCX, HTML, Markdown and text can be read.")
    if found == "a ZIP archive" and claimed == "docx":
        raise ExtractionError("invalid", "The file is a ZIP archive without the parts of a Word document.")
    if found == "of no known kind":
        raise ExtractionError("invalid", f"The file claims to be {KINDS[claimed]}, but is not one, or it is damaged.")
    raise ExtractionError("type_mismatch", f"The file claims to be {KINDS[claimed]}, but it is {found}.")


def _by_first_bytes(data: bytes) -> str:
    head = data[:4096]
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        return _of_archive(data)
    if head.startswith(OLE):
        # Word encrypts by putting the document into an OLE container; the stream's name is in UTF-16.
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise ExtractionError("password_required", "The document is encrypted. Save it without a password.")
        return "an Office file of before 2007"
    for start, name in FOREIGN:
        if head.startswith(start) and (len(start) > 2 or b"\x00" in head):
            return name
    if head.startswith(b"RIFF") or head[4:8] == b"ftyp":
        return "a recording or picture"
    if b"\x00" in head and not _is_utf16(head):
        return "of no known kind"
    start = head.replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower()
    start = re.sub(rb"^(?:<\?xml[^>]*>|<!--.*?-->|\s+)+", b"", start, flags=re.DOTALL)
    if re.match(rb"<(?:!doctype\s+html|html|head|body)[\s>]", start):
        return "html"
    return "text"


def _is_utf16(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    zeros = (head[0::2].count(0), head[1::2].count(0))
    return max(zeros) > len(head) // 5 and min(zeros) <= len(head) // 50


def _of_archive(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            try:
                entry = archive.getinfo("[Content_Types].xml")
            except KeyError:
                return "a ZIP archive"
            if entry.flag_bits & 1:
                raise ExtractionError("password_required", "The document is encrypted. Save it without a password.")
            with archive.open(entry) as file:
                types = file.read(MEGABYTE)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error):
        raise ExtractionError("invalid", "The file is a damaged ZIP archive.") from None
    if b"spreadsheetml" in types or b"ms-excel" in types:
        # A Word document may hold a spreadsheet; its own part is then named as well.
        if b"wordprocessingml.document.main" not in types:
            return "a spreadsheet"
    elif b"presentationml" in types:
        return "a presentation"
    return "docx"
