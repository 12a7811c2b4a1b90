"""Sets of questions with known passages, as `./dev eval` reads them, and the vectors that it keeps."""

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from f.knowledge.embeddings import Embedder, Vector
from f.knowledge.languages import detect


class EvaluationError(Exception):
    """The sets cannot be measured; the message says why."""


@dataclass(frozen=True)
class Set:
    name: str
    corpus: list[dict[str, Any]]
    queries: list[dict[str, Any]]
    relevant: dict[str, dict[str, int]]
    language: str | None
    out_of_scope: list[dict[str, Any]] = field(default_factory=list)


def read_sets(directory: Path, limit: int | None) -> list[Set]:
    """The sets below `directory`, or the one that it is; at most `limit` queries of each."""
    folders = [directory] if (directory / "corpus.jsonl").exists() else sorted(directory.iterdir())
    sets = [_read(folder, limit) for folder in folders if (folder / "corpus.jsonl").exists()]
    if not sets:
        raise EvaluationError(f"{directory} has no sets: folders with corpus.jsonl, queries.jsonl and qrels.tsv")
    return sets


def _read(folder: Path, limit: int | None) -> Set:
    corpus, queries = (_lines(folder / f"{name}.jsonl") for name in ("corpus", "queries"))
    relevant: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        relevant.setdefault(query, {})[document] = int(grade)
    meta = json.loads((folder / "meta.json").read_text()) if (folder / "meta.json").exists() else {}
    judged = [query for query in queries if query["_id"] in relevant]
    if limit:
        judged = spread(judged, limit)
    elsewhere = folder / "out_of_scope.jsonl"
    return Set(
        folder.name, corpus, judged, relevant, meta.get("language"), _lines(elsewhere) if elsewhere.exists() else []
    )


def spread(queries: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most `most`, spread over all, the same ones each time."""
    return queries if len(queries) <= most else [queries[n * len(queries) // most] for n in range(most)]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


class Cached:
    """An embedder that remembers."""

    def __init__(self, embedder: Embedder, path: Path) -> None:
        self._embedder = embedder
        self._store = sqlite3.connect(path, isolation_level=None, timeout=60)
        self._store.execute("create table if not exists vectors (text text primary key, vector text not null)")

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        return [self._get("passage", text) for text in texts]

    def question(self, text: str) -> Vector:
        return self._get("question", text)

    def milliseconds(self, text: str) -> float:
        """What the model takes for a question."""
        started = time.perf_counter()
        self._embedder.question(text)
        return (time.perf_counter() - started) * 1000

    def _get(self, kind: str, text: str) -> Vector:
        key = f"{kind}:{sha256(text.encode()).hexdigest()}"
        row = self._store.execute("select vector from vectors where text = ?", [key]).fetchone()
        if row:
            return list(json.loads(row[0]))
        vector = self._embedder.question(text) if kind == "question" else self._embedder.passages([text])[0]
        self._store.execute("insert or ignore into vectors values (?, ?)", [key, json.dumps(vector)])
        return vector


def by_tenant(one: Set) -> list[Set]:
    """The set of each tenant, where its lines name one: who asks is told nothing of the others."""
    names = dict.fromkeys(str(line.get("tenant", "")) for line in one.corpus)
    parts = []
    for name in names:
        corpus, queries = (
            [line for line in lines if str(line.get("tenant", "")) == name] for lines in (one.corpus, one.queries)
        )
        title = f"{one.name}/{name}" if name else one.name
        parts.append(replace(one, name=title, corpus=corpus, queries=queries))
    if sum(len(part.queries) for part in parts) < len(one.queries):
        raise EvaluationError(f"{one.name}: a query's tenant has no passages")
    return parts


def language_of(one: Set) -> str:
    return one.language or detect(" ".join(document["text"] for document in one.corpus[:50]), "en")
