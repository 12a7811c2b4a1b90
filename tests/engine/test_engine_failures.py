"""Flows that fail: what goes on, what is tried again, and what the failure module makes of it. Windmill's rules."""

from pathlib import Path

import pytest
from engines import Engine, Js, branch_all, branch_one, code, each, fail, flow, give, script, subflow

SEES = "def main(**seen): return seen"
#: Fails until its counter in the workspace's folder has come to `good_on`.
FLAKY = """
import os
def main(place: str, good_on: int):
    with open(place, "a+") as file:
        file.write("x")
        file.seek(0)
        tries = len(file.read())
    if tries < good_on: raise ValueError(f"try {tries}")
    return tries
"""


FILES = {
    "f/s/echo.py": "def main(x=None): return x",
    "f/s/flaky.py": FLAKY,
    "f/f/continues.flow": flow(
        fail("a", "first", continue_on_error=True),
        code("b", SEES, {"a": Js("results.a.error.message"), "previous": Js("previous_result.error.name")}),
    ),
    "f/f/continues_last.flow": flow(give("a", 1), fail("b", "last", continue_on_error=True)),
    "f/f/module.flow": flow(
        give("a", 1),
        fail("b", "bad"),
        give("c", 3),
        failure_module=code(
            "failure",
            SEES,
            {
                "m": Js("error.message"),
                "n": Js("error.name"),
                "s": Js("error.step_id"),
                "a": Js("results.a"),
                "x": Js("flow_input.x"),
            },
        ),
    ),
    "f/f/module_recovers.flow": flow(fail("a"), failure_module=give("failure", {"recover": True, "x": 1})),
    "f/f/module_fails.flow": flow(fail("a", "first"), failure_module=fail("failure", "second")),
    "f/f/module_retries.flow": flow(
        fail("a", "first"),
        failure_module=script(
            "failure",
            "f/s/flaky",
            {"place": Js("flow_input.place"), "good_on": 2},
            retry={"constant": {"attempts": 2, "seconds": 0}},
        ),
    ),
    "f/f/handles.flow": flow(give("a", Js("flow_input.x + 1"))),
    "f/f/module_is_flow.flow": flow(fail("a", "inner"), failure_module=subflow("failure", "f/f/handles", {"x": 1})),
    "f/f/module_in_loop.flow": flow(
        each("l", [1, 2], [fail("a", "in loop")], skip_failures=True),
        give("after", Js("results.l")),
        failure_module=code("failure", SEES, {"m": Js("error.message"), "i": Js("flow_input.iter.value")}),
    ),
    "f/f/module_once.flow": flow(
        each("l", [1, 2], [fail("a", "in loop")]),
        failure_module=code(
            "failure",
            FLAKY.replace("return tries", "return [tries, True]"),
            {"place": Js("flow_input.place"), "good_on": 1},
        ),
    ),
    "f/f/subflow_fails.flow": flow(subflow("s", "f/f/module", {"x": 5}), give("after", 1)),
    "f/r/retry.flow": flow(
        script(
            "a",
            "f/s/flaky",
            {"place": Js("flow_input.place"), "good_on": Js("flow_input.good_on")},
            retry={"constant": {"attempts": 2, "seconds": 0}},
        ),
        give("b", Js("results.a")),
    ),
    "f/r/retry_if.flow": flow(
        script(
            "a",
            "f/s/flaky",
            {"place": Js("flow_input.place"), "good_on": 9},
            retry={"constant": {"attempts": 5, "seconds": 0}, "retry_if": {"expr": "result.error.message != 'try 2'"}},
        )
    ),
    "f/r/exponential.flow": flow(
        script(
            "a",
            "f/s/flaky",
            {"place": Js("flow_input.place"), "good_on": 3},
            retry={
                "constant": {"attempts": 1, "seconds": 0},
                "exponential": {"attempts": 1, "multiplier": 0, "seconds": 1},
            },
        )
    ),
    "f/r/same_arguments.flow": flow(
        code(
            "a",
            "def main(place, x):\n    with open(place, 'a') as file: file.write(f'{x}\\n')\n    raise ValueError",
            {"place": Js("flow_input.place"), "x": Js("Math.random()")},
            retry={"constant": {"attempts": 2, "seconds": 0}},
        )
    ),
    "f/r/in_loop.flow": flow(
        each(
            "l",
            [1, 2],
            [
                script(
                    "a",
                    "f/s/flaky",
                    {"place": Js("flow_input.place + flow_input.iter.value"), "good_on": 2},
                    retry={"constant": {"attempts": 1, "seconds": 0}},
                )
            ],
        )
    ),
    "f/r/of_loop.flow": flow(
        each(
            "l",
            [1, 2],
            [script("a", "f/s/flaky", {"place": Js("flow_input.place"), "good_on": 2})],
            {"retry": {"constant": {"attempts": 1, "seconds": 0}}},
        )
    ),
    "f/r/of_parallel_loop.flow": flow(
        each(
            "l",
            [1, 2, 3],
            [script("a", "f/s/flaky", {"place": Js("flow_input.place"), "good_on": 2})],
            {"retry": {"constant": {"attempts": 3, "seconds": 0}}},
            parallel=True,
            parallelism=1,
        )
    ),
    "f/r/of_branch.flow": flow(
        branch_one(
            "c",
            {"true": [script("a", "f/s/flaky", {"place": Js("flow_input.place"), "good_on": 2})]},
            [],
            retry={"constant": {"attempts": 1, "seconds": 0}},
        )
    ),
    "f/r/of_branches.flow": flow(
        branch_all(
            "c",
            [script("a", "f/s/flaky", {"place": Js("flow_input.place"), "good_on": 2})],
            [give("b", 1)],
            module={"retry": {"constant": {"attempts": 1, "seconds": 0}}},
            parallel=False,
        )
    ),
    "f/r/of_subflow.flow": flow(
        subflow("s", "f/r/once", {"place": Js("flow_input.place")}, retry={"constant": {"attempts": 1, "seconds": 0}})
    ),
    "f/r/once.flow": flow(script("a", "f/s/flaky", {"place": Js("flow_input.place"), "good_on": 2})),
    "f/r/of_expression.flow": flow(
        script("a", "f/s/echo", {"x": Js("flow_input.a.b")}, retry={"constant": {"attempts": 1, "seconds": 0}})
    ),
}


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    return {"place": f"{tmp_path}/count"}


