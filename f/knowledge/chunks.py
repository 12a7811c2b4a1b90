# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "semantic-text-splitter==0.33.1",
# ]
# ///
"""Markdown cut into passages that know their headings and page. Pure."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

#: Tokens of a passage: from the first number on it ends at the next good place, the second is the most.
TOKENS = (200, 320)

#: The tokenizer is inside the package: nothing is downloaded.
TOKENIZER = "text-embedding-3-small"

HEADING = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t]*#*")
FENCE = re.compile(r"[ \t]{0,3}(```+|~~~+)")
#: Scripts without spaces between words: two neighbouring characters are what is looked for.
UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
#: Of Latin letters only: elsewhere they make other letters.
ACCENTS = re.compile("([a-z])[\u0300-\u036f]+")
SEPARATOR = " › "
#: Characters that the splitter is given at once: where it finds no good place to cut, its time grows with the square.
WINDOW = 20_000
#: Where a long section is cut before, the best first.
SEAMS = ("\n\n", "\n", ". ", "。", " ")


@dataclass(frozen=True)
class Chunk:
    """A passage; `page` is None where the document has none."""

    headings: tuple[str, ...]
    page: int | None
    text: str

    @property
    def embedded(self) -> str:
        """What is embedded and looked for: a passage alone often does not say what it is about."""
        return f"{SEPARATOR.join(self.headings)}\n{self.text}" if self.headings else self.text

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(self.embedded.encode()).hexdigest()


@dataclass
class _Section:
    headings: tuple[str, ...]
    #: Lines with their line ends, and the page of each.
    lines: list[tuple[str, int | None]]


def split(pages: Sequence[tuple[int | None, str]]) -> list[Chunk]:
    """The passages of a document, given its pages (number, Markdown) in order."""
    return [chunk for section in _sections(pages) for chunk in _pieces(section)]


def _sections(pages: Sequence[tuple[int | None, str]]) -> Iterator[_Section]:
    stack: list[tuple[int, str]] = []
    section = _Section((), [])
    fence = ""
    for number, markdown in pages:
        for line in markdown.splitlines():
            mark = FENCE.match(line)
            if mark and not fence:
                fence = mark[1]
            elif mark and mark[1].startswith(fence):
                fence = ""
            heading = None if fence or mark else HEADING.fullmatch(line)
            if heading is None:
                section.lines.append((f"{line}\n", number))
                continue
            yield section
            level = len(heading[1])
            stack = [*(entry for entry in stack if entry[0] < level), (level, _plain(heading[2]))]
            section = _Section(tuple(title for _, title in stack if title), [])
        section.lines.append(("\n", number))
    yield section


def _pieces(section: _Section) -> Iterator[Chunk]:
    text = "".join(line for line, _ in section.lines)
    if not text.strip():
        return
    ends: list[tuple[int, int | None]] = []
    position = 0
    for line, page in section.lines:
        position += len(line)
        ends.append((position, page))
    place = 0
    for start, window in _windows(text):
        for offset, piece in _splitter().chunk_indices(window):
            while ends[place][0] <= start + offset:
                place += 1
            yield Chunk(section.headings, ends[place][1], piece)


def _windows(text: str) -> Iterator[tuple[int, str]]:
    """`text` in parts of at most WINDOW characters, each with its place."""
    start = 0
    while len(text) - start > WINDOW:
        at = next(
            (at + len(seam) for seam in SEAMS if (at := text.rfind(seam, start + WINDOW // 2, start + WINDOW)) > 0),
            start + WINDOW,
        )
        yield start, text[start:at]
        start = at
    yield start, text[start:]


@cache
def _splitter() -> Any:
    from semantic_text_splitter import MarkdownSplitter  # only ingestion needs it

    return MarkdownSplitter.from_tiktoken_model(TOKENIZER, TOKENS)


def _plain(title: str) -> str:
    """A heading without emphasis, links and code marks, shortened to a line's length."""
    title = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return " ".join(re.sub(r"[*_`]+", " ", title).split())[:120]


def search_text(text: str) -> str:
    """`text` as it is looked for by words: small letters without accents, words apart."""
    plain = ACCENTS.sub(r"\1", unicodedata.normalize("NFKD", text.casefold()))
    words = re.sub(r"[\W_]+", " ", unicodedata.normalize("NFC", plain))
    return UNSPACED.sub(lambda run: f" {' '.join(_pairs(run[0]))} ", words)


def _pairs(run: str) -> list[str]:
    return [run[n : n + 2] for n in range(max(1, len(run) - 1))]
