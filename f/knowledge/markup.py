# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Markdown: clean text, and the few constructs that extraction writes."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

#: No sign of their own: zero width, direction marks, tags (which spell text that nobody sees), soft hyphens.
_UNSEEN = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ufffe\uffff\ud800-\udfff]")
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f\u3000]+")
#: Bullets of the Symbol and Wingdings fonts lie in the private use area.
_PRIVATE = {0xF0B7: "•", 0xF0A7: "▪", 0xF0D8: "▸", 0xF0FC: "✓", 0xF06F: "○", 0xF076: "•", 0xF0E0: "→"}
_BULLETS = re.compile("[\uf06f-\uf0fc]")
_BEGINS_MARKUP = re.compile(r"(?:#{1,6}|[-*+>]|\d{1,9}[.)])(?=\s)")
_CJK = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
_LINKABLE = re.compile(r"(?:https?://|mailto:|tel:)[^\s<>]+", re.IGNORECASE)
BULLET = re.compile(r"[•◦▪▫‣●○■□▸►➢➤✓✔✦∙·⁃][ \t]*|[-–—*][ \t]+")


def clean(text: str) -> str:
    """One way to write each text: NFKC, no ligatures, no characters that cannot be seen; line breaks stay."""
    if text.isascii():
        return _CONTROL.sub("", text) if not text.isprintable() else text
    if _BULLETS.search(text):
        text = text.translate(_PRIVATE)
    text = _CONTROL.sub("", _UNSEEN.sub("", text))
    # What is composed of several may hold such characters once more.
    return _UNSEEN.sub("", unicodedata.normalize("NFKC", text))


def one_line(text: str) -> str:
    return " ".join(clean(text).split())


def tidy(text: str) -> str:
    """Clean Markdown or text: line breaks of one kind, no spaces at their ends, at most one empty line."""
    text = clean(text.replace("\r\n", "\n").replace("\r", "\n").replace("\x85", "\n").replace("\f", "\n\n"))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()


def join_lines(first: str, second: str) -> str:
    """Two lines of a paragraph as one: a word that was broken is whole again."""
    if not first or not second:
        return first or second
    if first[-1] in "-\u2010\u00ad" and len(first) > 1 and first[-2].isalpha():
        word = re.split(r"\s", first)[-1]
        if first[-1] == "\u00ad" or (second[0].islower() and not re.search(r"\w[-\u2010]\w", word)):
            return first[:-1] + second
        if second[0].isalnum():
            return first + second
    if _CJK.match(first[-1]) and _CJK.match(second[0]):
        return first + second
    return f"{first} {second}"


def paragraph(text: str) -> str:
    """`text` as a paragraph: what would begin a heading or a list by chance does not."""
    if _BEGINS_MARKUP.match(text) and not text[0].isdigit():
        return "\\" + text
    return text


def heading(level: int, text: str) -> str:
    return f"{'#' * max(1, min(level, 6))} {text}"


def is_news(text: str, address: str) -> bool:
    """Whether `address` is one that a customer could open, and `text` does not say it already."""
    if not text.strip() or not _LINKABLE.fullmatch(address) or len(address) > 2000:
        return False
    shown, plain = text.strip().rstrip("/").lower(), address.rstrip("/").lower()
    return shown not in (plain, re.sub(r"^(https?://|mailto:|tel:)", "", plain))


def link(text: str, address: str) -> str:
    """`[text](address)`, or only the text where the address adds nothing."""
    address = address.strip()
    if not is_news(text, address):
        return text
    inner = text.strip()
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    target = address.replace("(", "%28").replace(")", "%29")
    return f"{before}[{inner.replace('[', '(').replace(']', ')')}]({target}){after}"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells as a Markdown table; empty rows and columns are left out, the first row is the header."""
    kept = [[_cell(cell) for cell in row] for row in rows]
    kept = [row for row in kept if any(row)]
    width = max((len(row) for row in kept), default=0)
    for row in kept:
        row += [""] * (width - len(row))
    columns = [index for index in range(width) if any(row[index] for row in kept)]
    lines = ["| " + " | ".join(row[index] for index in columns) + " |" for row in kept]
    if lines:
        lines.insert(1, "|" + " --- |" * len(columns))
    return "\n".join(lines)


def _cell(text: str) -> str:
    # A bar is text, whether or not backslashes stand before it.
    return re.sub(r"(\\*)\|", r"\1\1\|", _SPACES.sub(" ", " ".join(text.split())))