def test_continue_on_error_goes_on_with_the_error(engine: Engine) -> None:
    assert engine.result("f", "f/f/continues") == {"a": "first", "previous": "ValueError"}


def test_a_last_step_that_fails_fails_the_flow_all_the_same(engine: Engine) -> None:
    assert engine.error("f", "f/f/continues_last")["message"] == "last"


def test_the_failure_module_sees_the_error_and_gives_the_result(engine: Engine) -> None:
    answer = engine.call("f", "f/f/module", {"x": 5})
    assert (answer.status_code, answer.json()) == (422, {"m": "bad", "n": "ValueError", "s": "b", "a": 1, "x": 5})


def test_a_failure_module_can_recover(engine: Engine) -> None:
    assert engine.result("f", "f/f/module_recovers") == {"recover": True, "x": 1}


def test_a_failure_module_can_fail_itself(engine: Engine) -> None:
    assert engine.error("f", "f/f/module_fails")["message"] == "second"


def test_a_failure_module_is_retried(engine: Engine, place: dict[str, str]) -> None:
    answer = engine.call("f", "f/f/module_retries", place)
    assert (answer.status_code, answer.json()) == (422, 2)


def test_a_failure_module_may_be_a_flow(engine: Engine) -> None:
    answer = engine.call("f", "f/f/module_is_flow")
    assert (answer.status_code, answer.json()) == (422, 2)


def test_in_a_loop_the_failure_module_runs_for_the_iteration(engine: Engine) -> None:
    assert engine.result("f", "f/f/module_in_loop") == [{"m": "in loop", "i": 1}, {"m": "in loop", "i": 2}]


def test_the_failure_module_runs_once_for_a_failure(engine: Engine, place: dict[str, str]) -> None:
    answer = engine.call("f", "f/f/module_once", place)
    assert (answer.status_code, answer.json()) == (422, [[1, True]])


def test_a_subflow_that_fails_fails_its_step(engine: Engine) -> None:
    answer = engine.call("f", "f/f/subflow_fails")
    assert (answer.status_code, answer.json()["m"]) == (422, "bad")


def test_a_retry_runs_the_step_again(engine: Engine, place: dict[str, str]) -> None:
    assert engine.result("f", "f/r/retry", place | {"good_on": 3}) == 3


def test_retries_end(engine: Engine, place: dict[str, str]) -> None:
    assert engine.error("f", "f/r/retry", place | {"good_on": 4})["message"] == "try 3"


def test_retry_if_decides_by_the_error(engine: Engine, place: dict[str, str]) -> None:
    assert engine.error("f", "f/r/retry_if", place)["message"] == "try 2"


def test_exponential_retries_follow_constant_ones(engine: Engine, place: dict[str, str]) -> None:
    assert engine.result("f", "f/r/exponential", place) == 3


def test_a_retry_has_the_same_arguments(engine: Engine, place: dict[str, str]) -> None:
    engine.error("f", "f/r/same_arguments", place)
    seen = Path(place["place"]).read_text().split()
    assert (len(seen), len(set(seen))) == (3, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("in_loop", [2, 2]),
        ("of_loop", [2, 3]),
        ("of_branch", 2),
        ("of_branches", [2, 1]),
        ("of_subflow", 2),
    ],
)
def test_loops_branches_and_flows_are_retried(
    engine: Engine, place: dict[str, str], name: str, expected: object
) -> None:
    assert engine.result("f", f"f/r/{name}", place) == expected


def test_a_parallel_loop_with_bounded_parallelism_is_retried(engine: Engine, place: dict[str, str]) -> None:
    assert engine.result("f", "f/r/of_parallel_loop", place) == [4, 5, 6]


def test_an_expression_that_throws_is_retried_too(engine: Engine) -> None:
    job = engine.finished(engine.queue("f", "f/r/of_expression"))
    assert "Error" in job["result"]["error"]["message"]
