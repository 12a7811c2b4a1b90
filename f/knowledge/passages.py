# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "semantic-text-splitter==0.33.1",
# ]
# ///
"""From ranked chunks to the passages that a model reads, and from its answer to the sources it names. Pure."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from f.knowledge.chunks import SEPARATOR

#: Above this share of common words two passages say the same.
SAME = 0.85

#: Chunks of one passage, and characters that a model gets of it.
LONGEST_RUN = 3
CHARACTERS = 4000

MARK = re.compile(r"[ \t]?\[((?:\d{1,2})(?:\s*[,;]\s*\d{1,2})*)\]")


@dataclass(frozen=True)
class Passage:
    """Neighbouring chunks of one source, in its order."""

    source_id: UUID
    version: int
    positions: tuple[int, ...]
    source: str
    url: str | None
    headings: tuple[str, ...]
    page: int | None
    text: str
    content_hash: str
    score: float

    @property
    def place(self) -> str:
        """What a person finds it by: a link, or a name and a page."""
        if self.url:
            return f"{self.source}: {self.url}" if self.source != self.url else self.url
        return f"{self.source}, p. {self.page}" if self.page else self.source


def join(rows: Iterable[Mapping[str, Any]], scores: Mapping[int, float], most: int) -> list[Passage]:
    """At most `most` passages of the chunks `rows`, best first: neighbours are one, repetitions are left out.

    Neighbours are looked for among the best alone: further down everything is somebody's neighbour.
    """
    ordered = sorted(rows, key=lambda row: (-scores[row["id"]], row["id"]))
    best = {row["id"] for row in ordered[: most * 2 + 6]}
    kept: list[Mapping[str, Any]] = []
    words: list[frozenset[str]] = []
    for row in ordered:
        if row["id"] not in best and len(kept) >= len(best):
            break
        these = frozenset(row["body"].casefold().split())
        if not any(_alike(these, others) for others in words):
            kept.append(row)
            words.append(these)
    runs: list[list[Mapping[str, Any]]] = []
    for row in kept:
        run = next((run for run in runs if len(run) < LONGEST_RUN and _touches(row, run)), None)
        if run is not None and row["id"] not in best:
            continue
        if run is not None:
            run.append(row)
        elif len(runs) < most:
            runs.append([row])
    return [_passage(run, scores[run[0]["id"]]) for run in runs]


def _touches(row: Mapping[str, Any], run: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        row["source_id"] == other["source_id"] and abs(row["position"] - other["position"]) == 1 for other in run
    )


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= SAME * max(1, len(one | other))


def _passage(run: Sequence[Mapping[str, Any]], score: float) -> Passage:
    """One passage of neighbours, of which the best comes first: its page is where a person looks it up."""
    best = run[0]
    run = sorted(run, key=lambda row: row["position"])
    first = run[0]
    parts: list[str] = []
    for number, row in enumerate(run):
        if number and row["headings"] != run[number - 1]["headings"]:
            parts.append(SEPARATOR.join(row["headings"]))
        parts.append(row["body"])
    return Passage(
        source_id=first["source_id"],
        version=first["version"],
        positions=tuple(row["position"] for row in run),
        source=first["name"],
        url=first["url"],
        headings=tuple(first["headings"]),
        page=best["page"],
        text="\n\n".join(parts)[:CHARACTERS],
        content_hash=first["content_hash"],
        score=score,
    )


class Shown:
    """The passages that a model was shown in one turn, numbered as it saw them."""

    def __init__(self) -> None:
        self.passages: list[Passage] = []

    def add(self, passages: Iterable[Passage]) -> str:
        """Lines of JSON for a prompt: whatever a document says, it stays a text in quotation marks."""
        return "\n".join(self._line(passage) for passage in passages)

    def _line(self, passage: Passage) -> str:
        key = (passage.source_id, passage.positions)
        known = next((n for n, p in enumerate(self.passages, 1) if (p.source_id, p.positions) == key), None)
        if known is None:
            self.passages.append(passage)
            known = len(self.passages)
        line = {"passage": known, "source": passage.source, "section": SEPARATOR.join(passage.headings)}
        if passage.page:
            line["page"] = passage.page
        return json.dumps({**line, "text": passage.text}, ensure_ascii=False)

    def settle(self, answer: str) -> tuple[str, set[int]]:
        """The answer without its marks such as [2], and the numbers of the passages it named."""
        cited: set[int] = set()

        def take(match: re.Match[str]) -> str:
            numbers = {int(number) for number in re.findall(r"\d+", match[1])}
            if not all(1 <= number <= len(self.passages) for number in numbers):
                return match[0]
            cited.update(numbers)
            return ""

        text = MARK.sub(take, answer) if self.passages else answer
        return text.strip(), cited

    def places(self, cited: Iterable[int], most: int = 3) -> list[str]:
        """What an answer's sources are called, each once."""
        return list(dict.fromkeys(self.passages[number - 1].place for number in sorted(cited)))[:most]
