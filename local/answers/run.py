"""`./dev eval --answers`: the golden questions of the demo tenants, asked and judged."""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from f.agent.models import model_list
from local import database, golden
from local.answers import AnswersError, page, report
from local.answers.judging import judge
from local.answers.report import Asked
from local.credentials import Credentials
from local.install import ROOT
from local.running import find_running
from local.settings import load

if TYPE_CHECKING:
    from local.answers.turns import Product

#: A folder for each tenant, by the slug of its chatbot: questions.jsonl, and the documents that it is to know.
GOLDEN = ROOT / "tests" / "knowledge" / "golden"
QUESTIONS = "questions.jsonl"

#: The models that can be named: resource, variables of the key, of another server and of the model's name, the name
#: otherwise. As `resources/catalogue.yaml` has them.
PROVIDERS = {
    "openai": ("f/agent/openai", ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "OPENAI_MODEL", "gpt-4.1-mini"),
    "gemini": (
        "f/agent/gemini", ("GEMINI_API_KEY", "GOOGLE_API_KEY"), "GOOGLE_GEMINI_BASE_URL", "GEMINI_MODEL",
        "gemini-2.5-flash",
    ),
}  # fmt: skip
DEMO = {"provider": "demo", "name": "demo", "resource_path": None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--answers",
        action="store_true",
        help="instead: whole answers to the golden questions of the demo tenants, in an installation of their own",
    )
    parser.add_argument(
        "--tenant", action="append", metavar="SLUG", help="of --answers: this one only; may be given again"
    )
    parser.add_argument(
        "--model",
        default="demo",
        metavar="MODEL",
        help="of --answers: demo, openai or gemini (with the key of .env; costs money), or chatbot: the models that"
        " this installation's chatbot of that slug has (default: %(default)s)",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="of --answers: the report as a page to read")


def main(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Exit status 1 when a target is missed."""
    if options.limit is not None and options.limit < 1:
        raise AnswersError("--limit must be 1 or more")
    folders = [GOLDEN / slug for slug in options.tenant or sorted(path.name for path in GOLDEN.iterdir())]
    made = run(folders, options.model, environment, options.limit)
    if options.json:
        options.json.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n")
    if options.html:
        options.html.write_text(page.html(made))
    print(f"\n{report.table(made)}")
    for target in made["targets"]:
        print(f"{'met' if target['met'] else 'MISSED':7} {target['name']}: {target['value']} ({target['goal']})")
    return 0 if all(target["met"] for target in made["targets"]) else 1


def run(folders: list[Path], model: str, environment: Mapping[str, str], limit: int | None = None) -> dict[str, Any]:
    """Ask and judge, with a line of progress for each question. Raises AnswersError, QuestionsError."""
    for folder in folders:
        if not (folder / QUESTIONS).is_file():
            raise AnswersError(f"there is no {folder / QUESTIONS}: --tenant names a folder of {GOLDEN}")
    sets = {folder: _spread(golden.read(folder / QUESTIONS), limit) for folder in folders}
    models = {folder.name: models_of(model, folder.name, environment) for folder in folders}
    resources = resources_of([one for chain in models.values() for one in chain], environment)
    from local.answers.turns import product  # the product's steps, which ./dev elsewhere does without

    at, started = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    asked: list[Asked] = []
    names: dict[str, str] = {}
    print("starting a database and the tool servers", flush=True)
    with tempfile.TemporaryFile("w+") as log, product(resources, log) as installation:
        for folder, questions in sets.items():
            names[folder.name] = _ask_all(installation, folder, questions, models[folder.name], asked)
    return report.build(asked, names, model, time.perf_counter() - started, at)


def _ask_all(
    installation: "Product",
    folder: Path,
    questions: list[golden.Question],
    models: list[dict[str, Any]],
    asked: list[Asked],
) -> str:
    tenant = installation.tenant(folder.name)
    tenant.use({**models[0], "fallback_models": models[1:]})
    known = tenant.learn(sorted(file for file in folder.iterdir() if file.name != QUESTIONS))
    print(f"{folder.name}: {len(known)} documents, {sum(known.values())} passages", flush=True)
    for number, question in enumerate(questions, start=1):
        reply = tenant.ask([*question.before, question.question])
        verdict = judge(question, reply)
        asked.append(Asked(folder.name, question, reply, verdict))
        end = "right" if verdict.is_right else f"WRONG: {'; '.join(verdict.reasons)}"
        said = " › ".join([*question.before, question.question])
        print(f"{number:>3}/{len(questions)} {question.kind:14} {said}  {end}", flush=True)
    return tenant.name


def _spread(questions: list[golden.Question], limit: int | None) -> list[golden.Question]:
    """At most `limit`, from all kinds, the same ones each time."""
    if not limit or len(questions) <= limit:
        return questions
    return [questions[n * len(questions) // limit] for n in range(limit)]


def models_of(model: str, slug: str, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """The chain of models that `model` means for a chatbot. Raises AnswersError."""
    if model == "demo":
        return [DEMO]
    if model in PROVIDERS:
        path, _, _, variable, name = PROVIDERS[model]
        return [{"provider": model, "name": environment.get(variable) or name, "resource_path": path}]
    if model == "chatbot":
        return _models_here(slug, environment)
    raise AnswersError(f"--model {model} is not known: demo, {', '.join(PROVIDERS)} or chatbot")


def _models_here(slug: str, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """What this installation's chatbot has."""
    settings = load(environment)
    running = find_running(settings.data_dir)
    place, credentials = running.settings if running else settings, Credentials.load(settings.data_dir)
    with (
        database.reachable(place, credentials) as databases,
        psycopg.connect(databases.owner_url, row_factory=dict_row) as connection,
    ):
        connection.execute("set local role owner")
        row = connection.execute(
            "select model_provider, model_name, model_resource_path, fallback_models from chatbots where slug = %s",
            [slug],
        ).fetchone()
    if row is None:
        raise AnswersError(f"this installation has no chatbot {slug!r}: --model names another model")
    return model_list(row)


def resources_of(models: list[dict[str, Any]], environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Resources by path, with the keys that are in the environment. Raises AnswersError where one is missing."""
    resources = {}
    for one in models:
        if one["provider"] == "demo":
            continue
        path, keys, base_url, _, _ = PROVIDERS[one["provider"]]
        key = next((environment[name] for name in keys if environment.get(name)), None)
        if one["resource_path"] != path or not key:
            raise AnswersError(
                f"there is no key for {one['provider']} {one['name']}: set {' or '.join(keys)}"
                if one["resource_path"] == path
                else f"the resource {one['resource_path']} is not of this machine's environment: --model names another"
            )
        resources[path] = {"api_key": key, "base_url": environment.get(base_url) or ""}
    return resources
