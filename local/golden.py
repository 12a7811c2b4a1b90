"""A tenant's golden questions: `./dev eval --questions FILE`, asked of a running installation.

A line is {"question", "source", "text"?}: what customers ask, which of the chatbot's sources answers it (its name, or a
list of names), and words of the passage that does.
"""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

BEST, FIRST = 10, 5

#: The share of questions whose passage has to be among the first five, and its name.
GOAL = 0.9

#: The passages that a question finds, and the milliseconds that it took.
Ask = Callable[[str], Mapping[str, Any]]


class QuestionsError(Exception):
    """The file cannot be used; the message says why."""


def read(file: Path) -> list[dict[str, Any]]:
    questions = []
    try:
        lines = [line for line in file.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise QuestionsError(f"{file}: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        try:
            question = json.loads(line)
            questions.append({"text": "", **question, "sources": _list(question["source"])})
        except (ValueError, KeyError, TypeError):
            raise QuestionsError(f'{file}: question {number} is not {{"question", "source", "text"?}}') from None
    if not questions:
        raise QuestionsError(f"{file} has no questions")
    return questions


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value]


def run(questions: Sequence[Mapping[str, Any]], ask: Ask) -> dict[str, Any]:
    """The report, in the shape of `evaluation.run`."""
    asked = []
    times = []
    for question in questions:
        answer = ask(question["question"])
        times.append(answer["ms"]["all"])
        asked.append({"question": question["question"], "place": place_of(question, answer["passages"])})
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


def place_of(question: Mapping[str, Any], passages: Sequence[Mapping[str, Any]]) -> int | None:
    """The place of the first passage that answers, from 1; None if it is not among the best."""
    words = _plain(question["text"])
    for place, passage in enumerate(passages[:BEST], start=1):
        if passage["source"] in question["sources"] and words in _plain(passage["text"]):
            return place
    return None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def table(report: Mapping[str, Any]) -> str:
    lines = [f"{one['place'] or '-':>3}  {one['question']}" for one in report["questions"]]
    figures = f"nDCG@10 {report['ndcg@10']}, recall@5 {report['recall@5']}, median {report['ms_p50']} ms"
    return "\n".join(["place of the passage that answers", *lines, "", figures])
