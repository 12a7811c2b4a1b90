"""How search holds up where there is much: `./dev eval --scale`, in an empty database with our schema.

A crowd of tenants has almost the same text, and each must find its own and nothing else. A large table has a tenant
with a hundredth of the rows and one with a tenth; what the product finds in it is compared with numpy.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
from numpy.typing import NDArray

from f.knowledge import retrieval
from f.knowledge.embeddings import Vector
from f.lib.database import Connection, connect

DIMENSIONS = 384
MODEL = "multilingual-e5-small"
BEST = 10

#: What the rows of a large table are about, for all tenants the same: the worst case for an index without tenants.
TOPICS = 200

#: Words of a passage, of a question, and in the language.
PASSAGE_WORDS, QUESTION_WORDS, VOCABULARY = 40, 12, 20_000

Numbers = NDArray[np.float32]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Tenant:
    organization_id: str
    chatbot_id: str
    source_id: str

    @property
    def chatbot(self) -> dict[str, Any]:
        return {"id": self.chatbot_id, "embedding_model": MODEL, "embedding_dimensions": DIMENSIONS}


class Given:
    """An embedder for which every question is the vector that it was made with."""

    def __init__(self, vector: Numbers) -> None:
        self._vector: Vector = vector.tolist()

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        return [self._vector for _ in texts]

    def question(self, text: str) -> Vector:
        return self._vector


def run(
    superuser_url: str,
    app_resource: dict[str, Any],
    say: Say = lambda line: None,
    *,
    tenants: int = 1000,
    rows: int = 100_000,
    questions: int = 200,
) -> dict[str, Any]:
    """The report, in the shape of `evaluation.run`."""
    # As a superuser, since the rows are written past what the product checks on its way in.
    with (
        psycopg.connect(superuser_url, autocommit=True) as server,
        connect(app_resource) as connection,
    ):
        server.execute("set session_replication_role = replica")
        say(f"a crowd: {tenants} tenants of almost the same text")
        crowd = measure_crowd(server, connection, tenants)
        say(f"a large table: {rows} passages of {DIMENSIONS} dimensions")
        large = measure_large(server, connection, rows, questions)
    return {"crowd": crowd, "large": large, "targets": list(targets(crowd, large))}


def targets(crowd: dict[str, Any], large: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("foreign", "short"):
        what = {"foreign": "rows of another tenant", "short": "searches with fewer than min(k, n) rows"}[name]
        yield {
            "name": f"{what}, of {crowd['searches']} searches",
            "goal": 0,
            "value": crowd[name],
            "met": not crowd[name],
        }
    for share, one in large["tenants"].items():
        recall, ms = one["recall@10"], one["ms_p95"]["meaning"]
        yield {
            "name": f"recall@10 beside numpy, a tenant of {share}",
            "goal": 0.99,
            "value": recall,
            "met": recall >= 0.99,
        }
        yield {
            "name": f"p95 by meaning in the database, a tenant of {share}, ms",
            "goal": 25,
            "value": ms,
            "met": ms <= 25,
        }


def table(report: dict[str, Any]) -> str:
    lines = [f"{'':24}{'rows':>8}{'recall@10':>11}{'p50 ms':>9}{'p95 ms':>9}{'words p95':>11}{'all p95':>9}"]
    for share, one in report["large"]["tenants"].items():
        p50, p95 = one["ms_p50"], one["ms_p95"]
        indexed = one["with the index"]
        line = f"a tenant of {share}"
        lines.append(
            f"{line:24}{one['rows']:>8}{one['recall@10']:>11}{p50['meaning']:>9}{p95['meaning']:>9}"
            f"{p95['words']:>11}{p95['all']:>9}"
        )
        lines.append(f"{'  through the index':24}{'':>8}{indexed['recall@10']:>11}{'':>9}{indexed['ms_p95']:>9}")
    return "\n".join(lines)


# A crowd ------------------------------------------------------------------------------------------


def measure_crowd(
    server: psycopg.Connection[Any],
    connection: Connection,
    tenants: int,
    *,
    passages: int = 12,
    searched: int | None = None,
) -> dict[str, Any]:
    """`tenants` of one to `passages` passages that differ in a number, and searches of all or `searched` of them,
    exact and by the index."""
    random = np.random.default_rng(6)
    same = random.standard_normal(DIMENSIONS, dtype=np.float32)
    made = [(add_tenant(server), 1 + number % passages) for number in range(tenants)]
    total = sum(count for _, count in made)
    vectors = unit(same + 0.05 * random.standard_normal((total, DIMENSIONS), dtype=np.float32))
    add_passages(server, made, vectors)
    add_words(server, "array['shop', 'open', 'saturday', 'nine', 'w' || c.position]")
    server.execute("vacuum analyze document_chunks, chunk_terms, knowledge_sources")
    owners = dict(server.execute("select id, organization_id::text from document_chunks").fetchall())
    foreign = short = 0
    for indexed in (False, True):
        with forced_index(indexed):
            for one, count in made[:searched]:
                found = retrieval.search(
                    connection, one.organization_id, one.chatbot, "Is the shop open on Saturdays at nine?", Given(same)
                )
                for hits in (found.by_meaning, found.by_words, found.ranked):
                    foreign += sum(owners[hit] != one.organization_id for hit, _ in hits)
                    short += len(hits) < count
                foreign += sum(str(passage.source_id) != one.source_id for passage in found.passages)
    return {"tenants": tenants, "rows": total, "searches": 2 * len(made[:searched]), "foreign": foreign, "short": short}


@contextmanager
def forced_index(indexed: bool) -> Iterator[None]:
    """Searches use the index whatever the size, or never."""
    usual = retrieval.EXACT_NUMBERS
    retrieval.EXACT_NUMBERS = 0 if indexed else 10**12
    try:
        yield
    finally:
        retrieval.EXACT_NUMBERS = usual


# A large table ------------------------------------------------------------------------------------


def measure_large(server: psycopg.Connection[Any], connection: Connection, rows: int, questions: int) -> dict[str, Any]:
    """A tenant of 1 % of the rows, one of 10 %, and the rest in tenants of 1 %."""
    server.execute("truncate document_chunks, chunk_terms")
    random = np.random.default_rng(7)
    made = [(add_tenant(server), rows // 100), (add_tenant(server), rows // 10)]
    made += [(add_tenant(server), rows // 100) for _ in range(89)]
    topics = unit(random.standard_normal((TOPICS, DIMENSIONS), dtype=np.float32))
    total = sum(count for _, count in made)
    noise = random.standard_normal((total, DIMENSIONS), dtype=np.float32)
    vectors = unit(topics[random.integers(0, TOPICS, total)] + 0.05 * noise)
    with without_indexes(server):
        add_passages(server, made, vectors)
        word = f"'w' || floor(power(random(), 3) * {VOCABULARY})"
        add_words(server, f"(select array_agg({word}) from generate_series(1, {PASSAGE_WORDS}) where c.id > 0)")  # noqa: S608  # constants
    server.execute("vacuum analyze document_chunks, chunk_terms, knowledge_sources")
    result = {}
    start = 0
    for share, (one, count) in zip(("1 %", "10 %"), made, strict=False):
        mine = vectors[start : start + count]
        start += count
        away = 0.03 * random.standard_normal((questions, DIMENSIONS), dtype=np.float32)
        asked = unit(mine[random.integers(0, count, questions)] + away)
        texts = [" ".join(f"w{int(VOCABULARY * random.random() ** 3)}" for _ in range(QUESTION_WORDS)) for _ in asked]
        result[share] = _searched(server, connection, one, mine, asked, texts)
        with forced_index(True):
            indexed = _searched(server, connection, one, mine, asked, texts)
        result[share]["with the index"] = {
            "recall@10": indexed["recall@10"],
            "ms_p95": indexed["ms_p95"]["meaning"],
        }
    return {"rows": total, "tenants": result}


def _searched(
    server: psycopg.Connection[Any],
    connection: Connection,
    one: Tenant,
    mine: Numbers,
    asked: Numbers,
    texts: Sequence[str],
) -> dict[str, Any]:
    position_of = dict(
        server.execute("select id, position from document_chunks where source_id = %s", [one.source_id]).fetchall()
    )
    nearest = np.argsort(-(asked @ mine.T), axis=1)[:, :BEST]
    recalls = []
    ms: dict[str, list[float]] = {"meaning": [], "words": [], "all": []}
    for number in range(-5, len(texts)):
        vector, text = asked[number], texts[number]
        found = retrieval.search(connection, one.organization_id, one.chatbot, text, Given(vector), BEST)
        if number < 0:
            continue  # the first ones fill caches
        hits = {position_of[hit] for hit, _ in found.by_meaning[:BEST]}
        recalls.append(len(hits & set(nearest[number].tolist())) / min(BEST, len(mine)))
        for name, values in ms.items():
            values.append(found.ms[name])
    return {
        "rows": len(mine),
        "recall@10": round(statistics.fmean(recalls), 4),
        "ms_p50": {name: percentile(values, 50) for name, values in ms.items()},
        "ms_p95": {name: percentile(values, 95) for name, values in ms.items()},
    }


def percentile(values: Sequence[float], share: float) -> float:
    return round(float(np.percentile(values, share)), 1)


def unit(vectors: Numbers) -> Numbers:
    result: Numbers = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return result


# Rows ---------------------------------------------------------------------------------------------


def add_tenant(server: psycopg.Connection[Any]) -> Tenant:
    """An organisation with a chatbot and one source, on a plan of the evaluation's."""
    one = Tenant(str(uuid4()), str(uuid4()), str(uuid4()))
    values = {**vars(one), "slug": f"eval-{uuid4().hex[:12]}", "model": f"{MODEL}/{DIMENSIONS}"}
    for statement in (
        "insert into plans (code, name, monthly_messages, monthly_tokens, daily_messages_per_contact)"
        " values ('scale', 'scale', 0, 0, 0) on conflict do nothing",
        "insert into organizations (organization_id, slug, name, plan_code)"
        " values (%(organization_id)s, %(slug)s, %(slug)s, 'scale')",
        "insert into chatbots (organization_id, id, slug, name, language, persona, fallback_text)"
        " values (%(organization_id)s, %(chatbot_id)s, %(slug)s, %(slug)s, 'en', '', '-')",
        "insert into knowledge_sources (organization_id, id, chatbot_id, kind, name, url, state, version, language,"
        " embedding_model) values (%(organization_id)s, %(source_id)s, %(chatbot_id)s, 'url', 'page',"
        " 'https://example.com/', 'ready', 1, 'simple', %(model)s)",
    ):
        server.execute(statement, values)
    return one


