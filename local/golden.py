"""A tenant's golden questions, one a line of a file: what customers ask, and what a right answer has.

`./dev eval --questions FILE` asks a running installation for the passages, `./dev eval --answers` the whole product for
replies (local/answers). A line is {"question", "kind", "source"?, "text"?, "facts"?, "before"?, "tool"?}:

- `kind`: one of KINDS (default: answerable);
- `source`: which of the chatbot's sources answers it, its name or a list of names: any of them, and for the kind
  two_sources each of them;
- `text`: words of the passage that answers;
- `facts`: what the reply has to contain, each one a text or a list of texts of which one is enough;
- `before`: what the customer has asked before in the same conversation;
- `tool`: {"name", "arguments"?}, the tool that has to be called, and those of its arguments that matter.
"""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BEST, FIRST = 10, 5

#: The share of questions whose passage has to be among the first five, and its name.
GOAL = 0.9

KINDS = ("answerable", "unanswerable", "two_sources", "other_language", "typo", "follow_up", "tool")

#: What a line of a kind must have besides its question.
NEEDED = {"unanswerable": (), "tool": ("tool",), "follow_up": ("source", "before")}

#: The passages that a question finds, and the milliseconds that it took.
Ask = Callable[[str], Mapping[str, Any]]


class QuestionsError(Exception):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True)
class Question:
    """A line of a file; `facts` are alternatives, one of each of which is needed."""

    question: str
    kind: str = "answerable"
    sources: tuple[str, ...] = ()
    text: str = ""
    facts: tuple[tuple[str, ...], ...] = ()
    before: tuple[str, ...] = ()
    tool: Mapping[str, Any] = field(default_factory=dict)


def read(file: Path) -> list[Question]:
    """Raises QuestionsError."""
    questions = []
    try:
        lines = [line for line in file.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise QuestionsError(f"{file}: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        try:
            questions.append(_question(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            form = '{"question", "kind"?, "source"?, "text"?, "facts"?, "before"?, "tool"?}'
            raise QuestionsError(f"{file}: question {number} is not {form}: {error}") from None
    if not questions:
        raise QuestionsError(f"{file} has no questions")
    return questions


def _question(line: dict[str, Any]) -> Question:
    if not isinstance(line, dict):
        raise TypeError("it is no object")
    kind = line.get("kind", KINDS[0])
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}")
    if lacking := [name for name in NEEDED.get(kind, ("source",)) if not line.get(name)]:
        raise ValueError(f"{kind} needs {', '.join(lacking)}")
    if unknown := set(line) - {"question", "kind", "source", "text", "facts", "before", "tool"}:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    return Question(
        question=str(line["question"]),
        kind=kind,
        sources=_texts(line.get("source", [])),
        text=str(line.get("text", "")),
        facts=tuple(_texts(fact) for fact in line.get("facts", [])),
        before=_texts(line.get("before", [])),
        tool={"arguments": {}, **line["tool"], "name": line["tool"]["name"]} if line.get("tool") else {},
    )


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)


def run(questions: Sequence[Question], ask: Ask) -> dict[str, Any]:
    """The report on what is found, in the shape of `evaluation.run`: of the questions that a source answers and that
    can be asked by themselves. Raises QuestionsError when there are none."""
    asked: list[dict[str, Any]] = []
    times = []
    for question in questions:
        if not question.sources or question.before:
            continue
        answer = ask(question.question)
        times.append(answer["ms"]["all"])
        asked.append({"question": question.question, "place": place_of(question, answer["passages"])})
    if not asked:
        raise QuestionsError("no question names the source that answers it")
    places = [one["place"] for one in asked]
    recall = round(statistics.fmean(place is not None and place <= FIRST for place in places), 4)
    ndcg = round(statistics.fmean(1 / math.log2(place + 1) if place else 0.0 for place in places), 4)
    name = f"share of questions whose passage is among the first {FIRST}"
    return {
        "questions": asked,
        "ndcg@10": ndcg,
        "recall@5": recall,
        "ms_p50": round(statistics.median(times), 1),
        "targets": [{"name": name, "goal": GOAL, "value": recall, "met": recall >= GOAL}],
    }


def place_of(question: Question, passages: Sequence[Mapping[str, Any]]) -> int | None:
    """The place of the first passage that answers, from 1; None if it is not among the best."""
    words = _plain(question.text)
    for place, passage in enumerate(passages[:BEST], start=1):
        if passage["source"] in question.sources and words in _plain(passage["text"]):
            return place
    return None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def table(report: Mapping[str, Any]) -> str:
    lines = [f"{one['place'] or '-':>3}  {one['question']}" for one in report["questions"]]
    figures = f"nDCG@10 {report['ndcg@10']}, recall@5 {report['recall@5']}, median {report['ms_p50']} ms"
    return "\n".join(["place of the passage that answers", *lines, "", figures])
