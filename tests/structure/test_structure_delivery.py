"""The rules for .github/workflows and for the commands that docs/windmill.md and the workflow give to `./dev push`."""

import re
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.cli import build_parser

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ORDER = ["check", "test", "staging", "smoke-test", "production"]
#: What a job may name of the repository's settings. A secret is only ever named.
CONTEXTS = re.compile(r"(vars|secrets)\.[A-Z_]+|github\.(ref|event_name)( [!=]= '[a-z_/]+')?")

workflows = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def jobs_of(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text())["jobs"])


def commands_of(path: Path) -> list[str]:
    """Every line that a job runs."""
    steps = [step for job in jobs_of(path).values() for step in job["steps"]]
    return [line for step in steps for line in step.get("run", "").splitlines()]


def pushes() -> list[str]:
    """Every `./dev push` of workflow and docs."""
    documented = re.findall(r"^\s*(\./dev .*)$", (ROOT / "docs" / "windmill.md").read_text(), re.MULTILINE)
    return [line for line in documented + [c for p in WORKFLOWS for c in commands_of(p)] if "./dev push" in line]


def test_production_waits_for_all_that_is_before_it() -> None:
    jobs = jobs_of(ROOT / ".github" / "workflows" / "deploy.yml")
    assert list(jobs) == ORDER
    assert [jobs[name].get("needs") for name in ORDER] == [None, *ORDER[:-1]]
    environments = {name: job["environment"] for name, job in jobs.items() if "environment" in job}
    assert environments == {"staging": "staging", "smoke-test": "staging", "production": "production"}
    assert "pull_request" in jobs["staging"]["if"] and "refs/heads/main" in jobs["staging"]["if"]


@workflows
def test_what_is_used_is_pinned_and_may_only_read(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
    for name, job in jobs_of(path).items():
        assert "permissions" not in job and "timeout-minutes" in job, name
        assert not job["runs-on"].endswith("latest")
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
                assert step["with"]["persist-credentials"] is False


@workflows
def test_no_secret_is_in_it_and_none_gets_into_a_command(path: Path) -> None:
    text = path.read_text()
    for expression in re.findall(r"\$\{\{(.*?)\}\}", text):
        assert CONTEXTS.fullmatch(expression.strip()), expression
    # An expression in a command would be pasted into it, whatever it holds.
    assert [line for line in commands_of(path) if "${{" in line] == []


@workflows
def test_what_it_runs_exists(path: Path) -> None:
    for line in commands_of(path):
        program = shlex.split(line)[0]
        if program.startswith("./"):
            assert (ROOT / program).stat().st_mode & stat.S_IXUSR, program
        else:
            assert program in ("curl", "git"), line
        if program == "./dev":
            build_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("line", pushes())
def test_push_is_called_as_it_can_be(line: str) -> None:
    options = build_parser().parse_args(shlex.split(line)[1:])
    assert options.base_url and options.workspace and options.token


def test_a_token_never_gets_into_a_log() -> None:
    lines = [line for path in WORKFLOWS for line in commands_of(path) if "./dev push" in line]
    assert lines and all("--no-token" in line for line in lines)
