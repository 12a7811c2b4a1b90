"""How well the product finds what it was told: sets of questions with known passages, through its own ingestion.

A set is a folder with `corpus.jsonl` (_id, title, text), `queries.jsonl` (_id, text), `qrels.tsv` (query-id, corpus-id,
score) and `meta.json`; it may have `out_of_scope.jsonl` (as queries.jsonl; see local/unknown.py). Each becomes one
chatbot of one tenant, each passage of the corpus one source. A vector that was computed once is kept beside, in
EVAL_CACHE: the model needs longer than everything else.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from f.knowledge import ingestion, retrieval, versions
from f.knowledge.documents import ExtractionError, Limits
from f.knowledge.embeddings import Embedder, LocalEmbedder
from f.knowledge.extraction import read
from f.knowledge.versions import Job, Refused
from f.lib.database import Connection, connect, tenant
from local import golden, knowledge, readers, throwaway, unknown
from local.answers import run as answers
from local.eval_sets import Cached, EvaluationError, Set, by_tenant, language_of, read_sets, spread
from local.install import ROOT
from local.readers import Measured, figures
from local.settings import load

LEGS = ("meaning", "words", "fused", "ranked")
BEST = 10

#: Times of a search: of the model, of each leg in the database, of what follows, and of all but the model.
TIMES = ("embedding", "meaning", "words", "ranking", "all")

#: Questions of a tenant that are embedded once more, to know how long it takes: the others come from the cache.
TIMED = 30

#: Questions of each other set that a set is asked, for the curve of not knowing.
ELSEWHERE = 50

#: What the mean over all sets has to be, and what it would be good to reach.
MEAN, STRETCH = 0.79, 0.82

#: A small set of our own; others are named with --sets.
SETS = ROOT / "tests" / "knowledge" / "sets"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Member:
    """A tenant that has its part of a set, and the set's passages by the ids of their sources."""

    organization_id: str
    chatbot: dict[str, Any]
    part: Set
    names: dict[str, str]


def run(
    owner_url: str,
    app_resource: dict[str, Any],
    sets: Sequence[Set],
    cache: Path,
    say: Say = lambda line: None,
    asked: Sequence[Callable[[], Measured]] = (),
) -> dict[str, Any]:
    """Measure `sets` in an empty database with our schema; `asked` makes the readers of each. Returns the report."""
    embedder = Cached(LocalEmbedder(), cache)
    results = {}
    cosines: dict[str, unknown.Cosines] = {}
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
            cosines[one.name] = unknown.Cosines()
            results[one.name] = _measure(
                connection, members, one.relevant, embedder, cosines[one.name], [make() for make in asked]
            )
            elsewhere = [*one.out_of_scope, *(q for s in sets if s is not one for q in spread(s.queries, ELSEWHERE))]
            cosines[one.name].elsewhere = _ask_elsewhere(connection, members[0], elsewhere, embedder)
            results[one.name]["ingestion_seconds"] = round(took, 1)
            say(f"{one.name}: {json.dumps(results[one.name])}")
    curve = unknown.curve(cosines)
    return {"sets": results, "unknown": curve, "targets": [*targets(results), *unknown.targets(curve)]}


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


def _ask_elsewhere(
    connection: Connection, member: Member, queries: Sequence[dict[str, Any]], embedder: Cached
) -> list[float]:
    """How near the nearest passage is to questions that none is about."""
    asked = (
        retrieval.search(connection, member.organization_id, member.chatbot, query["text"], embedder, 1)
        for query in queries
    )
    return [found.nearest for found in asked if found.nearest is not None]


