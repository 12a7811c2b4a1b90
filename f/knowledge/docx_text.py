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
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from f.knowledge import markup
from f.knowledge.documents import MEGABYTE, Extraction, ExtractionError, Limits, Page

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
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

_CONTAINERS = {
    W + n for n in ("ins", "moveTo", "smartTag", "customXml", "sdt", "sdtContent", "dir", "bdo", "fldSimple")
}
_LEFT_OUT = {W + n for n in ("del", "moveFrom", "instrText", "delText", "delInstrText", "pPr", "rPr", "sdtPr", "rt")}
_SIGNS = {W + "tab": "\t", W + "br": "\n", W + "cr": "\n", W + "noBreakHyphen": "-", W + "ptab": "\t"}


def read(data: bytes, limits: Limits) -> Extraction:
    """Raises ExtractionError: invalid, too_large, password_required."""
    import docx  # with lxml, half a second on a slow machine
    from lxml import etree

    warnings: list[str] = []
    try:
        package = _safe_copy(data, limits, warnings)
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


# --- the package ------------------------------------------------------------------------------------------------------


def _safe_copy(data: bytes, limits: Limits, warnings: list[str]) -> bytes:
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
    # Word writes neither; they are for entities that expand, or that fetch.
    if b"<!DOCTYPE" in part or b"<!ENTITY" in part:
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
    tree = _parse(part)
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


def _parse(part: bytes) -> Any:
    from lxml import etree

    return etree.fromstring(part, etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True))


# --- the body ---------------------------------------------------------------------------------------------------------


@dataclass
class Style:
    name: str
    based_on: str | None
    level: int | None
    number: tuple[str, int] | None
    hidden: bool
    colour: str | None


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
        self.styles = _styles(document.styles.element)
        self.numbering = _Numbering(_related(self.part, "/numbering"))
        self.notes: dict[tuple[str, str], str] = {}
        self.note_order: list[tuple[str, str]] = []
        self.has_title = any(
            self.styles[i].name == "title"
            for p in self.body.iter(W + "pStyle")
            if (i := p.get(W + "val")) in self.styles
        )

    def markdown(self) -> str:
        for kind in ("footnote", "endnote"):
            part = _related(self.part, f"/{kind}s")
            root = _root(part)
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
            root = _root(relationship.target_part)
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
        style = _value(properties, "pStyle")
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
            cells: list[list[str]] = [[]] * _count(before.get(W + "val") if before is not None else None)
            for cell in _unwrapped(row, W + "tc"):
                properties = cell.find(W + "tcPr")
                merged = properties.find(W + "vMerge") if properties is not None else None
                goes_on = merged is not None and merged.get(W + "val", "continue") == "continue"
                cells.append([] if goes_on else list(self._blocks(cell, part, within=True)))
                cells += [[]] * (_count(_value(properties, "gridSpan")) - 1)
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
        own = _value(properties, "outlineLvl")
        level = int(own) if own and own.isdigit() else self._first(style, lambda s: s.level)
        if level is None or level > 8:
            return 0
        return min(level + 1 + self.has_title, 6)

    def _label(self, properties: Any, style: str | None) -> tuple[str, bool, int]:
        """What Word numbers the paragraph with, whether that is a bullet, and how deep it is indented."""
        number = _number(properties)
        inherited = self._first(style, lambda s: s.number)
        if number is None:
            number = inherited
        elif number[0] == "" and inherited:
            number = (inherited[0], number[1])
        return self.numbering.next(*number) if number and number[0] else ("", False, 0)

    def _is_hidden(self, run: Any, style: str | None, holder: Any) -> bool:
        properties = run.find(W + "rPr")
        own = _value(properties, "rStyle")
        if properties is not None:
            if (vanish := properties.find(W + "vanish")) is not None:
                return _is_on(vanish)
            size = _value(properties, "sz")
            if size and size.isdigit() and int(size) < 6:
                return True
        if self._first(own, lambda s: s.hidden or None) or self._first(style, lambda s: s.hidden or None):
            return True
        colour = _value(properties, "color") or self._first(own, lambda s: s.colour)
        colour = colour or self._first(style, lambda s: s.colour)
        return _is_white(colour) and not _has_ground(run, holder)


def _joined(blocks: Iterator[str]) -> str:
    """Blocks with an empty line between them; items of a list without."""
    written: list[str] = []
    was_item = False
    for block in blocks:
        is_item = bool(re.match(r"\s*(?:-|[\w.]{1,12}[.)]) ", block))
        written.append(("\n" if is_item and was_item else "\n\n") + block)
        was_item = is_item
    return "".join(written)


def _related(part: Any, ending: str) -> Any:
    for relationship in part.rels.values():
        if not relationship.is_external and relationship.reltype.endswith(ending):
            return relationship.target_part
    return None


def _root(part: Any) -> Any:
    """The XML of a part, whether python-docx has a class for it or not."""
    if part is None:
        return None
    element = getattr(part, "element", None)
    return element if element is not None else _parse(part.blob)


