# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "lxml==6.1.3",
# ]
# ///
"""What the styles, the numbering and the properties of a DOCX say of a paragraph, and where to find them."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from f.knowledge.docx_package import parse

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


@dataclass
class Style:
    name: str
    based_on: str | None
    level: int | None
    number: tuple[str, int] | None
    hidden: bool
    colour: str | None


def part_of(part: Any, ending: str) -> Any:
    """The part that `part` relates to by a relationship whose type has this ending, if there is one."""
    for relationship in part.rels.values():
        if not relationship.is_external and relationship.reltype.endswith(ending):
            return relationship.target_part
    return None


def root_of(part: Any) -> Any:
    """The XML of a part, whether python-docx has a class for it or not."""
    if part is None:
        return None
    element = getattr(part, "element", None)
    return element if element is not None else parse(part.blob)


def value_of(properties: Any, name: str) -> str | None:
    """The `w:val` of a property; None where it is not set, or nothing is."""
    found = properties.find(W + name) if properties is not None else None
    value = found.get(W + "val") if found is not None else None
    return str(value) if value is not None else None


def is_on(element: Any) -> bool:
    return element.get(W + "val", "true") not in ("0", "false", "off")


def count_of(value: str | None) -> int:
    """Of cells, 50 at most: a file may say any number."""
    return min(int(value), 50) if value and value.isdigit() else 0


def number_of(properties: Any) -> tuple[str, int] | None:
    """Which list a paragraph is in ("": its style's), and how deep."""
    found = properties.find(W + "numPr") if properties is not None else None
    if found is None:
        return None
    level = value_of(found, "ilvl") or "0"
    return (value_of(found, "numId") or "", min(int(level), 8) if level.isdigit() else 0)


def styles_of(root: Any) -> dict[str, Style]:
    styles: dict[str, Style] = {}
    for element in root.findall(W + "style"):
        paragraph, run = element.find(W + "pPr"), element.find(W + "rPr")
        name = (value_of(element, "name") or "").lower()
        level = value_of(paragraph, "outlineLvl")
        by_name = re.fullmatch(r"heading (\d)", name)
        vanish = run.find(W + "vanish") if run is not None else None
        styles[element.get(W + "styleId", "")] = Style(
            name=name,
            based_on=value_of(element, "basedOn"),
            level=int(level) if level and level.isdigit() else int(by_name[1]) - 1 if by_name else None,
            number=number_of(paragraph),
            hidden=vanish is not None and is_on(vanish),
            colour=value_of(run, "color"),
        )
    return styles


def is_white(colour: str | None) -> bool:
    if not colour or not re.fullmatch(r"[0-9A-Fa-f]{6}", colour):
        return False
    return min(int(colour[i : i + 2], 16) for i in (0, 2, 4)) >= 240


def has_ground(run: Any, holder: Any) -> bool:
    """Whether white text stands on a colour: of the run, its paragraph, cell, table or text box."""
    properties = run.find(W + "rPr")
    if properties is not None and (value_of(properties, "highlight") or _is_shaded(properties)):
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
    return shade is not None and not is_white(shade.get(W + "fill")) and shade.get(W + "fill") not in (None, "auto")


class Numbering:
    """Word's counters: a paragraph says only which list it is in and how deep."""

    def __init__(self, part: Any) -> None:
        self.levels: dict[str, dict[int, tuple[str, str, int]]] = {}
        self.abstract: dict[str, str] = {}
        self.counters: dict[str, Counter[int]] = {}
        root = root_of(part)
        if root is None:
            return
        for abstract in root.findall(W + "abstractNum"):
            levels: dict[int, tuple[str, str, int]] = {}
            for level in abstract.findall(W + "lvl"):
                start = value_of(level, "start") or "1"
                levels[int(level.get(W + "ilvl", 0))] = (
                    value_of(level, "numFmt") or "decimal",
                    value_of(level, "lvlText") or "",
                    int(start) if start.isdigit() else 1,
                )
            self.levels[abstract.get(W + "abstractNumId", "")] = levels
        for number in root.findall(W + "num"):
            self.abstract[number.get(W + "numId", "")] = value_of(number, "abstractNumId") or ""

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
