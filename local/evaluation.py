"""How well the product finds what it was told: sets of questions with known passages, through its own ingestion.

A set is a folder with `corpus.jsonl` (_id, title, text), `queries.jsonl` (_id, text), `qrels.tsv` (query-id, corpus-id,
score) and `meta.json`. Each becomes one chatbot of one tenant, each passage of the corpus one source. A vector that was
computed once is kept beside, in EVAL_CACHE: the model needs longer than everything else.
"""

import argparse
import json
import math
import secrets
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.conninfo import make_conninfo

from db import manage
from f.knowledge import ingestion, retrieval, versions
from f.knowledge.documents import ExtractionError, Limits
from f.knowledge.embeddings import Embedder, LocalEmbedder, Vector
from f.knowledge.extraction import read
from f.knowledge.languages import detect
from f.knowledge.versions import Job, Refused
from f.lib.database import Connection, connect, tenant
from local import golden, knowledge
from local.install import ROOT
from local.postgres import Cluster
from local.settings import load

LEGS = ("meaning", "words", "fused", "ranked")
BEST = 10

#: Times of a search: of the model, of each leg in the database, of what follows, and of all but the model.
TIMES = ("embedding", "meaning", "words", "ranking", "all")

#: Questions of a tenant that are embedded once more, to know how long it takes: the others come from the cache.
TIMED = 30

#: What the mean over all sets has to be, and what it would be good to reach.
MEAN, STRETCH = 0.79, 0.82

#: A small set of our own; others are named with --sets.
SETS = ROOT / "tests" / "knowledge" / "sets"

Say = Callable[[str], None]


class EvaluationError(Exception):
    """The sets cannot be measured; the message says why."""


@dataclass(frozen=True)
class Set:
    name: str
    corpus: list[dict[str, Any]]
    queries: list[dict[str, Any]]
    relevant: dict[str, dict[str, int]]
    language: str | None