def _target(part: Any, identity: str | None) -> str:
    relationship = part.rels.get(identity) if identity else None
    return relationship.target_ref if relationship is not None and relationship.is_external else ""


def _value(properties: Any, name: str) -> str | None:
    found = properties.find(W + name) if properties is not None else None
    value = found.get(W + "val") if found is not None else None
    return str(value) if value is not None else None


def _is_on(element: Any) -> bool:
    return element.get(W + "val", "true") not in ("0", "false", "off")


def _count(value: str | None) -> int:
    return min(int(value), 50) if value and value.isdigit() else 0


def _number(properties: Any) -> tuple[str, int] | None:
    found = properties.find(W + "numPr") if properties is not None else None
    if found is None:
        return None
    level = _value(found, "ilvl") or "0"
    return (_value(found, "numId") or "", min(int(level), 8) if level.isdigit() else 0)


def _styles(root: Any) -> dict[str, Style]:
    styles: dict[str, Style] = {}
    for element in root.findall(W + "style"):
        paragraph, run = element.find(W + "pPr"), element.find(W + "rPr")
        name = (_value(element, "name") or "").lower()
        level = _value(paragraph, "outlineLvl")
        by_name = re.fullmatch(r"heading (\d)", name)
        vanish = run.find(W + "vanish") if run is not None else None
        styles[element.get(W + "styleId", "")] = Style(
            name=name,
            based_on=_value(element, "basedOn"),
            level=int(level) if level and level.isdigit() else int(by_name[1]) - 1 if by_name else None,
            number=_number(paragraph),
            hidden=vanish is not None and _is_on(vanish),
            colour=_value(run, "color"),
        )
    return styles


def _is_white(colour: str | None) -> bool:
    if not colour or not re.fullmatch(r"[0-9A-Fa-f]{6}", colour):
        return False
    return min(int(colour[i : i + 2], 16) for i in (0, 2, 4)) >= 240


def _has_ground(run: Any, holder: Any) -> bool:
    """Whether white text stands on a colour: of the run, its paragraph, cell, table or text box."""
    properties = run.find(W + "rPr")
    if properties is not None and (_value(properties, "highlight") or _is_shaded(properties)):
        return True
    for ancestor in (holder, *holder.iterancestors()):
        if ancestor.tag in (W + "txbxContent", W + "tbl"):
            return True
        for name in ("pPr", "tcPr", "tblPr"):
            if _is_shaded(ancestor.find(W + name)):
                return True
    return False


def _is_shaded(properties: Any) -> bool:
    shade = properties.find(W + "shd") if properties is not None else None
    return shade is not None and not _is_white(shade.get(W + "fill")) and shade.get(W + "fill") not in (None, "auto")


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
            text.parts.append("[x] " if state is not None and _is_on(state) else "[ ] ")
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


class _Numbering:
    """Word's counters: a paragraph says only which list it is in and how deep."""

    def __init__(self, part: Any) -> None:
        self.levels: dict[str, dict[int, tuple[str, str, int]]] = {}
        self.abstract: dict[str, str] = {}
        self.counters: dict[str, Counter[int]] = {}
        root = _root(part)
        if root is None:
            return
        for abstract in root.findall(W + "abstractNum"):
            levels: dict[int, tuple[str, str, int]] = {}
            for level in abstract.findall(W + "lvl"):
                start = _value(level, "start") or "1"
                levels[int(level.get(W + "ilvl", 0))] = (
                    _value(level, "numFmt") or "decimal",
                    _value(level, "lvlText") or "",
                    int(start) if start.isdigit() else 1,
                )
            self.levels[abstract.get(W + "abstractNumId", "")] = levels
        for number in root.findall(W + "num"):
            self.abstract[number.get(W + "numId", "")] = _value(number, "abstractNumId") or ""

    def next(self, identity: str, depth: int) -> tuple[str, bool, int]:
        abstract = self.abstract.get(identity)
        levels = self.levels.get(abstract or "", {})
        if abstract is None or depth not in levels:
            return "", False, 0
        form, pattern, start = levels[depth]
        if form in ("bullet", "none"):
            return ("-", True, depth) if form == "bullet" else ("", False, 0)
        counter = self.counters.setdefault(abstract, Counter())
        counter[depth] = counter[depth] + 1 if counter[depth] else start
        for deeper in [level for level in counter if level > depth]:
            del counter[deeper]

        def shown(match: re.Match[str]) -> str:
            level = int(match[1]) - 1
            of = levels.get(level, ("decimal", "", 1))
            return _numeral(counter[level] or of[2], of[0])

        return re.sub(r"%(\d)", shown, pattern).strip(), False, depth


def _numeral(number: int, form: str) -> str:
    if form in ("lowerLetter", "upperLetter"):
        letter = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return letter if form == "lowerLetter" else letter.upper()
    if form in ("lowerRoman", "upperRoman") and number < 4000:
        roman = ""
        for value, sign in zip(
            (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
            "M CM D CD C XC L XL X IX V IV I".split(),
            strict=True,
        ):
            roman += sign * (number // value)
            number %= value
        return roman if form == "upperRoman" else roman.lower()
    return str(number)
