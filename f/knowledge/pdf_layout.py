# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Lines of a PDF as paragraphs, lists and headings: by their place, size and weight in the whole document. Pure."""

import re
from collections import Counter
from dataclasses import dataclass, field

from f.knowledge import markup, pdf_tables
from f.knowledge.documents import Page

_NUMBERED = re.compile(r"(?:\d{1,3}[.)]|[a-zA-Z][.)]|\(\w{1,3}\))\s+\S")
_PAGE_NUMBER = re.compile(r"(?:\w{1,9}\.?\s)?#(?:\s?(?:/|\w{1,4})\s?#)?|[-–—]\s?#\s?[-–—]")


@dataclass(slots=True)
class Line:
    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    bold: bool
    block: int
    direction: tuple[int, int] = (1, 0)
    table: pdf_tables.Table | None = None


@dataclass(slots=True)
class Paragraph:
    text: str
    size: float
    bold: bool
    x0: float
    y0: float
    y1: float
    lines: int = 1
    #: "", "list" or "table".
    role: str = ""


@dataclass
class Sheet:
    """What was seen on one page."""

    number: int
    height: float
    paragraphs: list[Paragraph] = field(default_factory=list)


def paragraphs_of(lines: list[Line]) -> list[Paragraph]:
    """Lines as paragraphs, items of lists and tables, in the order in which the PDF has them."""
    found: list[Paragraph] = []
    #: Where the lines that begin at one place end at most.
    ends: dict[int, float] = {}
    for line in lines:
        ends[round(line.x0 / 4)] = max(line.x1, ends.get(round(line.x0 / 4), 0))
    last: Line | None = None
    for line in lines:
        if line.table:
            text = markup.table(line.table.rows)
            found.append(Paragraph(text, line.size, False, line.x0, line.y0, line.y1, role="table"))
            last = None
            continue
        bullet = markup.BULLET.match(line.text)
        text = "- " + line.text[bullet.end() :] if bullet else line.text
        if last and found and not bullet:
            current = found[-1]
            if line.block == last.block and line.y0 < last.y1 - 0.4 * (last.y1 - last.y0) and line.x0 >= last.x1 - 1:
                # Another piece of the same line, behind a gap.
                lone = len(current.text) <= 1 and markup.BULLET.match(current.text + " ")
                current.text = f"- {text}" if lone else f"{current.text} {text}"
                current.role = "list" if lone else current.role
                current.bold = current.bold and line.bold
                last = line
                continue
            if _goes_on(current, last, line):
                if _ends_early(last, line, ends.get(round(last.x0 / 4), last.x1)):
                    current.text = f"{current.text}\n{text}"
                else:
                    current.text = markup.join_lines(current.text, text)
                current.lines += 1
                current.y1 = line.y1
                current.bold = current.bold and line.bold
                last = line
                continue
        role = "list" if bullet or _NUMBERED.match(text) else ""
        found.append(Paragraph(text, line.size, line.bold, line.x0, line.y0, line.y1, role=role))
        last = line
    return found


def _goes_on(current: Paragraph, last: Line, line: Line) -> bool:
    if abs(line.size - last.size) > 0.12 * max(line.size, last.size) or _NUMBERED.match(line.text):
        return False
    gap = line.y0 - last.y1
    height = last.y1 - last.y0
    if line.block == last.block:
        if current.bold and not line.bold and current.lines == 1 and len(current.text) < 80:
            return current.text[-1] not in ".:?!" and line.text[:1].islower()
        return gap < 0.8 * height
    # Another block: the next column, or text around a picture.
    return line.bold == last.bold and current.text[-1] not in ".:;?!" and line.text[:1].islower()


def _ends_early(last: Line, line: Line, end: float) -> bool:
    """Whether a line was broken on purpose, as in a list of prices: the next word would have fitted."""
    if line.text[:1].islower() or last.text[-1] in "-\u2010":
        return False
    word = len(line.text.split(" ", 1)[0]) + 1
    return last.x1 + 1.1 * word * (line.x1 - line.x0) / len(line.text) < end