def add_passages(server: psycopg.Connection[Any], made: Sequence[tuple[Tenant, int]], vectors: Numbers) -> None:
    """For each tenant, the next so many of the vectors."""
    server.execute("create temporary table vectors (n integer, embedding halfvec)")
    with server.cursor().copy("copy vectors from stdin (format binary)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for start in range(0, len(vectors), 10_000):
            copy.write(_binary(start, vectors[start : start + 10_000]))
        copy.write(b"\xff\xff")
    start = 0
    for one, count in made:
        server.execute(
            "insert into document_chunks (organization_id, chatbot_id, source_id, version, position, headings, body,"
            " content_hash, length, embedding_model, embedding)"
            " select %(organization_id)s, %(chatbot_id)s, %(source_id)s, 1, n - %(start)s, '{}',"
            " 'On Saturdays the shop is open from ' || n || ' to nine.', n::text, %(length)s, %(model)s, embedding"
            " from vectors where n >= %(start)s and n < %(end)s",
            {
                **vars(one),
                "start": start,
                "end": start + count,
                "length": PASSAGE_WORDS,
                "model": f"{MODEL}/{DIMENSIONS}",
            },
        )
        start += count
    server.execute("drop table vectors")


def _binary(start: int, vectors: Numbers) -> bytes:
    """Rows of COPY's binary format: a number and a halfvec."""
    kind = [
        ("fields", ">i2"),
        ("length", ">i4"),
        ("n", ">i4"),
        ("size", ">i4"),
        ("dimensions", ">i2"),
        ("unused", ">i2"),
    ]
    rows = np.zeros(len(vectors), dtype=[*kind, ("values", ">f2", (DIMENSIONS,))])
    rows["fields"], rows["length"], rows["size"], rows["dimensions"] = 2, 4, 4 + 2 * DIMENSIONS, DIMENSIONS
    rows["n"] = np.arange(start, start + len(vectors))
    rows["values"] = vectors
    return rows.tobytes()


def add_words(server: psycopg.Connection[Any], words: str) -> None:
    """The words of every passage: `words` is an SQL expression for an array, with the passage as `c`."""
    server.execute(f"""
        insert into chunk_terms (organization_id, chatbot_id, term, chunk_id, frequency, length)
        select c.organization_id, c.chatbot_id, term, c.id, count(*), {PASSAGE_WORDS}
        from document_chunks c cross join lateral unnest({words}) as w (term)
        group by c.organization_id, c.chatbot_id, term, c.id order by 1, 2, 3
    """)  # noqa: S608  # constants


@contextmanager
def without_indexes(server: psycopg.Connection[Any]) -> Iterator[None]:
    """Large indexes are faster made at once than row by row."""
    rows = server.execute(
        "select indexname, indexdef from pg_indexes where schemaname = 'public'"
        " and (tablename = 'chunk_terms' or indexname like 'document_chunks_%%' and indexdef like '%%hnsw%%')"
    ).fetchall()
    for name, _ in rows:
        server.execute(f"drop index {name}")
    yield
    server.execute("set maintenance_work_mem = '1GB'")
    for _, definition in rows:
        server.execute(definition)
