"""`./dev knowledge` on the running system."""

import json
import re
import shlex
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from routes import Call
from systems import ROOT, RunningStack

from local.cli import build_parser

GOLDEN = ROOT / "tests" / "knowledge" / "golden"
BOT = ("--chatbot", "harbour-dental")


def knowledge(stack: RunningStack, *words: str) -> Any:
    return json.loads(stack.dev("knowledge", *BOT, "--json", *words).stdout)


def test_a_document_from_its_file_to_its_end(stack: RunningStack, call: Call, tmp_path: Path):
    word = f"q{uuid4().hex[:6]}"
    file = tmp_path / f"{word}.md"
    file.write_text(f"# Implants\n\nA {word} implant costs 1,900 pounds.")
    source = knowledge(stack, "add", str(file), "--language", "en")
    assert (source["state"], source["language"], source["name"]) == ("ready", "en", file.name)
    assert file.name in stack.dev("knowledge", *BOT, "list").stdout
    found = stack.dev("knowledge", *BOT, "search", f"price of a {word} implant", "--limit", "1").stdout
    assert "1,900 pounds" in found and f"{file.name} › Implants" in found
    assert [v["outcome"] for v in knowledge(stack, "refresh", source["id"])["versions"]] == ["unchanged", "ready"]
    assert knowledge(stack, "delete", source["id"])["is_deleted"] is True
    assert call("GET", f"sources/{source['id']}").status_code == 404


def test_a_document_that_fails_is_exit_status_1(stack: RunningStack, tmp_path: Path):
    file = tmp_path / "scan.pdf"
    file.write_bytes(b"%PDF-1.7 " + uuid4().bytes)
    done = stack.dev("knowledge", *BOT, "--json", "add", str(file), check=False)
    source = json.loads(done.stdout)
    assert (done.returncode, source["error"]["code"]) == (1, "invalid")
    knowledge(stack, "delete", source["id"])


def test_a_question_without_an_answer_is_listed_until_it_is_dismissed(stack: RunningStack):
    word = f"q{uuid4().hex[:6]}"
    said = stack.dev("say", f"Is there a {word} swimming pool?", "--to", "harbour-dental").stdout
    assert "I do not know that" in said and "speak to a person" in said and "[?]" not in said
    (gap,) = [gap for gap in knowledge(stack, "gaps")["gaps"] if word in gap["questions"][0]["question"]]
    assert gap["id"] in stack.dev("knowledge", *BOT, "gaps", "--limit", "200").stdout
    assert knowledge(stack, "dismiss-gap", gap["id"])["questions"] == gap["count"]
    assert gap["id"] in [gap["id"] for gap in knowledge(stack, "gaps", "--state", "dismissed")["gaps"]]
    assert stack.dev("knowledge", *BOT, "dismiss-gap", gap["id"], check=False).returncode == 1


def test_every_documented_command_exists():
    text = (ROOT / "docs" / "knowledge.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^\./dev (.+)$", text, re.MULTILINE)
    assert len(commands) >= 8
    for command in commands:
        _, rest = build_parser().parse_known_args(shlex.split(command, comments=True))
        assert rest == [], command


@pytest.mark.slow
@pytest.mark.parametrize("bot", ["harbour-dental", "bicis-ribera"])
def test_the_golden_questions_of_a_demo_tenant(stack: RunningStack, tmp_path: Path, bot: str):
    added = [
        json.loads(stack.dev("knowledge", "--chatbot", bot, "--json", "add", str(file)).stdout)
        for file in sorted((GOLDEN / bot).iterdir())
        if file.suffix != ".jsonl"
    ]
    try:
        report = tmp_path / "report.json"
        questions = str(GOLDEN / bot / "questions.jsonl")
        done = stack.dev("eval", "--questions", questions, "--chatbot", bot, "--json", str(report), check=False)
        measured = json.loads(report.read_text())
        # With its misspelled questions and those in other languages, bicis-ribera misses the goal of 0.9.
        assert measured["recall@5"] >= 0.8 and "share of questions" in done.stdout
        assert done.returncode == (0 if all(target["met"] for target in measured["targets"]) else 1)
    finally:
        for source in added:
            stack.dev("knowledge", "--chatbot", bot, "delete", source["id"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*BOT, "add", "nowhere.pdf"), "No such file"),
        ((*BOT, "add", "https://localhost/"), "422"),
        ((*BOT, "add", "nowhere.pdf", "--every-hours", "24"), "for pages of the web"),
        ((*BOT, "delete", str(uuid4())), "404"),
        (("--chatbot", "corner-shop", "list"), "--api-key"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(stack: RunningStack, words: tuple[str, ...], told: str):
    done = stack.dev("knowledge", *words, check=False)
    assert done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr
