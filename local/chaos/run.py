"""`./dev chaos`: run the scenarios, remember what is done, and report how the promises fared."""

import argparse
import json
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from local.chaos import (
    database_scenarios,
    gateway_scenarios,
    load_scenarios,
    sending_scenarios,
    step_scenarios,
)
from local.chaos.findings import PROMISED_SECONDS, Findings
from local.chaos.installation import Installation
from local.chaos.scenario import SCENARIOS, Rounds, Run, Scenario, Size
from local.chaos.world import World
from local.settings import RealWindmill

#: Their import has filled SCENARIOS.
MODULES = (gateway_scenarios, step_scenarios, sending_scenarios, database_scenarios, load_scenarios)

#: Scenarios that break neither the engine nor the processes of its steps, and so can run on a real Windmill.
ON_WINDMILL = {
    "bursts_of_five",
    "database_down",
    "disk_full",
    "duplicates",
    "gateway_and_engine_disagree",
    "gateway_killed",
    "gateway_stopped_under_load",
    "model_fails",
    "number_refused",
    "real_deadlocks",
    "whatsapp_fails",
}


def main(options: argparse.Namespace, folder: Path, real: RealWindmill | None = None) -> int:
    """Exit status: 0 every promise was kept, 1 one was missed, 2 there is no such scenario (here).

    On a `real` Windmill those scenarios are left out that break the engine or the processes of its steps.
    """
    if unknown := set(options.only or ()) - SCENARIOS.keys():
        print(f"chaos: there is no scenario {', '.join(sorted(unknown))}: see --list")
        return 2
    wanted = [s for s in SCENARIOS.values() if not options.only or s.name in options.only]
    if options.list:
        print("\n".join(f"{item.name:28}{item.promise}" for item in wanted))
        return 0
    if real:
        left_out = [item.name for item in wanted if item.name not in ON_WINDMILL]
        wanted = [item for item in wanted if item.name in ON_WINDMILL]
        if left_out:
            print(f"chaos: not on a real Windmill, since they break the local engine: {', '.join(left_out)}")
        if not wanted:
            return 2
        folder /= "windmill"
    size = Size(options.conversations, options.hours)
    results = Results(folder / f"results-{size.conversations}-{size.hours:g}.jsonl")
    if options.fresh:
        results.forget({item.name for item in wanted})
    run_all([item for item in wanted if item.name not in results.done], size, results, real)
    known = {name: result for name, result in results.done.items() if name in {item.name for item in wanted}}
    report: dict[str, Any] = {"targets": targets(known), "scenarios": known}
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(target["met"] for target in report["targets"]) else 1