@dataclass(frozen=True)
class Member:
    """A tenant that has its part of a set, and the set's passages by the ids of their sources."""

    organization_id: str
    chatbot: dict[str, Any]
    part: Set
    names: dict[str, str]


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
    if limit and len(judged) > limit:
        # Spread over the set, the same ones each time.
        judged = [judged[n * len(judged) // limit] for n in range(limit)]
    return Set(folder.name, corpus, judged, relevant, meta.get("language"))


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


def run(
    owner_url: str, app_resource: dict[str, Any], sets: Sequence[Set], cache: Path, say: Say = lambda line: None
) -> dict[str, Any]:
    """Measure `sets` in an empty database with our schema. Returns the report."""
    embedder = Cached(LocalEmbedder(), cache)
    results = {}
    with connect(app_resource) as connection:
        for one in sets:
            say(f"{one.name}: {len(one.corpus)} passages, {len(one.queries)} queries")
            started = time.perf_counter()
            members = []
            for part in by_tenant(one):
                organization_id, chatbot = _make_tenant(owner_url, part)
                names = _ingest(connection, organization_id, chatbot, part, embedder)
                members.append(Member(organization_id, chatbot, part, names))
            took = time.perf_counter() - started
            with psycopg.connect(owner_url, autocommit=True) as owner:
                owner.execute("vacuum analyze document_chunks, chunk_terms")
            results[one.name] = _measure(connection, members, one.relevant, embedder)
            results[one.name]["ingestion_seconds"] = round(took, 1)
            say(f"{one.name}: {json.dumps(results[one.name])}")
    return {"sets": results, "targets": list(targets(results))}


def targets(results: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What a search has to reach on each set, on all of them, and in time."""

    def mean(leg: str) -> float:
        return round(statistics.fmean(result["ndcg@10"][leg] for result in results.values()), 4)

    def at_least(name: str, goal: float, value: float) -> dict[str, Any]:
        return {"name": name, "goal": round(goal, 4), "value": value, "met": value >= round(goal, 4)}

    for name, result in results.items():
        better = max(result["ndcg@10"]["meaning"], result["ndcg@10"]["words"])
        yield at_least(f"{name}: nDCG@10, the better leg's less 0.01", better - 0.01, result["ndcg@10"]["ranked"])
    yield at_least("mean nDCG@10", MEAN, mean("ranked"))
    yield at_least("mean nDCG@10 of words, bm25s' less 0.01", mean("bm25s") - 0.01, mean("words"))
    slowest = max(result["ms_p50"]["all"] for result in results.values())
    yield {"name": "median of a search without its embedding, ms", "goal": 100, "value": slowest, "met": slowest <= 100}


def by_tenant(one: Set) -> list[Set]:
    """The set of each tenant, where its lines name one: who asks is told nothing of the others."""
    names = dict.fromkeys(str(line.get("tenant", "")) for line in one.corpus)
    parts = []
    for name in names:
        corpus, queries = (
            [line for line in lines if str(line.get("tenant", "")) == name] for lines in (one.corpus, one.queries)
        )
        parts.append(Set(f"{one.name}/{name}" if name else one.name, corpus, queries, one.relevant, one.language))
    if sum(len(part.queries) for part in parts) < len(one.queries):
        raise EvaluationError(f"{one.name}: a query's tenant has no passages")
    return parts


def _make_tenant(owner_url: str, one: Set) -> tuple[str, dict[str, Any]]:
    organization_id = str(uuid4())
    slug = f"eval-{uuid4().hex[:8]}"
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(
            "insert into plans (code, name, monthly_messages, monthly_tokens, daily_messages_per_contact,"
            " knowledge_sources, knowledge_pages, knowledge_bytes, daily_ingestions)"
            " values ('eval', 'eval', 0, 0, 0, 1000000, 1000000, 1000000000000, 1000000) on conflict do nothing"
        )
        owner.execute(
            "insert into organizations (organization_id, slug, name, plan_code) values (%s, %s, %s, 'eval')",
            [organization_id, slug, one.name],
        )
        row = owner.execute(
            "insert into chatbots (organization_id, slug, name, language, persona, fallback_text)"
            " values (%s, %s, %s, %s, '', '-') returning id, embedding_model, embedding_dimensions",
            [organization_id, slug, one.name, language_of(one)],
        ).fetchone()
        assert row is not None
    return organization_id, {"id": row[0], "embedding_model": row[1], "embedding_dimensions": row[2]}


def language_of(one: Set) -> str:
    return one.language or detect(" ".join(document["text"] for document in one.corpus[:50]), "en")


def _ingest(
    connection: Connection, organization_id: str, chatbot: dict[str, Any], one: Set, embedder: Embedder
) -> dict[str, str]:
    """The set's passages by the ids of their sources."""
    names = {}
    for document in one.corpus:
        title = " ".join(str(document.get("title") or "").split())
        data = (f"# {title}\n\n{document['text']}" if title else document["text"]).encode()
        source_id = str(uuid4())
        names[source_id] = document["_id"]
        with tenant(connection, organization_id):
            values = [organization_id, source_id, chatbot["id"], (title or document["_id"])[:200]]
            sha256_ = sha256(data + document["_id"].encode()).hexdigest()
            connection.execute(
                "insert into source_files (organization_id, sha256, bytes) values (%s, %s, %s) on conflict do nothing",
                [organization_id, sha256_, data],
            )
            connection.execute(
                "insert into knowledge_sources (organization_id, id, chatbot_id, kind, name, file_sha256)"
                " values (%s, %s, %s, 'file', %s, %s)",
                [*values, sha256_],
            )
        job = Job(organization_id, source_id, 1)
        _, source = versions.begin(connection, job)
        try:
            # In this process: a set is known to be harmless, and a process for each passage takes minutes.
            extraction = read(versions.read_file(connection, job, sha256_), "markdown", Limits())
            ingestion.stage(connection, job, source, extraction)
        except (Refused, ExtractionError) as error:
            # Nothing can be found of a passage without text.
            versions.fail(connection, job, error.code, str(error))
            continue
        ingestion.embed(connection, job, embedder)
        ingestion.publish(connection, job)
    return names


def _measure(
    connection: Connection, members: Sequence[Member], relevant: dict[str, dict[str, int]], embedder: Cached
) -> dict[str, Any]:
    rankings: dict[str, dict[str, list[str]]] = {leg: {} for leg in (*LEGS, "bm25s")}
    ms: dict[str, list[float]] = {name: [] for name in TIMES}
    chunks = 0
    for member in members:
        with tenant(connection, member.organization_id):
            rows = connection.execute("select id, source_id from document_chunks").fetchall()
        chunks += len(rows)
        document_of = {row["id"]: member.names[str(row["source_id"])] for row in rows}
        for query in member.part.queries:
            found = retrieval.search(connection, member.organization_id, member.chatbot, query["text"], embedder, BEST)
            for leg, hits in zip(LEGS, (found.by_meaning, found.by_words, found.fused, found.ranked), strict=True):
                documents = dict.fromkeys(document_of[chunk_id] for chunk_id, _ in hits)
                rankings[leg][query["_id"]] = list(documents)[:BEST]
            for name in TIMES[1:]:
                ms[name].append(found.ms[name] - (found.ms["embedding"] if name == "all" else 0))
        ms["embedding"] += [embedder.milliseconds(query["text"]) for query in member.part.queries[:TIMED]]
        rankings["bm25s"] |= _bm25s(member.part)
    scores = {leg: _scores(ranking, relevant) for leg, ranking in rankings.items()}
    return {
        "ndcg@10": {leg: ndcg for leg, (ndcg, _) in scores.items()},
        "recall@5": {leg: recall for leg, (_, recall) in scores.items()},
        "ms_p50": {name: round(statistics.median(values), 1) for name, values in ms.items()},
        "ms_p95": {name: round(sorted(values)[math.ceil(0.95 * len(values)) - 1], 1) for name, values in ms.items()},
        "queries": sum(len(member.part.queries) for member in members),
        "chunks": chunks,
    }


def _bm25s(one: Set) -> dict[str, list[str]]:
    """The peer: bm25s, as it comes, on the same passages and queries."""
    import bm25s

    texts = [f"{document.get('title') or ''} {document['text']}" for document in one.corpus]
    stopwords = "en" if language_of(one) == "en" else None
    tokens = bm25s.tokenize(texts, stopwords=stopwords, show_progress=False)
    index = bm25s.BM25()
    index.index(tokens, show_progress=False)
    asked = bm25s.tokenize([query["text"] for query in one.queries], stopwords=stopwords, show_progress=False)
    found, _ = index.retrieve(asked, k=min(BEST, len(texts)), show_progress=False)
    return {
        query["_id"]: [one.corpus[place]["_id"] for place in places]
        for query, places in zip(one.queries, found, strict=True)
    }


def _scores(ranking: dict[str, list[str]], relevant: dict[str, dict[str, int]]) -> tuple[float, float]:
    """Mean nDCG@10 and recall@5."""
    gains, recalls = [], []
    for query, documents in ranking.items():
        grades = relevant[query]
        ideal = sorted(grades.values(), reverse=True)[:BEST]
        gains.append(_dcg([grades.get(d, 0) for d in documents[:BEST]]) / _dcg(ideal) if _dcg(ideal) else 0.0)
        recalls.append(len([d for d in documents[:5] if grades.get(d, 0) > 0]) / sum(g > 0 for g in grades.values()))
    return round(statistics.fmean(gains), 4), round(statistics.fmean(recalls), 4)


def _dcg(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(place + 2) for place, grade in enumerate(grades))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sets", type=Path, default=SETS, metavar="DIR", help="a set, or a folder of sets (%(default)s)"
    )
    parser.add_argument(
        "--questions", type=Path, metavar="FILE", help="instead: a tenant's golden questions, of a running chatbot"
    )
    knowledge.add_place(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="queries of each set (default: all)")
    parser.add_argument(
        "--scale", action="store_true", help="instead: many tenants of the same text, and a large table"
    )
    parser.add_argument("--tenants", type=int, default=1000, metavar="N", help="of --scale (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=100_000, metavar="N", help="of --scale (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="vectors of earlier runs (default: in DATA_DIR)")


def main(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Exit status 1 when a target is missed."""
    if options.questions:
        shelf = knowledge.Shelf(options, environment)
        report = golden.run(golden.read(options.questions), lambda question: shelf.search(question, golden.BEST))
        shown = golden.table(report)
    else:
        report = measure(options, load(environment).data_dir)
        if options.scale:
            from local.scale import table as show
        else:
            show = table
        shown = show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(shown)
    print(outcome(report))
    return 0 if all(target["met"] for target in report["targets"]) else 1


def measure(options: argparse.Namespace, data_dir: Path) -> dict[str, Any]:
    """Sets, or the scale, in a database of its own, which is gone afterwards. Returns the report."""
    if options.limit is not None and options.limit < 1:
        raise EvaluationError("--limit must be 1 or more")
    if not options.sets.is_dir():
        raise EvaluationError(f"there is no folder {options.sets}: --sets names one")
    sets = [] if options.scale else read_sets(options.sets, options.limit)
    cache = options.cache or data_dir / "evaluation.sqlite"
    cache.parent.mkdir(parents=True, exist_ok=True)
    with empty_database() as (superuser_url, owner_url, app):
        if options.scale:
            from local import scale  # needs numpy, which ./dev elsewhere does without

            return scale.run(superuser_url, app, say, tenants=options.tenants, rows=options.rows)
        return run(owner_url, app, sets, cache, say)


def say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def empty_database() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A database with our schema for as long as the block lasts: the addresses of a superuser and the owner, app's
    resource."""
    with (
        tempfile.TemporaryDirectory(prefix="millrace-eval-") as folder,
        Cluster(Path(folder) / "postgres", durable=False) as cluster,
    ):
        words = {"owner": secrets.token_urlsafe(16), "app": secrets.token_urlsafe(16)}
        with psycopg.connect(cluster.superuser_url, autocommit=True) as server:
            server.execute("create role owner createrole createdb")
            manage.set_passwords(server, {"owner": words["owner"]})
        owner_url = cluster.url("evaluation", "owner", words["owner"])
        manage.reset(owner_url, passwords={"app": words["app"]}, seeded=False)
        app = {"host": "127.0.0.1", "port": cluster.port, "user": "app", "password": words["app"]}
        app |= {"dbname": "evaluation", "sslmode": "disable"}
        yield make_conninfo(cluster.superuser_url, dbname="evaluation"), owner_url, app


def table(report: dict[str, Any]) -> str:
    lines = [f"{'nDCG@10 / recall@5':20}" + "".join(f"{leg:>16}" for leg in (*LEGS, "bm25s"))]
    for name, result in report["sets"].items():
        pairs = (f"{result['ndcg@10'][leg]:.3f} / {result['recall@5'][leg]:.3f}" for leg in (*LEGS, "bm25s"))
        lines.append(f"{name:20}" + "".join(f"{pair:>16}" for pair in pairs))
    lines.append(f"\n{'p50 / p95 ms':20}" + "".join(f"{name:>16}" for name in TIMES))
    for name, result in report["sets"].items():
        pairs = (f"{result['ms_p50'][time]} / {result['ms_p95'][time]}" for time in TIMES)
        lines.append(f"{name:20}" + "".join(f"{pair:>16}" for pair in pairs))
    mean = statistics.fmean(result["ndcg@10"]["ranked"] for result in report["sets"].values())
    lines.append(f"\nmean nDCG@10 {mean:.4f}; {STRETCH} would be good\n")
    return "\n".join(lines)


def outcome(report: dict[str, Any]) -> str:
    return "\n".join(
        f"{'met' if target['met'] else 'MISSED':7} {target['name']}: {target['value']} ({target['goal']})"
        for target in report["targets"]
    )
