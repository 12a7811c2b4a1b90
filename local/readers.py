"""What re-rankers bring and cost: `./dev eval --reader WHAT`, each asked the questions of the sets.

WHAT is api:MODEL, with RERANK_BASE_URL and RERANK_API_KEY in the environment; openai:MODEL, with OPENAI_API_KEY and
perhaps OPENAI_BASE_URL; or gemini:MODEL, with GEMINI_API_KEY and perhaps GOOGLE_GEMINI_BASE_URL. None and offline cost
no more than time and are always measured.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from f.agent.chain import within
from f.agent.loop import Allowance, Completion, Message
from f.agent.models import build_model
from f.knowledge.rerankers import ApiReader, ModelReader, Reader
from f.knowledge.retrieval import Found

#: Where the key and the address of each kind are.
VARIABLES = {
    "api": ("RERANK_API_KEY", "RERANK_BASE_URL"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
}


class ReaderError(Exception):
    """What cannot be asked; the message says why."""


@dataclass
class Measured:
    """One reader of one set: the passages that it put first, by question, and what that took."""

    label: str
    reader: Reader
    rankings: dict[str, list[str]] = field(default_factory=dict)
    ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, found: Found) -> None:
        self.ms.append(found.ms.get("reading", 0.0))
        self.failures += [found.unread] if found.unread else []

    def figures(self, ndcg: float, recall: float) -> dict[str, Any]:
        questions = max(1, len(self.ms))
        return figures(ndcg, recall, self.ms) | {
            "failed": len(self.failures),
            "failure": self.failures[0] if self.failures else None,
            "tokens": round((self.prompt_tokens + self.completion_tokens) / questions),
        }


def figures(ndcg: float, recall: float, ms: Sequence[float]) -> dict[str, Any]:
    p95 = statistics.quantiles(ms, n=20)[-1] if len(ms) > 1 else ms[0]
    return {"ndcg@10": ndcg, "recall@5": recall, "ms_p50": round(statistics.median(ms), 1), "ms_p95": round(p95, 1)}


def build(label: str, environment: Mapping[str, str]) -> Measured:
    """Raises ReaderError when it is not known or its variables are not set."""
    kind, _, name = label.partition(":")
    if kind not in VARIABLES or not name:
        raise ReaderError(f"--reader {label}: it is api:MODEL, openai:MODEL or gemini:MODEL")
    key, address = VARIABLES[kind]
    resource = {"api_key": environment.get(key), "base_url": environment.get(address)}
    needed = VARIABLES[kind] if kind == "api" else (key,)
    if missing := [variable for variable in needed if not environment.get(variable)]:
        raise ReaderError(f"--reader {label} needs {' and '.join(missing)} in the environment")
    if kind == "api":
        return Measured(label, ApiReader(name, resource, may_be_local=True))
    model = build_model(kind, name, resource, 0.0)

    def complete(messages: Sequence[Message], allowance: Allowance) -> Completion:
        answer = within(allowance.seconds, lambda: model.complete(messages, (), allowance))
        measured.prompt_tokens += answer.prompt_tokens
        measured.completion_tokens += answer.completion_tokens
        return answer

    measured = Measured(label, ModelReader(name, complete))
    return measured


def table(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """The mean of the sets."""
    labels = list(next(iter(sets.values()))["rerankers"])
    lines = [f"{'re-ranker':32}{'nDCG@10':>9}{'recall@5':>10}{'p50 / p95 ms':>18}{'tokens':>8}{'failed':>8}"]
    for label in labels:
        rows = [result["rerankers"][label] for result in sets.values()]
        mean = {
            name: statistics.fmean(row[name] for row in rows) for name in ("ndcg@10", "recall@5", "ms_p50", "ms_p95")
        }
        times = f"{mean['ms_p50']:.1f} / {mean['ms_p95']:.1f}"
        tokens = round(statistics.fmean(row.get("tokens", 0) for row in rows))
        failed = sum(row.get("failed", 0) for row in rows)
        lines.append(f"{label:32}{mean['ndcg@10']:9.4f}{mean['recall@5']:10.4f}{times:>18}{tokens:8}{failed:8}")
        lines += [
            f"  {name}: {why}" for name, result in sets.items() if (why := result["rerankers"][label].get("failure"))
        ]
    if not any(":" in label for label in labels):
        lines.append("an API and a chat model were not asked: --reader")
    return "\n".join(lines)
