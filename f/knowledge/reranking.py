# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""From what two searches found to one order. Pure.

Each passage that either search found has both scores. They are compared as standard scores among these passages, since
cosines and BM25 have no common scale, and their weighted mean is what the passage is worth by itself. Then passages
lend each other (score regularization, F. Diaz, 2005): what is near to good ones is better than its own words say, and a
good one among strangers is likely a coincidence. docs/knowledge.md says how the numbers were chosen.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

#: What the meaning counts beside the words, and the neighbours beside the passage itself.
MEANING = 0.7
NEIGHBOURS = 0.4

#: Passages that a passage is compared with: its nearest among the candidates.
NEAREST = 8


@dataclass(frozen=True)
class Candidate:
    """`meaning` is the cosine, None where there is no vector; `words` is BM25, 0 without a common word."""

    id: int
    meaning: float | None
    words: float


Scored = list[tuple[int, float]]

#: A passage's nearest others with their cosines.
Near = Mapping[int, Sequence[tuple[int, float]]]

#: What makes an order of a question's candidates. A model that reads them would be another one.
Reranker = Callable[[Scored, Near], Scored]


def fuse(candidates: Sequence[Candidate]) -> Scored:
    """The candidates by both scores, best first."""
    known = [candidate.meaning for candidate in candidates if candidate.meaning is not None]
    least = min(known, default=0.0)
    meaning = _standard([least if c.meaning is None else c.meaning for c in candidates])
    words = _standard([c.words for c in candidates])
    worth = MEANING if known else 0.0
    scores = {c.id: worth * m + (1 - worth) * w for c, m, w in zip(candidates, meaning, words, strict=True)}
    return _ordered(scores)


def by_neighbours(scored: Scored, near: Near) -> Scored:
    """`scored` with what its neighbours lend; without neighbours as it is."""
    scores = dict(scored)
    lent: dict[int, float] = {}
    for candidate, own in scored:
        others = [(scores[other], cosine) for other, cosine in near.get(candidate, ()) if other in scores]
        weight = sum(cosine for _, cosine in others)
        mean = sum(score * cosine for score, cosine in others) / weight if weight > 0 else own
        lent[candidate] = (1 - NEIGHBOURS) * own + NEIGHBOURS * mean
    return _ordered(lent)


def shown(score: float) -> float:
    """A score as people see it, from 0 to 1: how far a passage stands out among what was found; .5 is no better than
    the others."""
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


def _standard(values: Sequence[float]) -> list[float]:
    mean = sum(values) / max(1, len(values))
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values)))
    return [(value - mean) / spread if spread else 0.0 for value in values]


def _ordered(scores: Mapping[int, float]) -> Scored:
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