def _measure(
    connection: Connection,
    members: Sequence[Member],
    relevant: dict[str, dict[str, int]],
    embedder: Cached,
    cosines: unknown.Cosines,
    measured: Sequence[Measured] = (),
) -> dict[str, Any]:
    """The figures of a set; what its questions are near to goes into `cosines`."""
    rankings: dict[str, dict[str, list[str]]] = {leg: {} for leg in (*LEGS, "bm25s")}
    ms: dict[str, list[float]] = {name: [] for name in (*TIMES, "reranking")}
    chunks = 0
    for member in members:
        with tenant(connection, member.organization_id):
            rows = connection.execute("select id, source_id from document_chunks").fetchall()
        chunks += len(rows)
        document_of = {row["id"]: member.names[str(row["source_id"])] for row in rows}
        for query in member.part.queries:
            found = retrieval.search(connection, member.organization_id, member.chatbot, query["text"], embedder, BEST)
            others = [c for chunk_id, c in found.by_meaning if document_of[chunk_id] not in relevant[query["_id"]]]
            cosines.known += [] if found.nearest is None else [found.nearest]
            cosines.missing += others[:1]
            for leg, hits in zip(LEGS, (found.by_meaning, found.by_words, found.fused, found.ranked), strict=True):
                documents = dict.fromkeys(document_of[chunk_id] for chunk_id, _ in hits)
                rankings[leg][query["_id"]] = list(documents)[:BEST]
            for one in measured:
                read = retrieval.search(
                    connection, member.organization_id, member.chatbot, query["text"], embedder, BEST, reader=one.reader
                )
                one.add(read)
                one.rankings[query["_id"]] = list(dict.fromkeys(document_of[hit] for hit, _ in read.ranked))[:BEST]
            for name in (*TIMES[1:], "reranking"):
                ms[name].append(found.ms[name] - (found.ms["embedding"] if name == "all" else 0))
        ms["embedding"] += [embedder.milliseconds(query["text"]) for query in member.part.queries[:TIMED]]
        rankings["bm25s"] |= _bm25s(member.part)
    scores = {leg: _scores(ranking, relevant) for leg, ranking in rankings.items()}
    costs = {"none": figures(*scores["fused"], [0.0]), "offline": figures(*scores["ranked"], ms.pop("reranking"))}
    return {
        "rerankers": costs | {one.label: one.figures(*_scores(one.rankings, relevant)) for one in measured},
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
    parser.add_argument(
        "--reader",
        action="append",
        default=[],
        metavar="WHAT",
        help="a re-ranker besides: api:MODEL, openai:MODEL or gemini:MODEL, with its key in the environment"
        " (RERANK_API_KEY and RERANK_BASE_URL, OPENAI_API_KEY, GEMINI_API_KEY); may be given again",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="queries of each set or tenant (default: all)")
    parser.add_argument(
        "--scale", action="store_true", help="instead: many tenants of the same text, and a large table"
    )
    parser.add_argument("--tenants", type=int, default=1000, metavar="N", help="of --scale (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=100_000, metavar="N", help="of --scale (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="vectors of earlier runs (default: in DATA_DIR)")
    answers.add_arguments(parser)


def main(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Exit status 1 when a target is missed."""
    if options.answers:
        return answers.main(options, environment)
    if options.questions:
        shelf = knowledge.Shelf(options, environment)
        report = golden.run(golden.read(options.questions), lambda question: shelf.search(question, golden.BEST))
        shown = golden.table(report)
    else:
        report = measure(options, environment)
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


def measure(options: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, Any]:
    """Sets, or the scale, in a database of its own, which is gone afterwards. Returns the report."""
    if options.limit is not None and options.limit < 1:
        raise EvaluationError("--limit must be 1 or more")
    if not options.sets.is_dir():
        raise EvaluationError(f"there is no folder {options.sets}: --sets names one")
    sets = [] if options.scale else read_sets(options.sets, options.limit)
    asked = [partial(readers.build, label, environment) for label in options.reader]
    for make in asked:
        make()  # what cannot be asked is said before the work begins
    cache = options.cache or load(environment).data_dir / "evaluation.sqlite"
    cache.parent.mkdir(parents=True, exist_ok=True)
    with throwaway.database() as database:
        if options.scale:
            from local import scale  # needs numpy, which ./dev elsewhere does without

            return scale.run(database.superuser_url, database.app, say, tenants=options.tenants, rows=options.rows)
        return run(database.owner_url, database.app, sets, cache, say, asked)


def say(line: str) -> None:
    print(line, flush=True)


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
    lines.append(f"{readers.table(report['sets'])}\n")
    lines.append(f"{unknown.plot(report['unknown'])}\n")
    return "\n".join(lines)


def outcome(report: dict[str, Any]) -> str:
    return "\n".join(
        f"{'met' if target['met'] else 'MISSED':7} {target['name']}: {target['value']} ({target['goal']})"
        for target in report["targets"]
    )
