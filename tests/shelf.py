"""A seeded database, and sources in it as the flow makes them, with vectors that need no model."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from f.knowledge import ingestion, queries, retrieval, versions
from f.knowledge.chunks import search_text
from f.knowledge.extraction import extract
from f.knowledge.versions import Job
from f.lib.database import Connection, tenant

BICIS = "11111111-1111-4111-8111-111111111111"
DENTAL = "22222222-2222-4222-8222-222222222222"


class WordVectors:
    """Words thrown into 384 places: near is what has words in common. `asked` is what was embedded."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def passages(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked += texts
        return [self.question(text) for text in texts]

    def question(self, text: str) -> list[float]:
        vector = [0.0] * 384
        for word in search_text(text).split():
            vector[int(hashlib.sha256(word[:5].encode()).hexdigest(), 16) % 384] += 1
        length = math.sqrt(sum(value * value for value in vector)) or 1
        return [value / length for value in vector]


class Shelf:
    def __init__(self, connection: Connection, owner_url: str) -> None:
        self.connection = connection
        self.owner = psycopg.connect(owner_url, autocommit=True, row_factory=dict_row)
        self.embedder = WordVectors()

    def chatbot(self, organization_id: str) -> dict[str, Any]:
        (bot,) = self.rows("select * from chatbots where organization_id = %s", organization_id)
        return bot

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return self.owner.execute(query, values).fetchall()

    def add(self, text: str, *, organization_id: str = BICIS, name: str = "a.md") -> Job:
        """A source that waits for its first run."""
        source_id = str(uuid4())
        values = {"organization_id": organization_id, "source_id": source_id, "kind": "file", "name": name}
        values |= {"chatbot_id": self.chatbot(organization_id)["id"], "content_type": "", "language": None, "url": None}
        values["every_hours"] = None
        with tenant(self.connection, organization_id):
            values["file_sha256"] = self._keep(organization_id, text)
            self.connection.execute(queries.ADD_SOURCE, values)
        return Job(organization_id, source_id, 1)

    def change(self, job: Job, text: str) -> Job:
        """The same source with another text, as the next version."""
        with tenant(self.connection, job.organization_id):
            sha256 = self._keep(job.organization_id, text)
            self.connection.execute(
                "update knowledge_sources set file_sha256 = %s where id = %s", [sha256, job.source_id]
            )
            row = self.connection.execute(queries.WANT_VERSION, job.keys).fetchone()
        assert row is not None
        return Job(job.organization_id, job.source_id, row["wanted_version"])

    def _keep(self, organization_id: str, text: str) -> str:
        data = text.encode()
        sha256 = hashlib.sha256(data).hexdigest()
        values = {"organization_id": organization_id, "file_sha256": sha256, "bytes": data}
        self.connection.execute(queries.KEEP_FILE, values)
        return sha256

    def stage(self, job: Job) -> str:
        state, source = versions.begin(self.connection, job)
        if state != "wanted":
            return state
        data = versions.read_file(self.connection, job, source["file_sha256"])
        return ingestion.stage(self.connection, job, source, extract(data, "a.md", "text/markdown"))

    def ingest(self, job: Job) -> str:
        state = self.stage(job)
        if state != "staged":
            return state
        ingestion.embed(self.connection, job, self.embedder)
        return ingestion.publish(self.connection, job)

    def learn(self, text: str, **where: Any) -> Job:
        job = self.add(text, **where)
        assert self.ingest(job) == "published"
        return job

    def search(self, text: str, *, organization_id: str = BICIS, most: int = 6) -> retrieval.Found:
        bot = self.chatbot(organization_id)
        return retrieval.search(self.connection, organization_id, bot, text, self.embedder, most)
