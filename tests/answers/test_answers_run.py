"""Questions asked of the real steps. One test takes seconds: it starts the tool servers and loads the local model."""

import json
import re
import shlex
from pathlib import Path

import pytest
from systems import ROOT, Database

from local import golden, throwaway
from local.answers import AnswersError, run
from local.answers.judging import judge
from local.answers.turns import Product
from local.cli import build_parser, main
from local.golden import Question

GOLDEN = run.GOLDEN


def test_a_tenant_learns_and_is_asked(seeded_database: Database, tmp_path: Path):
    document = tmp_path / "bells.html"
    document.write_text(
        "<html><body><h1>Bells</h1><p>A brass bell costs 17 pounds. It is mounted in 20 minutes.</p></body></html>"
    )
    database = throwaway.Database("", seeded_database.owner_url, seeded_database.app_resource)
    asked = [
        Question("How much is a brass bell?", sources=("bells.html",), facts=(("17 pounds",),)),
        Question("and in how many minutes is it mounted?", "follow_up", ("bells.html",), "", (("20",),),
                 before=("How much is a brass bell?",)),
        Question("How much are check-ups for 60 employees?", "tool", facts=(("2,370",),),
                 tool={"name": "calculate_pricing", "arguments": {"volume": 60}}),
    ]  # fmt: skip
    with (
        (tmp_path / "steps.log").open("w+") as log,
        throwaway.services(database.app_url) as services,
        throwaway.takes_all() as outside,
    ):
        product = Product(database, services, outside, {}, log)
        with product.owner:
            tenant = product.tenant("harbour-dental")
            tenant.use(run.DEMO)
            assert tenant.learn([document]) == {"bells.html": 1}
            for question in asked:
                reply = tenant.ask([*question.before, question.question])
                assert judge(question, reply).reasons == [], reply
            with pytest.raises(AnswersError, match="cannot be read"):
                tenant.learn([tmp_path / "sheet.xlsx"])
            with pytest.raises(AnswersError, match="no chatbot 'corner-shop'"):
                product.tenant("corner-shop")
        log.seek(0)
        assert '"event": "generate_reply"' in log.read()


@pytest.mark.parametrize("slug", ["bicis-ribera", "harbour-dental"])
def test_the_golden_sets(slug: str):
    questions = golden.read(GOLDEN / slug / "questions.jsonl")
    known = {file.name for file in (GOLDEN / slug).iterdir()}
    assert len(questions) >= 40 and {question.kind for question in questions} == set(golden.KINDS)
    assert all(set(question.sources) <= known for question in questions)
    assert len({(question.before, question.question) for question in questions}) == len(questions)
    assert all(question.facts or question.kind == "unanswerable" for question in questions)


def test_what_the_command_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = {"name": "tool: share of right answers", "goal": 0.8, "value": 0.5, "met": False}
    made = {"at": "2026-11-26T02:12:01+00:00", "model": "demo", "seconds": 1.0, "tokens": 0, "tenants": {},
            "kinds": {}, "checks": {}, "targets": [target], "questions": []}  # fmt: skip
    monkeypatch.setattr(run, "run", lambda folders, *_: made)
    files = [tmp_path / "r.json", tmp_path / "r.html"]
    assert main(["eval", "--answers", "--json", str(files[0]), "--html", str(files[1])]) == 1, "a target is missed"
    assert json.loads(files[0].read_text()) == made and "1 of 1 goals missed" in files[1].read_text()
    assert "MISSED  tool: share of right answers: 0.5 (0.8)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tenant", "corner-shop"], "--tenant names a folder"),
        (["--model", "parrot"], "--model parrot is not known"),
        (["--limit", "0"], "--limit must be 1 or more"),
        (["--model", "openai"], "set OPENAI_API_KEY"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_line(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert main(["eval", "--answers", *words]) == 1
    assert told in capsys.readouterr().err


def test_every_documented_command_exists():
    commands = re.findall(r"^\./dev (.+)$", (ROOT / "docs" / "answers.md").read_text(), re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        _, rest = build_parser().parse_known_args(shlex.split(command))
        assert rest == [], command


def test_models_and_their_resources():
    environment = {
        "GOOGLE_API_KEY": "k",
        "GEMINI_MODEL": "gemini-9",
        "OPENAI_API_KEY": "o",
        "OPENAI_BASE_URL": "http://x",
    }
    (gemini,) = run.models_of("gemini", "shop", environment)
    assert gemini == {"provider": "gemini", "name": "gemini-9", "resource_path": "f/agent/gemini"}
    chain = [gemini, *run.models_of("openai", "shop", environment), run.DEMO]
    assert run.resources_of(chain, environment) == {
        "f/agent/gemini": {"api_key": "k", "base_url": ""},
        "f/agent/openai": {"api_key": "o", "base_url": "http://x"},
    }
    with pytest.raises(AnswersError, match="the resource f/agent/mine"):
        run.resources_of([gemini | {"resource_path": "f/agent/mine"}], environment)
