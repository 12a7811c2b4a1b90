"""Documents for tests, made by the tests: nothing here comes from elsewhere."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import pymupdf

from f.knowledge.documents import Extraction, Limits
from f.knowledge.extraction import read

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
CONTENT_TYPES = """<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/>
<Override PartName="/word/document.xml"
 ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"""
RELATIONSHIPS = f"""<?xml version="1.0"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>"""
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def text_of(data: bytes, kind: str) -> str:
    return read_one(data, kind).markdown


def read_one(data: bytes, kind: str, limits: Limits | None = None) -> Extraction:
    """Read in this process: for documents that harm nobody."""
    return read(data, kind, limits or Limits())


def html(body: str, head: str = "") -> bytes:
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode()


class Pdf:
    """A PDF that pymupdf writes."""

    def __init__(self) -> None:
        self.document = pymupdf.open()
        self.page = self.new_page()

    def new_page(self) -> Any:
        self.page = self.document.new_page()
        self.y = 72.0
        return self.page

    def write(self, text: str, size: float = 11, x: float = 72, font: str = "helv", **style: Any) -> "Pdf":
        """One line below the last one."""
        self.page.insert_text((x, self.y), text, fontsize=size, fontname=font, **style)
        self.y += size * 1.4
        return self

    def gap(self, points: float = 14) -> "Pdf":
        self.y += points
        return self

    def bytes(self, **options: Any) -> bytes:
        return bytes(self.document.tobytes(**options))


def raw_pdf(*objects: bytes) -> bytes:
    """A PDF byte by byte; the first object is its catalogue."""
    out = b"%PDF-1.7\n"
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + end


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


def page_pdf(content: bytes, *more: bytes, resources: bytes = b"", entries: bytes = b"") -> bytes:
    """A page with `content`; object 5 is its font F, and `more` begin with 6."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
    page += b" /Resources << /Font << /F 5 0 R >> " + resources + b" >> >>"
    catalogue = b"<< /Type /Catalog /Pages 2 0 R >>"
    pages = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    return raw_pdf(catalogue, pages, page, stream(content, entries), FONT, *more)


def docx(
    body: str, parts: Mapping[str, str | bytes] | None = None, relationships: str = "", namespace: str = W
) -> bytes:
    """A Word document from the XML of its body; `parts` by name take the place of what is there."""
    document = f'<w:document xmlns:w="{namespace}" xmlns:r="{OFFICE}"><w:body>{body}</w:body></w:document>'
    files = {
        "[Content_Types].xml": CONTENT_TYPES,
        "_rels/.rels": RELATIONSHIPS,
        "word/document.xml": document,
        "word/_rels/document.xml.rels": RELATIONSHIPS.replace(
            f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="word/document.xml"/>', relationships
        ),
    }
    return packed(files | dict(parts or {}))


def packed(files: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def paragraph(text: str, run: str = "", properties: str = "") -> str:
    return (
        f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:rPr>{run}</w:rPr><w:t xml:space='preserve'>{text}</w:t></w:r></w:p>"
    )
