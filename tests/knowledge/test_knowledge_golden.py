"""Golden questions, without an installation."""

import json
from pathlib import Path

import pytest

from local import golden

PASSAGES = [
    {"source": "b.md", "text": "Open from\nnine to five."},
    {"source": "a.md", "text": "Closed on Sundays."},
    {"source": "a.md", "text": "OPEN from nine to FIVE."},
]


def test_a_passage_answers_by_its_source_and_its_words(tmp_path: Path):
    file = tmp_path / "questions.jsonl"
    rows = [
        {"question": "when", "source": "a.md", "text": "nine to five"},
        {"question": "sundays", "source": ["c.md", "a.md"]},
        {"question": "price", "source": "a.md", "text": "pounds"},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    report = golden.run(golden.read(file), lambda question: {"passages": PASSAGES, "ms": {"all": 5.0}})
    assert [one["place"] for one in report["questions"]] == [3, 2, None]
    assert report["recall@5"] == 0.6667 and report["ndcg@10"] == 0.377
    assert [target["met"] for target in report["targets"]] == [False]
    assert "  -  price" in golden.table(report)


@pytest.mark.parametrize("text", ["", "{", '{"question": "x"}', '{"question": "x", "source": 5}', "[]"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str):
    file = tmp_path / "questions.jsonl"
    file.write_text(text)
    with pytest.raises(golden.QuestionsError, match=r"questions\.jsonl"):
        golden.read(file)
