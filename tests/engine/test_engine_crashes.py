"""What survives when something is killed: no run is lost, and a step that is done is not computed again."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from engines import Engine, Js, branch_all, branch_one, code, each, flow, is_alive, processes_below, subflow, wait_until

from local.postgres import Cluster
from local.processes import free_port

#: Notes its name in a file of the run, then waits until it is let go.
STEP = """
import os, time
def main(place, name):
    with open(f"{place}/steps", "a") as file: file.write(f"{name}\\n")
    while os.path.exists(f"{place}/hold-{name}"): time.sleep(0.01)
    return name
"""


def note(step: str, name: Any = None, **module: Any) -> dict[str, Any]:
    return code(step, STEP, {"place": Js("flow_input.place"), "name": name or step}, **module)


PLACE = {"place": Js("flow_input.place")}
X_AND_Y = [note("x", Js("'x' + flow_input.iter.value")), note("y", Js("'y' + flow_input.iter.value"))]
FILES = {
    "f/c/line.flow": flow(note("a"), note("b"), note("c")),
    "f/c/loop.flow": flow(each("l", [0, 1, 2, 3], X_AND_Y), note("end")),
    "f/c/parallel.flow": flow(each("l", [0, 1, 2, 3], X_AND_Y, parallel=True), note("end")),
    "f/c/branches.flow": flow(
        branch_all("all", [note("a")], [note("b")]),
        branch_one("one", {"true": [note("c"), note("d")]}, []),
        note("end"),
    ),
    "f/c/nested.flow": flow(subflow("s", "f/c/line", PLACE), note("end")),
    "f/c/sleeps.flow": flow(note("a", sleep={"type": "static", "value": 1}), note("b")),
    "f/c/pid.py": """
import os, time
def main(place):
    open(f"{place}/{os.getpid()}", "w").close()
    while os.path.exists(f"{place}/hold"): time.sleep(0.01)
    return "survived"
""",
    "f/c/group.py": """
import subprocess, time
def main(place):
    child = subprocess.Popen(["sleep", "300"])
    open(f"{place}/{child.pid}", "w").close()
    time.sleep(300)