def pages_of(sheets: list[Sheet]) -> list[Page]:
    """Markdown, with headings by what is larger or bolder than the body of the whole document."""
    _drop_repeated(sheets)
    letters: Counter[float] = Counter()
    paragraphs: Counter[float] = Counter()
    bold = 0
    for sheet in sheets:
        for paragraph in sheet.paragraphs:
            size = round(paragraph.size * 2) / 2
            letters[size] += len(paragraph.text)
            paragraphs[size] += 1
            bold += len(paragraph.text) if paragraph.bold else 0
    # A size that much of the text has is one of the body, too.
    often = [s for s, n in letters.items() if n > 0.2 * sum(letters.values()) and paragraphs[s] > 4]
    body = max([letters.most_common(1)[0][0], *often])
    bold_speaks = bold < 0.3 * sum(letters.values())
    sizes = sorted({_step(p.size) for sheet in sheets for p in sheet.paragraphs if _is_larger(p, body)}, reverse=True)
    levels = {size: min(rank + 1, 5) for rank, size in enumerate(sizes)}
    under = min(max(levels.values(), default=0) + 1, 6)
    return [Page(sheet.number, _markdown(sheet, body, levels, under if bold_speaks else 0)) for sheet in sheets]


def _step(size: float) -> float:
    return round(size)


def _is_larger(paragraph: Paragraph, body: float) -> bool:
    return (
        paragraph.size >= 1.15 * body
        and paragraph.role != "table"
        and paragraph.lines <= 3
        and len(paragraph.text) <= 160
        and any(letter.isalnum() for letter in paragraph.text)
        and not paragraph.text.startswith("- ")
    )


def _markdown(sheet: Sheet, body: float, levels: dict[float, int], bold_level: int) -> str:
    written: list[str] = []
    indents: list[float] = []
    before = ""
    for paragraph in sheet.paragraphs:
        text = paragraph.text
        if not text:
            continue
        role = paragraph.role
        if _is_larger(paragraph, body):
            role, text = "heading", markup.heading(levels[_step(paragraph.size)], text.replace("\n", " "))
        elif bold_level and _is_bold_heading(paragraph, body):
            role, text = "heading", markup.heading(bold_level, text.replace("\n", " "))
        elif role == "list":
            while indents and paragraph.x0 < indents[-1] - 4:
                indents.pop()
            if not indents or paragraph.x0 > indents[-1] + 4:
                indents.append(paragraph.x0)
            text = "  " * min(len(indents) - 1, 5) + text
        elif not role:
            text = markup.paragraph(text)
        if role != "list":
            indents = []
        written.append(("\n" if role == "list" == before else "\n\n") + text)
        before = role
    return "".join(written).strip()


def _is_bold_heading(paragraph: Paragraph, body: float) -> bool:
    return (
        paragraph.bold
        and paragraph.role != "table"
        and paragraph.lines <= 2
        and paragraph.size >= 0.95 * body
        and 2 < len(paragraph.text) <= 120
        and paragraph.text[-1] not in ".,;:"
        and not paragraph.text.startswith("- ")
        and sum(letter.isalpha() for letter in paragraph.text) > len(paragraph.text) / 2
    )


def _drop_repeated(sheets: list[Sheet]) -> None:
    """Remove running heads and page numbers: what stands at the edge of most pages, apart from its digits."""
    if len(sheets) < 4:
        return
    edges = [
        (sheet, paragraph, re.sub(r"\d+", "#", paragraph.text))
        for sheet in sheets
        for paragraph in (*sheet.paragraphs[:2], *sheet.paragraphs[2:][-2:])
        if paragraph.lines == 1
        and len(paragraph.text) <= 120
        and (paragraph.y1 < 0.1 * sheet.height or paragraph.y0 > 0.9 * sheet.height)
    ]
    seen = Counter(key for _, _, key in edges)
    for sheet, paragraph, key in edges:
        often = seen[key] >= 0.6 * len(sheets)
        if (often or (seen[key] > 2 and _PAGE_NUMBER.fullmatch(key))) and paragraph in sheet.paragraphs:
            sheet.paragraphs.remove(paragraph)
