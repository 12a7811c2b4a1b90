# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "lxml==6.1.3",
# ]
# ///
"""The package of a DOCX, made safe: only XML, without entities, within limits, in the names of Transitional files."""

import io
import re
import zipfile
from typing import Any

from f.knowledge.documents import MEGABYTE, ExtractionError, Limits

RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"

#: ISO/IEC 29500 Strict names what Transitional names otherwise.
_STRICT = (
    (
        rb"http://purl.oclc.org/ooxml/wordprocessingml/main",
        b"http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    ),
    (rb"http://purl.oclc.org/ooxml/drawingml/main", b"http://schemas.openxmlformats.org/drawingml/2006/main"),
    (
        rb"http://purl.oclc.org/ooxml/officeDocument/",
        b"http://schemas.openxmlformats.org/officeDocument/2006/",
    ),
)
_MAIN = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_OTHER_MAINS = re.compile(
    rb"application/vnd\.(?:ms-word\.(?:document|template)\.macroEnabled|openxmlformats-officedocument\.wordprocessingml"
    rb"\.template)\.main\+xml"
)
#: More than this from one byte, and it is a bomb: text comes to ten or twenty.
_RATIO = 200


def safe_copy(data: bytes, limits: Limits, warnings: list[str]) -> bytes:
    """The package with its XML only: bounded, without entities, in Transitional names."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if len(entries) > limits.archive_entries:
            raise ExtractionError(
                "too_large", f"The document has {len(entries)} parts; at most {limits.archive_entries}."
            )
        if any(entry.flag_bits & 1 for entry in entries):
            raise ExtractionError("password_required", "The document is encrypted. Save it without a password.")
        if any(".." in entry.filename.split("/") or entry.filename.startswith(("/", "\\")) for entry in entries):
            warnings.append("Entries that point out of the document (zip slip) were ignored.")
        texts = [e for e in entries if e.filename.lower().endswith((".xml", ".rels")) and ".." not in e.filename]
        declared = sum(entry.file_size for entry in texts)
        dense = any(e.file_size > MEGABYTE and e.file_size > _RATIO * max(e.compress_size, 1) for e in texts)
        if declared > limits.archive_bytes or dense:
            raise ExtractionError("too_large", "The document unpacks to more than one file may take.")
        names = {entry.filename for entry in entries}
        copied = io.BytesIO()
        left = limits.archive_bytes
        with zipfile.ZipFile(copied, "w", zipfile.ZIP_STORED) as copy:
            for name in dict.fromkeys(entry.filename for entry in entries if ".." not in entry.filename):
                if not name.lower().endswith((".xml", ".rels")):
                    copy.writestr(name, b"")  # pictures and fonts: referred to, never looked at
                    continue
                with archive.open(name) as file:
                    part = file.read(left + 1)
                left -= len(part)
                if left < 0:
                    raise ExtractionError("too_large", "The document unpacks to more than one file may take.")
                copy.writestr(name, _safe_part(name, part, names))
    return copied.getvalue()


def _safe_part(name: str, part: bytes, names: set[str]) -> bytes:
    if part.startswith((b"\xff\xfe", b"\xfe\xff")):
        part = re.sub(r"""encoding=["'][^"']*["']""", "", part.decode("utf-16"), count=1).encode()
    # Word writes neither; they are for entities that expand, or that fetch. In UTF-16 there is a zero in each letter.
    letters = part.replace(b"\0", b"") if b"\0" in part else part
    if b"<!DOCTYPE" in letters or b"<!ENTITY" in letters:
        raise ExtractionError("invalid", "The document declares XML entities, which no Word document does.")
    for strict, transitional in _STRICT:
        part = part.replace(strict, transitional)
    if name == "[Content_Types].xml":
        part = _OTHER_MAINS.sub(_MAIN, part)
    if name.endswith(".rels"):
        part = _without_dangling(name, part, names)
    return part


def _without_dangling(name: str, part: bytes, names: set[str]) -> bytes:
    """Relationships whose target exists: python-docx gives up on the others."""
    tree = parse(part)
    folder = name.rsplit("/", 1)[0].removesuffix("_rels").rstrip("/") if "/" in name else ""
    for relationship in tree.findall(f"{{{RELATIONSHIPS}}}Relationship"):
        if relationship.get("TargetMode") == "External":
            continue
        target = (relationship.get("Target") or "").split("#")[0]
        path = target.lstrip("/") if target.startswith("/") else f"{folder}/{target}".lstrip("/")
        steps: list[str] = []
        for step in path.split("/"):
            if step == "..":
                del steps[-1:]
            elif step not in ("", "."):
                steps.append(step)
        if "/".join(steps) not in names or ".." in name:
            tree.remove(relationship)
    from lxml import etree

    return etree.tostring(tree)


def parse(part: bytes) -> Any:
    from lxml import etree

    return etree.fromstring(part, etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True))
