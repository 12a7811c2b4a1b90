# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "lxml==6.1.3", "python-docx==1.2.0", "typing-extensions==4.16.0",
# ]
# ///
"""DOCX: what a reader sees, as Markdown in one page, since Word's pages depend on who prints them.

python-docx opens the package and knows its parts; the body is walked here, since python-docx leaves out footnotes, text
boxes, content controls, what was inserted or moved with changes tracked, and refuses Strict files. It gets a copy of
the package that holds only XML, without entities and within limits; nothing is ever unpacked to disk.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from f.knowledge import markup
from f.knowledge.documents import Extraction, ExtractionError, Limits, Page
from f.knowledge.docx_package import safe_copy
from f.knowledge.docx_styles import (
    Numbering,
    W,
    count_of,
    has_ground,
    is_on,
    is_white,
    number_of,
    part_of,
    root_of,
    styles_of,
    value_of,
)

R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"

#: What is looked into as if it were not there.
_CONTAINERS = {
    W + n for n in ("ins", "moveTo", "smartTag", "customXml", "sdt", "sdtContent", "dir", "bdo", "fldSimple")
}
_SIGNS = {W + "tab": "\t", W + "br": "\n", W + "cr": "\n", W + "noBreakHyphen": "-", W + "ptab": "\t"}


def read(data: bytes, limits: Limits) -> Extraction:
    """Raises ExtractionError: invalid, too_large, password_required."""
    import docx  # with lxml, half a second on a slow machine
    from lxml import etree

    warnings: list[str] = []
    try:
        package = safe_copy(data, limits, warnings)
        document = docx.Document(io.BytesIO(package))
        walk = _Walk(document)
        markdown = walk.markdown()
    except (etree.XMLSyntaxError, zipfile.BadZipFile, KeyError, ValueError, AttributeError, OSError, EOFError) as error:
        said = str(error).lower()
        # libxml2 has no name for running out of memory at some places.
        if "memory" in said or said.startswith("unknown error"):
            raise MemoryError from None
        if "huge" in said or "depth" in said:
            raise ExtractionError("too_large", "The document is nested too deeply or has too long a text.") from None
        raise ExtractionError("invalid", "The Word document is damaged.") from None
    if not markdown:
        hidden = " that can be seen" if walk.hidden else ""
        raise ExtractionError("no_text_layer", f"The document has no text{hidden}.")
    if len(markdown) > limits.characters:
        raise ExtractionError("too_large", "The document has too much text.")
    if walk.hidden:
        warnings.append(f"Hidden text was left out ({walk.hidden} places).")
    if walk.embedded:
        warnings.append(f"{walk.embedded} embedded documents were not read.")
    return Extraction([Page(1, markdown)], warnings, "docx")


@dataclass
class _Field:
    """A field with separate begin and end, as Word writes most links."""

    start: int
    code: str = ""


@dataclass
class _Text:
    """A paragraph while it is read."""

    parts: list[str] = field(default_factory=list)
    fields: list[_Field] = field(default_factory=list)
    #: Text boxes: said after the paragraph they hang on.
    boxes: list[Any] = field(default_factory=list)


class _Walk:
    def __init__(self, document: Any) -> None:
        self.part = document.part
        self.body = document.element.body
        self.hidden = 0
        self.embedded = 0
        self.styles = styles_of(document.styles.element)
        self.numbering = Numbering(part_of(self.part, "/numbering"))
        self.notes: dict[tuple[str, str], str] = {}
        self.note_order: list[tuple[str, str]] = []
        self.has_title = any(
            self.styles[i].name == "title"
            for p in self.body.iter(W + "pStyle")
            if (i := p.get(W + "val")) in self.styles
        )

    def markdown(self) -> str:
        for kind in ("footnote", "endnote"):
            part = part_of(self.part, f"/{kind}s")
            root = root_of(part)
            for note in root.findall(W + kind) if root is not None else []:
                if note.get(W + "type") in (None, "normal"):
                    text = " ".join(self._blocks(note, part))
                    self.notes[kind, note.get(W + "id", "")] = " ".join(text.split())
        written = _joined(self._blocks(self.body, self.part))
        notes = [f"[^{n}]: {self.notes[key]}" for n, key in enumerate(self.note_order, start=1)]
        return markup.tidy("\n\n".join([written, *notes, *self._edges()]))

    def _edges(self) -> list[str]:
        """Headers and footers, each text once: an address or opening hours may stand nowhere else."""
        found: dict[str, str] = {}
        for relationship in self.part.rels.values():
            if relationship.is_external or not relationship.reltype.endswith(("/header", "/footer")):
                continue
            root = root_of(relationship.target_part)
            for block in self._blocks(root, relationship.target_part) if root is not None else []:
                text = block if block.startswith("|") else " ".join(block.split())
                key = re.sub(r"\d+", "#", text)
                if re.search(r"[^\W\d_]{2}", text) and not re.fullmatch(r"\w{1,9} #(?: \w{1,4} #)?", key):
                    found.setdefault(key, text.lstrip("# "))
        return list(found.values())

    def _blocks(self, container: Any, part: Any, within: bool = False) -> Iterator[str]:
        """Everything in `container` as Markdown; `within` a cell without tables."""
        for child in container:
            tag = child.tag
            if tag == W + "p":
                yield from self._paragraph(child, part)
            elif tag == W + "tbl":
                yield from self._table(child, part, within)
            elif tag in _CONTAINERS:
                yield from self._blocks(child, part, within)
            elif tag == MC + "AlternateContent":
                chosen = child.find(MC + "Choice")
                yield from self._blocks(chosen if chosen is not None else child.find(MC + "Fallback"), part, within)
            elif tag == W + "altChunk":
                self.embedded += 1

    def _paragraph(self, element: Any, part: Any) -> Iterator[str]:
        properties = element.find(W + "pPr")
        style = value_of(properties, "pStyle")
        text = _Text()
        self._inline(element, part, text, style)
        words = markup.clean("".join(text.parts))
        words = "\n".join(" ".join(line.split()) for line in words.split("\n")).strip()
        name = self._first(style, lambda s: s.name) or ""
        if words and not name.startswith("toc "):
            label, bullet, depth = self._label(properties, style)
            level = self._level(properties, style)
            if level:
                flat = " ".join(words.split())
                yield markup.heading(level, f"{label} {flat}" if label and not bullet else flat)
            elif label:
                yield "  " * depth + f"{'-' if bullet else label} " + words.replace("\n", " ")
            elif re.match(r"\[[ x]\] ", words):
                yield "- " + words.replace("\n", " ")
            else:
                yield markup.paragraph(words)
        for box in text.boxes:
            yield from self._blocks(box, part)

    def _inline(self, element: Any, part: Any, text: _Text, style: str | None) -> None:
        for child in element:
            tag = child.tag
            if tag == W + "r":
                if not self._is_hidden(child, style, element):
                    self._run(child, part, text, style)
                elif any(t.text and t.text.strip() for t in child.iter(W + "t")):
                    self.hidden += 1
            elif tag == W + "hyperlink":
                start = len(text.parts)
                self._inline(child, part, text, style)
                _link(text, start, _target(part, child.get(R + "id")))
            elif tag == W + "sdt" and (box := _checkbox(child)):
                text.parts.append(f"{box} ")
            elif tag == W + "fldSimple":
                start = len(text.parts)
                self._inline(child, part, text, style)
                _link(text, start, _address_of(child.get(W + "instr") or ""))
            elif tag in _CONTAINERS:
                self._inline(child, part, text, style)
            elif tag in (M + "oMath", M + "oMathPara"):
                text.parts += [t.text or "" for t in child.iter(M + "t")]
            elif tag == MC + "AlternateContent":
                self._alternate(child, part, text, style)
            elif tag == W + "ruby":
                self._inline(child.find(W + "rubyBase"), part, text, style)

    def _run(self, run: Any, part: Any, text: _Text, style: str | None) -> None:
        for child in run:
            tag = child.tag
            if tag == W + "t":
                text.parts.append(child.text or "")
            elif tag in _SIGNS:
                text.parts.append(_SIGNS[tag])
            elif tag == W + "sym":
                text.parts.append(_symbol(child))
            elif tag in (W + "footnoteReference", W + "endnoteReference"):
                key = (tag.removeprefix(W).removesuffix("Reference"), child.get(W + "id", ""))
                if self.notes.get(key):
                    self.note_order.append(key)
                    text.parts.append(f"[^{len(self.note_order)}]")
            elif tag == W + "fldChar":
                _field_mark(child, text)
            elif tag == W + "instrText":
                if text.fields:
                    text.fields[-1].code += child.text or ""
            elif tag == MC + "AlternateContent":
                self._alternate(child, part, text, style)
            elif tag == W + "object":
                self.embedded += 1
                text.boxes += list(child.iter(W + "txbxContent"))
            elif tag in (W + "drawing", W + "pict"):
                text.boxes += list(child.iter(W + "txbxContent"))
            elif tag == W + "ruby":
                self._inline(child.find(W + "rubyBase"), part, text, style)

    def _alternate(self, element: Any, part: Any, text: _Text, style: str | None) -> None:
        """Word writes a text box twice, for itself and for older programs."""
        chosen = element.find(MC + "Choice")
        chosen = chosen if chosen is not None else element.find(MC + "Fallback")
        if chosen is not None:
            self._run(chosen, part, text, style)
            self._inline(chosen, part, text, style)

    def _table(self, element: Any, part: Any, within: bool) -> Iterator[str]:
        """A Markdown table; within another one, its cells one after the other."""
        rows: list[list[list[str]]] = []
        for row in _rows(element):
            before = row.find(f"{W}trPr/{W}gridBefore")
            cells: list[list[str]] = [[]] * count_of(before.get(W + "val") if before is not None else None)
            for cell in _unwrapped(row, W + "tc"):
                properties = cell.find(W + "tcPr")
                merged = properties.find(W + "vMerge") if properties is not None else None
                goes_on = merged is not None and merged.get(W + "val", "continue") == "continue"
                cells.append([] if goes_on else list(self._blocks(cell, part, within=True)))
                cells += [[]] * (count_of(value_of(properties, "gridSpan")) - 1)
            rows.append(cells)
        if rows and max(len(row) for row in rows) == 1:
            # One column: a frame or a layout, no table.
            yield from (block for row in rows for cell in row for block in cell)
            return
        texts = [[" ".join(block.lstrip("#\\ ") for block in cell) for cell in row] for row in rows]
        if within:
            yield "; ".join(", ".join(cell for cell in row if cell) for row in texts)
        elif text := markup.table(texts):
            yield text

    # --- properties ---

    def _first(self, style: str | None, of: Any) -> Any:
        """The nearest value along the styles that `style` is based on."""
        for _ in range(20):
            if not style or style not in self.styles:
                return None
            if (value := of(self.styles[style])) is not None:
                return value
            style = self.styles[style].based_on
        return None

    def _level(self, properties: Any, style: str | None) -> int:
        """The level of a heading, 0 for other paragraphs."""
        if self._first(style, lambda s: True if s.name == "title" else None):
            return 1
        own = value_of(properties, "outlineLvl")
        level = int(own) if own and own.isdigit() else self._first(style, lambda s: s.level)
        if level is None or level > 8:
            return 0
        return min(level + 1 + self.has_title, 6)

    def _label(self, properties: Any, style: str | None) -> tuple[str, bool, int]:
        """What Word numbers the paragraph with, whether that is a bullet, and how deep it is indented."""
        number = number_of(properties)
        inherited = self._first(style, lambda s: s.number)
        if number is None:
            number = inherited
        elif number[0] == "" and inherited:
            number = (inherited[0], number[1])
        return self.numbering.next(*number) if number and number[0] else ("", False, 0)

    def _is_hidden(self, run: Any, style: str | None, holder: Any) -> bool:
        properties = run.find(W + "rPr")
        own = value_of(properties, "rStyle")
        if properties is not None:
            if (vanish := properties.find(W + "vanish")) is not None:
                return is_on(vanish)
            size = value_of(properties, "sz")
            if size and size.isdigit() and int(size) < 6:
                return True
        if self._first(own, lambda s: s.hidden or None) or self._first(style, lambda s: s.hidden or None):
            return True
        colour = value_of(properties, "color") or self._first(own, lambda s: s.colour)
        colour = colour or self._first(style, lambda s: s.colour)
        return is_white(colour) and not has_ground(run, holder)


def _joined(blocks: Iterator[str]) -> str:
    """Blocks with an empty line between them; items of a list without."""
    written: list[str] = []
    was_item = False
    for block in blocks:
        is_item = bool(re.match(r"\s*(?:-|[\w.]{1,12}[.)]) ", block))
        written.append(("\n" if is_item and was_item else "\n\n") + block)
        was_item = is_item
    return "".join(written)


def _target(part: Any, identity: str | None) -> str:
    relationship = part.rels.get(identity) if identity else None
    return relationship.target_ref if relationship is not None and relationship.is_external else ""


def _checkbox(control: Any) -> str:
    for child in control.iterfind(f"{W}sdtPr/*"):
        if child.tag.endswith("}checkbox"):
            state = next((c for c in child if c.tag.endswith("}checked")), None)
            values = list(state.attrib.values()) if state is not None else ["0"]
            return "[x]" if values and values[0] in ("1", "true") else "[ ]"
    return ""


def _symbol(element: Any) -> str:
    code = element.get(W + "char") or ""
    number = int(code, 16) if re.fullmatch(r"[0-9A-Fa-f]{1,6}", code) else 0
    return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else ""


def _link(text: _Text, start: int, address: str) -> None:
    if address and len(text.parts) > start:
        text.parts[start:] = [markup.link("".join(text.parts[start:]), address)]


def _address_of(code: str) -> str:
    found = re.match(r'\s*HYPERLINK\s+"([^"]+)"', code)
    return found[1] if found else ""


def _field_mark(mark: Any, text: _Text) -> None:
    kind = mark.get(W + "fldCharType")
    if kind == "begin":
        text.fields.append(_Field(len(text.parts)))
        checkbox = mark.find(f"{W}ffData/{W}checkBox")
        if checkbox is not None:
            state = checkbox.find(W + "checked")
            state = state if state is not None else checkbox.find(W + "default")
            text.parts.append("[x] " if state is not None and is_on(state) else "[ ] ")
    elif kind == "end" and text.fields:
        ended = text.fields.pop()
        _link(text, ended.start, _address_of(ended.code))


def _rows(table: Any) -> Iterator[Any]:
    for row in _unwrapped(table, W + "tr"):
        if row.find(f"{W}trPr/{W}del") is None:
            yield row


def _unwrapped(element: Any, tag: str) -> Iterator[Any]:
    """Children with `tag`, also those in content controls and insertions."""
    for child in element:
        if child.tag == tag:
            yield child
        elif child.tag in _CONTAINERS:
            yield from _unwrapped(child, tag)
