# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "pymupdf==1.28.2",
# ]
# ///
"""PDF: what a reader sees, as Markdown page by page.

pymupdf gives text with its boxes, sizes and colours, and the boxes of what is drawn, in one pass over a page. Here that
becomes lines; what nobody can see (pdf_view), what is a table (pdf_tables), a heading or a list (pdf_layout) is decided
by what is ours.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from f.knowledge import markup, pdf_tables
from f.knowledge.documents import Extraction, ExtractionError, Limits
from f.knowledge.pdf_layout import Line, Sheet, pages_of, paragraphs_of
from f.knowledge.pdf_tables import Box, Word
from f.knowledge.pdf_view import FILLED, SMALLEST, STROKED, UNSEEN, View, mostly_inside

#: A bit of a span's flags, and one of its char_flags.
BOLD, BOLD_CHARACTERS = 16, 8

#: A page that is mostly a picture and has fewer characters has not been read by anybody.
SCAN_CHARACTERS = 25

_ACCENTS = {"´": "\u0301", "¨": "\u0308", "ˆ": "\u0302", "˜": "\u0303", "˘": "\u0306", "ˇ": "\u030c", "˚": "\u030a"}
#: LaTeX without a map to Unicode: an accent before its letter, and the ligature ff as an arrow.
_LATEX = re.compile(r"([´¨ˆ˜˘ˇ˚])([A-Za-zı])|(?<=[a-z])↵(?=[a-z-])")


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
    return Extraction(pages_of(sheets), _warnings(findings, count), "pdf")


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
    return Sheet(number, height, paragraphs_of(lines))


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
                    and span["char_flags"] & (FILLED | STROKED)
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
                if span["flags"] & BOLD or span["char_flags"] & BOLD_CHARACTERS:
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
        if view.hidden and any(mostly_inside(box, hidden) for hidden in view.hidden):
            continue
        text = markup.clean(text).strip()
        if text and (address := behind.get(index)) and markup.is_news(text, address):
            text = f"{text} <{address}>"
        if text:
            found.append((*(turn(box) if turn else box), text))
    return found


def _last_word(words: list[Any], area: Box) -> int | None:
    return max((index for index, word in enumerate(words) if mostly_inside(word[:4], area)), default=None)


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
