# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "pymupdf==1.28.2",
# ]
# ///
"""PDF: what a reader sees, as Markdown page by page.

pymupdf gives text with its boxes, sizes and colours, and the boxes of what is drawn, in one pass over a page. What is
text, what is a heading, a list or a table, and what nobody can see is decided here.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from f.knowledge import markup, pdf_tables
from f.knowledge.documents import Extraction, ExtractionError, Limits, Page
from f.knowledge.pdf_tables import Box, Word

#: Bits of a span's char_flags.
FILLED, STROKED, CLIPPING = 16, 32, 64
BOLD = 16

SMALLEST = 3.0
#: Differences of a colour, of 255, that can hardly be seen.
UNSEEN = 16
#: A page with more texts on more grounds is drawn, and all of its text looked at.
MOST_COMPARISONS = 500_000
#: A page that is mostly a picture and has fewer characters has not been read by anybody.
SCAN_CHARACTERS = 25

_ACCENTS = {"´": "\u0301", "¨": "\u0308", "ˆ": "\u0302", "˜": "\u0303", "˘": "\u0306", "ˇ": "\u030c", "˚": "\u030a"}
#: LaTeX without a map to Unicode: an accent before its letter, and the ligature ff as an arrow.
_LATEX = re.compile(r"([´¨ˆ˜˘ˇ˚])([A-Za-zı])|(?<=[a-z])↵(?=[a-z-])")
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


@dataclass
class Findings:
    """For the warnings."""

    hidden: Counter[int] = field(default_factory=Counter)
    scanned: list[int] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    tables_given_up: list[int] = field(default_factory=list)
    recognised: list[int] = field(default_factory=list)
    unreadable: int = 0


def read(data: bytes, limits: Limits) -> Extraction:
    """Raises ExtractionError: password_required, invalid, too_large, no_text_layer."""
    import pymupdf  # one to two seconds on a slow machine

    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    try:
        document = pymupdf.open(stream=data, filetype="pdf")
        if document.needs_pass:
            raise ExtractionError("password_required", "The PDF is encrypted. Save it without a password.")
        count = document.page_count
    except (RuntimeError, ValueError) as error:
        raise _as_refusal(error) from None
    if not count:
        raise ExtractionError("invalid", "The PDF has no pages, or it is damaged.")
    if count > limits.pages:
        raise ExtractionError("too_large", f"The PDF has {count} pages; at most {limits.pages} are read.")
    findings = Findings()
    sheets: list[Sheet] = []
    characters = 0
    for index in range(count):
        try:
            sheet = _sheet(pymupdf, document, index, limits, findings)
        except (RuntimeError, ValueError, IndexError) as error:
            refusal = _as_refusal(error)
            if refusal.code == "too_large":
                raise refusal from None
            findings.damaged.append(index + 1)
            continue
        characters += sum(len(paragraph.text) for paragraph in sheet.paragraphs)
        if characters > limits.characters:
            raise ExtractionError("too_large", "The PDF has too much text.")
        sheets.append(sheet)
    document.close()
    if not characters:
        raise _without_text(findings, count)
    return Extraction(_pages(sheets), _warnings(findings, count), "pdf")


def _as_refusal(error: Exception) -> ExtractionError:
    text = str(error)
    if isinstance(error, MemoryError) or "malloc" in text or "alloc" in text or "too large" in text:
        return ExtractionError("too_large", "The PDF needs more memory than one file may take.")
    return ExtractionError("invalid", "The PDF is damaged: it cannot be opened.")


def _without_text(findings: Findings, count: int) -> ExtractionError:
    if len(findings.damaged) == count:
        return ExtractionError("invalid", "The PDF is damaged: none of its pages can be read.")
    if findings.hidden:
        return ExtractionError("no_text_layer", "The PDF has no text that can be seen.")
    if findings.scanned:
        return ExtractionError(
            "no_text_layer",
            "The PDF is a scan: pictures of pages without text. Run text recognition (OCR) on it first.",
        )
    return ExtractionError("no_text_layer", "The PDF has no text.")


def _warnings(findings: Findings, count: int) -> list[str]:
    warnings = []
    if findings.hidden:
        total = sum(findings.hidden.values())
        warnings.append(f"Hidden text was left out ({total} places, {_named(sorted(findings.hidden))}).")
    if findings.scanned:
        warnings.append(f"A scan without text, not read: {_named(findings.scanned)}.")
    if findings.damaged:
        warnings.append(f"Damaged and not read: {_named(findings.damaged)}.")
    if findings.recognised:
        warnings.append(f"The text was recognised by a scanner and may have errors: {_named(findings.recognised)}.")
    if findings.tables_given_up:
        warnings.append(f"Too many lines to look for tables: {_named(findings.tables_given_up)}.")
    if findings.unreadable:
        warnings.append(f"{findings.unreadable} characters have no known meaning and were left out.")
    return warnings


def _named(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10])) + (" …" if len(numbers) > 10 else "")
    return f"page {shown}" if len(numbers) == 1 else f"pages {shown}"


# --- one page ---------------------------------------------------------------------------------------------------------


def _sheet(pymupdf: Any, document: Any, index: int, limits: Limits, findings: Findings) -> Sheet:
    page = document[index]
    if page.rotation:
        page.set_rotation(0)  # text, links and pixels in one system of coordinates; _turn sees to the rest
    flags = pymupdf.TEXT_PRESERVE_LIGATURES | pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_COLLECT_VECTORS
    seen = page.get_textpage(clip=pymupdf.INFINITE_RECT(), flags=flags)
    blocks = seen.extractDICT()["blocks"]
    links = _links(page) if page.first_link else []
    view = View(page, tuple(page.rect), [block for block in blocks if block["type"] == 3])
    number = index + 1
    lines = _lines([block for block in blocks if block["type"] == 0], view, links)
    if view.hidden:
        findings.hidden[number] = len(view.hidden)
    if view.recognised:
        findings.recognised.append(number)
    findings.unreadable += view.unreadable
    if sum(len(line.text) for line in lines) < SCAN_CHARACTERS and view.is_picture():
        findings.scanned.append(number)
        return Sheet(number, view.height)
    turn = _turn(view.directions, view.box)
    if turn:
        for line in lines:
            line.x0, line.y0, line.x1, line.y1 = turn((line.x0, line.y0, line.x1, line.y1))
    if len(view.vectors) > 1:

        def words() -> list[Word]:
            return _words(seen.extractWORDS(), view, links, turn)

        try:
            lines = _with_tables(lines, view, words, turn, limits.table_seconds)
        except pdf_tables.TooSlow:
            findings.tables_given_up.append(number)
    height = view.width if turn and turn.__name__ != "over" else view.height
    main = view.directions.most_common(1)[0][0] if view.directions else None
    for line in lines:
        if line.direction != main and not line.table:
            line.size = 1.0  # a note along the margin is no heading
    return Sheet(number, height, _paragraphs(lines))


class View:
    """What can be seen on a page; asked only about text that is suspicious."""

    def __init__(self, page: Any, box: Box, vectors: list[dict[str, Any]]) -> None:
        self.page = page
        self.box = box
        self.width, self.height = box[2] - box[0], box[3] - box[1]
        self.vectors = vectors
        self.hidden: list[Box] = []
        self.recognised = False
        self.unreadable = 0
        self.directions: Counter[tuple[int, int]] = Counter()
        #: One picture is the whole page, so all invisible text on it is what a scanner recognised.
        self._recognised_everywhere = False
        self._pixels: Any = None
        self._pictures: list[Box] | None = None
        #: What may cover text or be its ground: where in the order of drawing, and what colour; by strips of the page.
        self.fills: dict[int, list[tuple[int, Box, tuple[int, int, int]]]] = {}
        self._comparisons = 0
        self._strip = max(self.height / 50, 1.0)
        for vector in vectors:
            if not vector["stroked"] and vector["alpha"] > 128:
                fill = (vector["number"], vector["bbox"], _channels(vector["color"]))
                first, last = (int(min(max(y, 0), self.height) / self._strip) for y in fill[1][1::2])
                for strip in range(first, last + 1):
                    self.fills.setdefault(strip, []).append(fill)

    def shows(self, span: dict[str, Any], block: int) -> bool:
        """Whether a reader sees `span`, the spans of which block `block` are."""
        box = span["bbox"]
        if self._recognised_everywhere and not span["char_flags"] & (FILLED | STROKED | CLIPPING):
            return True
        if box[2] <= self.box[0] or box[0] >= self.box[2] or box[3] <= self.box[1] or box[1] >= self.box[3]:
            return False
        if not span["char_flags"] & (FILLED | STROKED | CLIPPING):
            # Neither filled nor stroked: the text under a scan, or text that hides.
            on_picture = any(_mostly_inside(box, picture) for picture in self.pictures())
            self._recognised_everywhere = any(_covers(picture, self.box) for picture in self.pictures())
            self.recognised = self.recognised or on_picture
            return on_picture
        if span["size"] < SMALLEST or span["alpha"] < UNSEEN:
            return False
        return not self._is_suspicious(span, box, block) or self._is_drawn(box)

    def _is_suspicious(self, span: dict[str, Any], box: Box, block: int) -> bool:
        colour = _channels(span["color"])
        if min(colour) >= 200:
            return True
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        near = self.fills.get(int(y / self._strip), ())
        self._comparisons += len(near)
        if self._comparisons > MOST_COMPARISONS:
            return True
        for number, (x0, y0, x1, y1), fill in near:
            if x0 <= x <= x1 and y0 <= y <= y1:
                if number > block:
                    return True
                if max(abs(a - b) for a, b in zip(colour, fill, strict=True)) < 48:
                    return True
        return False

    def pictures(self) -> list[Box]:
        """Pictures that are not mere decoration."""
        if self._pictures is None:
            boxes = [tuple(image["bbox"]) for image in self.page.get_image_info()]
            self._pictures = [b for b in boxes if (b[2] - b[0]) * (b[3] - b[1]) > 0.05 * self.width * self.height]
        return self._pictures

    def is_picture(self) -> bool:
        area = sum((b[2] - b[0]) * (b[3] - b[1]) for b in self.pictures())
        return area > 0.25 * self.width * self.height

    def _is_drawn(self, box: Box) -> bool:
        """Whether the page, drawn, is anything but one colour within `box`."""
        if self._pixels is None:
            zoom = min(2.0, (3_000_000 / max(1.0, self.width * self.height)) ** 0.5)
            try:
                self._pixels = (self.page.get_pixmap(matrix=(zoom, 0, 0, zoom, 0, 0), alpha=False), zoom)
            except (RuntimeError, ValueError, MemoryError):
                self._pixels = (None, zoom)
        pixels, zoom = self._pixels
        if pixels is None:
            return False
        left = max(0, round((box[0] - self.box[0]) * zoom) + 1)
        right = min(pixels.width, round((box[2] - self.box[0]) * zoom) - 1)
        top = max(0, round((box[1] - self.box[1]) * zoom) + 1)
        bottom = min(pixels.height, round((box[3] - self.box[1]) * zoom) - 1)
        if right <= left or bottom <= top:
            return False
        view = pixels.samples_mv
        rows = [bytes(view[y * pixels.stride + left * 3 : y * pixels.stride + right * 3]) for y in range(top, bottom)]
        return any(max(max(row[c::3]) for row in rows) - min(min(row[c::3]) for row in rows) > UNSEEN for c in range(3))


def _channels(colour: int) -> tuple[int, int, int]:
    return colour >> 16 & 255, colour >> 8 & 255, colour & 255


def _mostly_inside(box: Box, other: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]


def _covers(box: Box, page: Box) -> bool:
    return box[0] <= page[0] + 2 and box[1] <= page[1] + 2 and box[2] >= page[2] - 2 and box[3] >= page[3] - 2


def _lines(blocks: list[dict[str, Any]], view: View, links: list[tuple[Box, str]]) -> list[Line]:
    """What can be seen, line by line, links written out."""
    found: list[Line] = []
    left, top, right, bottom = view.box
    for block in blocks:
        number = block["number"]
        for line in block["lines"]:
            parts: list[str] = []
            bold = size = weight = 0.0
            box = line["bbox"]
            inside = left <= box[0] and box[2] <= right and top <= box[1] and box[3] <= bottom
            linked = [item for item in links if _touches(box, item[0])] if links else None
            for span in line["spans"]:
                text = span["text"]
                # The usual case first: dark text on the page that nothing is drawn over.
                if not (
                    inside
                    and span["char_flags"] & 48
                    and span["size"] >= SMALLEST
                    and span["alpha"] >= UNSEEN
                    and not span["color"] & 0x808080
                    and not view.fills
                ) and not view.shows(span, number):
                    if text.strip():
                        view.hidden.append(span["bbox"])
                    continue
                length = len(text)
                weight += length
                size += span["size"] * length
                if span["flags"] & BOLD or span["char_flags"] & 8:
                    bold += length
                parts.append(_addressed(text, span["bbox"], linked) if linked else text)
            if not parts:
                continue
            text = "".join(parts)
            if not text.isascii():
                view.unreadable += text.count("\ufffd")
                if _LATEX.search(text):
                    text = _LATEX.sub(_composed, text)
                text = markup.clean(text)
            text = " ".join(text.split())
            if text and weight:
                direction = (round(line["dir"][0]), round(line["dir"][1]))
                view.directions[direction] += len(text)
                found.append(
                    Line(text, box[0], box[1], box[2], box[3], size / weight, bold > 0.8 * weight, number, direction)
                )
    return found


def _composed(match: re.Match[str]) -> str:
    if not match[1]:
        return "ff"
    composed = unicodedata.normalize("NFC", match[2] + _ACCENTS[match[1]])
    return composed if len(composed) == 1 else match[0]


def _touches(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < (b[1] + b[3]) / 2 < a[3]


def _links(page: Any) -> list[tuple[Box, str]]:
    """Areas and the addresses they lead to; of one that goes over several lines only the last area."""
    found: list[tuple[Box, str]] = []
    for item in page.get_links():
        if item["kind"] != 2 or not item.get("uri"):
            continue
        area, address = tuple(item["from"]), item["uri"].strip()
        if found and found[-1][1] == address and 0 < area[1] - found[-1][0][1] < 2 * (area[3] - area[1]):
            found.pop()
        found.append((area, address))
    return found


def _addressed(text: str, box: Box, links: list[tuple[Box, str]]) -> str:
    """`text`, behind the words that lie under a link its address.

    A link of a PDF is an area, whose edges are not those of words: the sentence is not cut by brackets.
    """
    width = box[2] - box[0]
    for area, address in links:
        start, end = max(area[0], box[0]), min(area[2], box[2])
        if width <= 0 or end - start < 0.5 * min(width, area[2] - area[0]) or area[2] > box[2] + 0.5 * width:
            continue
        last = len(text) if end >= box[2] - 2 else round((end - box[0]) / width * len(text))
        # Letters are of different widths: widen to whole words.
        while last < len(text) and not text[last].isspace():
            last += 1
        words = text[:last].rstrip()
        if markup.is_news(words, address) and not words.endswith(address):
            return f"{words} <{address}>{text[last:] or ' '}"
    return text


def _turn(directions: Counter[tuple[int, int]], page: Box) -> Any:
    """How to turn boxes so that most text runs from left to right; None where it does."""
    if not directions:
        return None
    direction = directions.most_common(1)[0][0]

    def up(box: Box) -> Box:
        return page[3] - box[3], box[0], page[3] - box[1], box[2]

    def down(box: Box) -> Box:
        return box[1], page[2] - box[2], box[3], page[2] - box[0]

    def over(box: Box) -> Box:
        return page[2] - box[2], page[3] - box[3], page[2] - box[0], page[3] - box[1]

    return {(0, -1): up, (0, 1): down, (-1, 0): over}.get(direction)


def _words(words: list[Any], view: View, links: list[tuple[Box, str]], turn: Any) -> list[Word]:
    """Words that can be seen, for tables."""
    found: list[Word] = []
    behind = {last: address for area, address in links if (last := _last_word(words, area)) is not None}
    for index, (x0, y0, x1, y1, text, *_) in enumerate(words):
        box = (x0, y0, x1, y1)
        if view.hidden and any(_mostly_inside(box, hidden) for hidden in view.hidden):
            continue
        text = markup.clean(text).strip()
        if text and (address := behind.get(index)) and markup.is_news(text, address):
            text = f"{text} <{address}>"
        if text:
            found.append((*(turn(box) if turn else box), text))
    return found


def _last_word(words: list[Any], area: Box) -> int | None:
    return max((index for index, word in enumerate(words) if _mostly_inside(word[:4], area)), default=None)


def _with_tables(lines: list[Line], view: View, words: Any, turn: Any, seconds: float) -> list[Line]:
    """`lines`, where those of a table are replaced by one that holds it."""
    boxes = [(turn(v["bbox"]) if turn else v["bbox"], v["isrect"]) for v in view.vectors]
    page = turn(view.box) if turn else view.box
    across, down = pdf_tables.rulings(boxes, page)
    tables = pdf_tables.find(across, down, words, seconds)
    if not tables:
        return lines
    kept: list[Line] = []
    placed: set[int] = set()
    for line in lines:
        x, y = (line.x0 + line.x1) / 2, (line.y0 + line.y1) / 2
        for number, table in enumerate(tables):
            x0, y0, x1, y1 = table.box
            if x0 - 1 <= x <= x1 + 1 and y0 - 1 <= y <= y1 + 1:
                if number not in placed:
                    placed.add(number)
                    kept.append(Line("", *table.box, line.size, False, -1, table=table))
                break
        else:
            kept.append(line)
    return kept


# --- paragraphs -------------------------------------------------------------------------------------------------------


def _paragraphs(lines: list[Line]) -> list[Paragraph]:
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


def _pages(sheets: list[Sheet]) -> list[Page]:
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