""",
    "f/c/group.script.yaml": {"kind": "script", "timeout": 1},
    "f/c/quick.py": "def main(x): return x",
    "f/c/quick.flow": flow(
        code("a", "def main(x): return x", {"x": Js("flow_input.x")}),
        code("b", "def main(x): return x + 1", {"x": Js("results.a")}),
        code("c", "def main(x): return x + 1", {"x": Js("results.b")}),
    ),
}


def steps(place: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return (place / "steps").read_text().split()
    return []


@pytest.mark.parametrize("held", ["a", "b", "c"])
def test_a_flow_goes_on_where_its_engine_was_killed(engine: Engine, tmp_path: Path, held: str) -> None:
    (tmp_path / f"hold-{held}").touch()
    job_id = engine.queue("f", "f/c/line", {"place": str(tmp_path)})
    wait_until(lambda: held in steps(tmp_path))
    engine.kill()
    (tmp_path / f"hold-{held}").unlink()
    engine.start()
    assert engine.finished(job_id)["result"] == "c"
    assert Counter(steps(tmp_path)) == Counter("abc") + Counter(held)


@pytest.mark.parametrize(
    ("name", "held", "all_steps"),
    [
        ("loop", "y1", "x0 y0 x1 y1 x2 y2 x3 y3 end"),
        ("parallel", "y2", "x0 y0 x1 y1 x2 y2 x3 y3 end"),
        ("branches", "d", "a b c d end"),
        ("nested", "b", "a b c end"),
    ],
)
def test_loops_branches_and_subflows_go_on_too(
    engine: Engine, tmp_path: Path, name: str, held: str, all_steps: str
) -> None:
    (tmp_path / f"hold-{held}").touch()
    job_id = engine.queue("f", f"f/c/{name}", {"place": str(tmp_path)})
    wait_until(lambda: held in steps(tmp_path))
    if name == "parallel":
        wait_until(lambda: {"y0", "y1", "y3"} <= set(steps(tmp_path)))
        time.sleep(0.2)
    engine.kill()
    (tmp_path / f"hold-{held}").unlink()
    engine.start()
    assert engine.finished(job_id)["result"] == "end"
    assert Counter(steps(tmp_path)) == Counter(all_steps.split()) + Counter([held])


def test_a_pause_outlives_the_engine(engine: Engine, tmp_path: Path) -> None:
    job_id = engine.queue("f", "f/c/sleeps", {"place": str(tmp_path)})
    wait_until(lambda: engine.job(job_id).get("flow_status", {}).get("step") == 1)
    engine.kill()
    engine.start()
    assert engine.finished(job_id)["duration_ms"] >= 1000
    assert steps(tmp_path) == ["a", "b"]


def test_a_run_that_was_accepted_is_never_lost(engine: Engine) -> None:
    accepted: list[str] = []
    ends = threading.Event()

    def keep_queueing() -> None:
        while not ends.wait(0.02):
            with contextlib.suppress(httpx.TransportError):
                answer = engine.api("POST", "jobs/run/f/f/c/quick", json={"x": len(accepted)})
                if answer.status_code == httpx.codes.CREATED:
                    accepted.append(answer.text)

    threads = [threading.Thread(target=keep_queueing) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(0.3)
        engine.kill()
        engine.start()
    ends.set()
    for thread in threads:
        thread.join()
    assert accepted
    for job_id in accepted:
        assert engine.finished(job_id)["success"] is True


def test_a_step_whose_process_is_killed_runs_again(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    job_id = engine.queue("p", "f/c/pid", {"place": str(tmp_path)})
    for expected in (1, 2):
        wait_until(lambda: len(pids(tmp_path)) == expected)  # noqa: B023
        kill(max(pids(tmp_path), key=lambda pid: (tmp_path / str(pid)).stat().st_mtime_ns))
    wait_until(lambda: len(pids(tmp_path)) == 3)
    (tmp_path / "hold").unlink()
    assert engine.finished(job_id)["result"] == "survived"


def test_a_step_whose_process_is_killed_three_times_fails(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    job_id = engine.queue("p", "f/c/pid", {"place": str(tmp_path)})
    for expected in (1, 2, 3):
        wait_until(lambda: len(pids(tmp_path)) == expected)  # noqa: B023
        kill(max(pids(tmp_path), key=lambda pid: (tmp_path / str(pid)).stat().st_mtime_ns))
    assert "died 3 times" in engine.finished(job_id)["result"]["error"]["message"]


def test_killed_templates_are_replaced(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    job_id = engine.queue("p", "f/c/pid", {"place": str(tmp_path)})
    wait_until(lambda: pids(tmp_path))
    for pid in templates(engine):
        kill(pid)
    wait_until(lambda: len(pids(tmp_path)) == 2)
    (tmp_path / "hold").unlink()
    assert engine.finished(job_id)["result"] == "survived"
    for _ in range(3):
        for pid in templates(engine):
            kill(pid)
        assert engine.result("p", "f/c/quick", {"x": 1}) == 1


def test_a_timeout_ends_the_whole_process_group(engine: Engine, tmp_path: Path) -> None:
    assert "longer than its 1 s" in engine.error("p", "f/c/group", {"place": str(tmp_path)})["message"]
    [child] = pids(tmp_path)
    wait_until(lambda: not is_alive(child))


def test_sigterm_ends_the_engine_and_all_that_it_started(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    first = engine.queue("p", "f/c/pid", {"place": str(tmp_path)})
    engine.queue("p", "f/c/group", {"place": str(tmp_path)})
    wait_until(lambda: len(pids(tmp_path)) == 2)
    below = [pid for pid, _ in processes_below(engine.pid)]
    start = time.monotonic()
    assert engine.stop() == 0
    assert time.monotonic() - start < 6
    assert not [pid for pid in {*below, *pids(tmp_path)} if is_alive(pid)]
    (tmp_path / "hold").unlink()
    engine.start()
    assert engine.finished(first)["result"] == "survived"


def test_a_killed_engine_leaves_no_process_of_its_own(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    engine.queue("p", "f/c/pid", {"place": str(tmp_path)})
    wait_until(lambda: pids(tmp_path))
    below = [pid for pid, _ in processes_below(engine.pid)]
    engine.kill()
    wait_until(lambda: not [pid for pid in below if is_alive(pid)])
    (tmp_path / "hold").unlink()
    engine.start()


def test_a_second_engine_on_the_same_database_refuses(engine: Engine, make_engine: Callable[..., Engine]) -> None:
    second = make_engine(FILES, started=False, database_url=engine.database_url)
    with pytest.raises(AssertionError, match=r"ended with 2:\n(.|\n)*engine: another engine serves the database"):
        second.start()
    assert engine.result("p", "f/c/quick", {"x": 1}) == 1


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "postgres", free_port()) as cluster:
        yield cluster
    cluster.remove()


@pytest.mark.slow
def test_a_database_that_restarts_under_load_costs_no_run(
    make_engine: Callable[..., Engine], own_cluster: Cluster
) -> None:
    engine = make_engine(FILES, database_url=own_cluster.url("engine"))
    queued = [engine.queue("f", "f/c/quick", {"x": i}) for i in range(20)]
    waiting: list[int] = []

    def wait() -> None:
        waiting.append(engine.call("f", "f/c/quick", {"x": 1}).status_code)

    thread = threading.Thread(target=wait)
    thread.start()
    for number in (signal.SIGINT, signal.SIGQUIT):
        # A fast shutdown, and one that is a crash.
        assert own_cluster.process is not None
        own_cluster.process.send_signal(number)
        own_cluster.process.wait()
        own_cluster.stop()
        own_cluster.start()
        queued += [engine.queue("f", "f/c/quick", {"x": i}) for i in range(5)]
    for job_id in queued:
        assert engine.finished(job_id)["success"] is True
    thread.join()
    assert waiting in ([200], [503])


def pids(place: Path) -> list[int]:
    return [int(path.name) for path in place.iterdir() if path.name.isdecimal()]


def templates(engine: Engine) -> list[int]:
    return [pid for pid, command in processes_below(engine.pid) if "--template" in command]


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
