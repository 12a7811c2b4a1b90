"""Many runs at once, long loops, and definitions that change meanwhile."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from engines import TOKEN, Engine, Js, code, each, flow, give, script, wait_until, write_files

HOLD = """
import os, time
def main(place, x):
    open(f"{place}/began", "w").close()
    while os.path.exists(f"{place}/hold"): time.sleep(0.01)
    return x
"""
#: Its definition is changed by a test: it has a file of its own.
CHANGING = flow(
    code("a", HOLD, {"place": Js("flow_input.place"), "x": "old a"}),
    give("b", "old b"),
    give("c", Js("[results.a, results.b]")),
)
FILES = {
    "f/l/echo.py": "def main(x): return x",
    "f/l/three.flow": flow(
        script("a", "f/l/echo", {"x": Js("flow_input.x")}),
        script("b", "f/l/echo", {"x": Js("results.a + 1")}),
        script("c", "f/l/echo", {"x": Js("results.b + 1")}),
    ),
    "f/l/loop.flow": flow(each("l", Js("flow_input.items"), [give("a", Js("flow_input.iter.value"))], parallel=True)),
    "f/l/identities.flow": flow(
        each("l", Js("Array.from({length: 1000}, (_, i) => i)"), [{"id": "a", "value": {"type": "identity"}}]),
        give("n", Js("results.l.length")),
    ),
    "f/l/large.flow": flow(
        code("a", "def main(n): return 'x' * n", {"n": 10_000_000}),
        code("b", "def main(x): return len(x)", {"x": Js("results.a")}),
        code("c", "def main(n): return n", {"n": Js("results.a.length + results.b")}),
    ),
    "f/l/changing.flow": CHANGING,
}


def test_two_hundred_flows_at_once_all_end(engine: Engine) -> None:
    async def run() -> list[Any]:
        headers = {"authorization": f"Bearer {TOKEN}"}
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(headers=headers, timeout=60, limits=limits) as client:
            url = f"{engine.url}/api/w/local/jobs/run_wait_result/f/f/l/three"
            answers = await asyncio.gather(*(client.post(url, json={"x": x}) for x in range(200)))
            return [answer.json() for answer in answers]

    assert asyncio.run(run()) == [x + 2 for x in range(200)]


def test_a_parallel_loop_of_a_hundred_keeps_their_order(engine: Engine) -> None:
    assert engine.result("f", "f/l/loop", {"items": list(range(100))}) == list(range(100))


@pytest.mark.slow
def test_a_loop_of_a_thousand_rounds_ends(engine: Engine) -> None:
    assert engine.result("f", "f/l/identities") == 1000


def test_ten_megabytes_pass_from_step_to_step(engine: Engine) -> None:
    assert engine.result("f", "f/l/large") == 20_000_000


def test_a_run_keeps_the_definition_that_it_began_with(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    job_id = engine.queue("f", "f/l/changing", {"place": str(tmp_path)})
    wait_until((tmp_path / "began").exists)
    changed = json.loads(json.dumps(CHANGING).replace("old", "new"))
    write_files(engine.workspace, {"f/l/changing.flow": changed})
    engine.kill()
    (tmp_path / "hold").unlink()
    engine.start()
    assert engine.finished(job_id)["result"] == ["old a", "old b"]
    assert engine.result("f", "f/l/changing", {"place": str(tmp_path)}) == ["new a", "new b"]


def test_an_idle_engine_costs_next_to_nothing(engine: Engine) -> None:
    engine.result("p", "f/l/echo", {"x": 1})
    before = cpu_seconds(engine.pid)
    time.sleep(2)
    assert cpu_seconds(engine.pid) - before < 0.1


def cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / 100


@pytest.fixture(autouse=True)
def _is_well(engine: Engine) -> Any:
    yield
    assert "Traceback" not in engine.log.read_text()
