"""`./dev chaos`: what docs say of it, what it remembers, and when it says that a promise was missed."""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from local.chaos import run, step_scenarios
from local.chaos.findings import Findings
from local.chaos.scenario import SCENARIOS, Run, Size
from local.cli import build_parser
from local.settings import RealWindmill

DOCS = Path(__file__).parents[2] / "docs" / "reliability.md"


def options(*arguments: str) -> argparse.Namespace:
    return build_parser().parse_args(["chaos", *arguments])


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Findings]:
    """What each scenario finds: nothing broken, unless a test says otherwise. None is run."""
    results: dict[str, Findings] = {}

    def pretend(wanted: list[Any], size: Size, kept: run.Results, real: RealWindmill | None) -> None:
        for item in wanted:
            kept.add(item.name, results.setdefault(item.name, Findings(conversations=1, accepted=1)), 1.0)

    monkeypatch.setattr(run, "run_all", pretend)
    return results


def test_docs_name_scenarios_and_commands_that_exist() -> None:
    text = DOCS.read_text()
    commands = re.findall(r"^\./dev chaos(.*?)(?:#|$)", text, re.MULTILINE)
    assert commands
    for command in commands:
        named = options(*shlex.split(command)).only or []
        assert set(named) <= SCENARIOS.keys()
    assert set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)) - SCENARIOS.keys() <= {
        "merge_seconds",
        "reply_not_delivered",
    }
    missing = [name for name in SCENARIOS if f"`{name}`" not in text]
    assert missing == []


def test_each_scenario_says_what_it_tries() -> None:
    assert [item.name for item in SCENARIOS.values() if len(item.promise) < 20] == []


def test_kept_promises_are_reported_and_end_with_0(found: dict[str, Findings], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert run.main(options("--json", str(report)), tmp_path) == 0
    targets = json.loads(report.read_text())["targets"]
    assert all({"name", "goal", "value", "met"} <= target.keys() and target["met"] for target in targets)


@pytest.mark.parametrize("what", ["lost", "doubled", "overlapping", "disordered", "unseen", "usage_wrong", "silent"])
def test_a_missed_promise_ends_with_1(found: dict[str, Findings], tmp_path: Path, what: str) -> None:
    found["load"] = Findings(**{what: 1})
    assert run.main(options(), tmp_path) == 1


def test_an_outcome_that_came_too_late_is_a_miss(found: dict[str, Findings], tmp_path: Path) -> None:
    found["load"] = Findings(slowest=181)
    assert run.main(options(), tmp_path) == 1


def test_what_is_done_is_not_done_again_unless_asked(found: dict[str, Findings], tmp_path: Path) -> None:
    found["load"] = Findings(lost=1)
    assert run.main(options("--only", "load"), tmp_path) == 1
    (results,) = tmp_path.glob("*.jsonl")
    with results.open("a") as file:
        file.write('{"name": "dupl')  # killed while it wrote
    found["load"] = Findings()
    assert run.main(options("--only", "load"), tmp_path) == 1
    assert run.main(options("--only", "load", "--fresh"), tmp_path) == 0


def test_only_what_is_named_is_done_anew(found: dict[str, Findings], tmp_path: Path) -> None:
    found["load"] = Findings(lost=1)
    assert run.main(options("--only", "load", "--only", "duplicates"), tmp_path) == 1
    assert run.main(options("--only", "duplicates", "--fresh"), tmp_path) == 0
    found["load"] = Findings()
    assert run.main(options("--only", "load"), tmp_path) == 1


def test_rounds_of_an_interrupted_run_count(tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    class Pretended(Run):
        ends_at = 0

        def wave(self, cases: list[Any], **_: Any) -> Findings:
            if cases == [self.ends_at]:
                raise Interrupted
            return Findings(accepted=1, slowest=float(cases[0]))

    def waves(kept: run.Results, until: int) -> Findings:
        one = Pretended(cast(Any, None), Size(), lambda line: None, kept.rounds("load"))
        one.ends_at = until
        return one.in_rounds(4, lambda nth: cast(Any, [nth]))

    file = tmp_path / "results.jsonl"
    with pytest.raises(Interrupted):
        waves(run.Results(file), until=2)
    found = waves(run.Results(file), until=1)
    assert (found.accepted, found.slowest) == (4, 3.0)
    run.Results(file).add("load", found, 1.0)
    assert run.Results(file).done["load"]["accepted"] == 4


def test_a_kill_that_did_not_come_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [("plain", "send_reply", f"after commit {n}") for n in (1, 2)]
    waves: list[list[Any]] = []

    class Pretended(Run):
        def wave(self, cases: list[Any], **_: Any) -> Findings:
            waves.append(cases)
            unmet = ["kill send_reply after commit 2"] if len(waves) in (1, 2) else []
            return Findings(conversations=len(cases), not_met=len(unmet), unmet=unmet)

    monkeypatch.setattr(step_scenarios, "points", lambda run: places)
    monkeypatch.setattr(step_scenarios, "case_at", lambda run, place, act: place)
    found = SCENARIOS["killed_at_every_point"].run(Pretended(cast(Any, None), Size(1000), lambda line: None))
    assert waves == [places, places, [places[1]] * 2]
    assert (found.conversations, found.not_met, found.unmet) == (6, 0, [])


def test_ended_by_a_signal_it_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "local.cli", "chaos", "--only", "real_deadlocks"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        folder = next(found[1] for line in process.stdout if (found := re.search(r"installation in (\S+),", line)))
        # Somewhere in the middle: its servers are starting, or it has begun.
        next(line for line in process.stdout if "real_deadlocks" in line)
        process.terminate()
        assert process.wait(60) == 130
    assert not Path(folder).exists()
    assert [line for line in command_lines() if folder in line] == []


def command_lines() -> Iterator[str]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            yield file.read_text().replace("\0", " ")


def test_on_a_real_windmill_what_needs_traps_is_left_out(
    found: dict[str, Findings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = RealWindmill("http://127.0.0.1:9", "word", "shop")
    assert SCENARIOS.keys() >= run.ON_WINDMILL
    assert run.main(options(), tmp_path, real) == 0
    assert found.keys() == run.ON_WINDMILL
    assert re.search(r"not on a real Windmill.*killed_at_every_point", capsys.readouterr().out)
    assert run.main(options("--only", "sweep_killed"), tmp_path, real) == 2


def test_an_unknown_scenario(tmp_path: Path) -> None:
    assert run.main(options("--only", "nothing"), tmp_path) == 2