class Results:
    """What scenarios have found, a line each, in a file that outlives us."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.done: dict[str, dict[str, Any]] = {}
        #: Scenarios that were interrupted after some of their rounds.
        self.begun: dict[str, dict[str, Any]] = {}
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # we were killed while we wrote it
            (self.begun if "rounds" in entry else self.done)[entry["name"]] = entry

    def add(self, name: str, found: Findings, seconds: float) -> None:
        seconds += self.begun.get(name, {}).get("seconds", 0)
        self.done[name] = {"name": name, "seconds": round(seconds, 1), **found.as_dict()}
        self._write(self.done[name])

    def forget(self, names: set[str]) -> None:
        """As if these scenarios had never run."""
        for known in (self.done, self.begun):
            for name in names & known.keys():
                del known[name]
        entries = [*self.begun.values(), *self.done.values()]
        self._path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    def rounds(self, name: str) -> Rounds:
        """How far the scenario came the last time; what is kept there is written down."""
        began, before = time.monotonic(), self.begun.get(name, {})
        earlier = before.get("seconds", 0)

        def keep(rounds: Rounds) -> None:
            seconds = round(earlier + time.monotonic() - began, 1)
            self._write({"name": name, "rounds": rounds.done, "seconds": seconds, **rounds.found.as_dict()})

        names = {item.name for item in fields(Findings)}
        found = Findings(**{key: value for key, value in before.items() if key in names})
        return Rounds(before.get("rounds", 0), found, keep)

    def _write(self, entry: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def run_all(wanted: Iterable[Scenario], size: Size, results: Results, real: RealWindmill | None) -> None:
    """Run the scenarios, those that can share an installation in one."""
    groups: dict[tuple[bool, str], list[Scenario]] = {}
    for item in wanted:
        groups.setdefault((item.fresh, item.name if item.alone else ""), []).append(item)
    for (fresh, _), group in groups.items():
        waiting = list(group)
        while waiting:
            with own_world(fresh=fresh, real=real) as world:
                while waiting:
                    item = waiting.pop(0)
                    began = time.monotonic()
                    say(item.name, item.promise)
                    found = one(item, world, size, results.rounds(item.name))
                    results.add(item.name, found, time.monotonic() - began)
                    for line in found.broken[:20]:
                        say(item.name, f"BROKEN {line}")
                    if any(line.startswith("crashed") for line in found.broken):
                        break  # nobody knows what it has left behind: go on with another installation


def one(item: Scenario, world: World, size: Size, rounds: Rounds) -> Findings:
    try:
        return item.run(Run(world, size, lambda line: say(item.name, line), rounds))
    except Exception as error:  # noqa: BLE001  # a scenario that crashes must not hide what the others find
        traceback.print_exc()
        return Findings(lost=1, broken=[f"crashed: {type(error).__name__}: {error}"])


@contextmanager
def own_world(*, fresh: bool, real: RealWindmill | None = None) -> Any:
    """An installation that is gone afterwards, but for the logs of one that broke something."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-chaos-"))
    # The database's user has to get in; what is private has its own mode.
    folder.chmod(0o711)
    mode = "a fresh process for each job" if fresh else "processes forked for each job"
    mode = f"around the Windmill at {real.url}" if real else mode
    say("chaos", f"starting an installation in {folder}, {mode}")
    try:
        with Installation(folder, fresh=fresh, real=real, say=lambda line: None) as installation:
            world = World(installation)
            try:
                yield world
            finally:
                world.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def targets(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The promises: `value` is what was found, `of` how much was looked at, `full` how much the goal speaks of."""

    def total(what: str, *names: str) -> int:
        return sum(int(result[what]) for name, result in results.items() if not names or name in names)

    def target(name: str, what: str, of: int, full: int, *names: str) -> dict[str, Any]:
        value = total(what, *names)
        return {"name": name, "goal": 0, "value": value, "met": value == 0, "of": of, "full": full}

    broken = total("runs_broken") + total(
        "conversations", "duplicates", "gateway_killed", "gateway_and_engine_disagree"
    )
    found = [
        target("accepted messages lost", "lost", total("accepted"), 10_000),
        target("double replies in duplicate and kill runs", "doubled", broken, 5_000),
        target("overlapping turns", "overlapping", total("bursts"), 1_000),
        target("bursts without exactly one reply that has seen all", "unseen", total("bursts"), 1_000),
        target("conversations answered out of order", "disordered", total("conversations"), 10_000),
        target("turns whose usage is not written once", "usage_wrong", total("accepted"), 10_000),
        target("effects of tools that did not happen once", "tool_wrong", total("tools"), 1_000),
        target("messages that ended wrongly or without an alert", "silent", total("accepted"), 10_000),
    ]
    slowest = max((result["slowest"] for result in results.values()), default=0.0)
    found.append(
        {
            "name": "seconds from the end of trouble to the outcome, at most",
            "goal": PROMISED_SECONDS,
            "value": round(slowest, 1),
            "met": slowest <= PROMISED_SECONDS,
            "of": total("accepted"),
            "full": 10_000,
        }
    )
    if "database_down" in results:
        down = results["database_down"]
        misses = sum(down[what] for what in ("lost", "disordered", "doubled", "silent"))
        name = "messages not answered in order after an outage of the database"
        found.append(
            {"name": name, "goal": 0, "value": misses, "met": misses == 0, "of": down["accepted"], "full": 1_000}
        )
    # Of what nobody has looked at, nothing is said.
    return [item for item in found if item["of"] or not item["met"]]


def show(report: dict[str, Any]) -> None:
    print()
    for name, result in report["scenarios"].items():
        state = f"skipped: {result['skipped']}" if result["skipped"] else f"{len(result['broken'])} broken"
        print(
            f"{name:28}{result['seconds']:7.0f} s  {result['conversations']:6} conversations"
            f"{result['runs_broken']:7} faults in steps ({result['not_met']} not met){result['uncertain']:6} uncertain"
            f"  slowest {result['slowest']:5.0f} s  {state}"
        )
    print()
    for target in report["targets"]:
        mark = "kept  " if target["met"] else "MISSED"
        print(f"{mark}  {target['name']}: {target['value']} (goal {target['goal']}) of {target['of']}")


def say(name: str, line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {name}: {line}", flush=True)
