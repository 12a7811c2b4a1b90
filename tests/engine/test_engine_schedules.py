"""What runs by the clock."""

from collections.abc import Callable
from typing import Any

from engines import Engine, flow, give, wait_until


def schedule(script: str, **more: Any) -> dict[str, Any]:
    keys = {"schedule": "* * * * * *", "timezone": "Europe/Berlin", "script_path": script, "is_flow": False}
    return keys | {"enabled": True, "args": {}} | more


FILES = {
    "f/s/tick.py": "def main(word): return word",
    "f/s/slow.py": "import time\ndef main(): time.sleep(1.5)",
    "f/s/tick.schedule.yaml": schedule("f/s/tick", args={"word": "tock"}),
    "f/s/slow.schedule.yaml": schedule("f/s/slow"),
    "f/s/off.schedule.yaml": schedule("f/s/tick", enabled=False),
    "f/s/yearly.schedule.yaml": schedule("f/s/tick", schedule="0 0 0 1 1 *"),
    "f/s/flow.flow": flow(give("a", 1)),
    "f/s/flow.schedule.yaml": schedule("f/s/flow", is_flow=True),
}


def runs(engine: Engine, name: str) -> list[dict[str, Any]]:
    return list(engine.api("GET", "jobs/list", params={"schedule_path": f"f/s/{name}", "per_page": 100}).json())


def test_schedules_run_what_they_name_when_it_is_time_and_not_twice_at_once(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(FILES)
    wait_until(lambda: len([run for run in runs(engine, "tick") if run["type"] == "CompletedJob"]) >= 2)
    assert engine.job(runs(engine, "tick")[-1]["id"])["result"] == "tock"
    assert [run for run in runs(engine, "flow") if not run["is_flow_step"]]
    assert len(runs(engine, "slow")) <= 2
    assert not runs(engine, "off") and not runs(engine, "yearly")
    listed = {row["path"]: row for row in engine.api("GET", "schedules/list").json()}
    assert listed.keys() == {f"f/s/{name}" for name in ("tick", "slow", "off", "yearly", "flow")}
    assert [listed[f"f/s/{name}"]["enabled"] for name in ("tick", "off")] == [True, False]
    assert listed["f/s/off"]["script_path"] == "f/s/tick" and listed["f/s/flow"]["is_flow"] is True
