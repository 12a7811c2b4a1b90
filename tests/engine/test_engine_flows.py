"""Flows: what a step sees, what comes next, and what the run gives. Windmill's rules."""

import time
from pathlib import Path

import pytest
from engines import Engine, Js, branch_all, branch_one, code, each, fail, flow, give, script, subflow, wait_until

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


def both(step: str, *, when: str, skips: bool = False, message: str | None = None) -> dict[str, object]:
    return {step: {"expr": when, "skip_if_stopped": skips, **({"error_message": message} if message else {})}}


FILES = {
    "f/s/echo.py": "def main(x=None): return x",
    "f/s/flaky.py": FLAKY,
    # Transforms
    "f/t/sees.flow": flow(
        give("a", {"n": 1, "list": [1, 2]}),
        code(
            "b",
            SEES,
            {
                "path": Js("results.a.n"),
                "index": Js("results.a.list[1]"),
                "computed": Js("results.a.n + flow_input.x"),
                "previous": Js("previous_result.n"),
                "input": Js("flow_input"),
                "missing": Js("flow_input.nothing"),
                "missing_path": Js("results.a.nothing.deeper"),
                "text": Js("`${flow_input.x} 日本`"),
                "body": Js("const y = flow_input.x; return y * 2"),
                "static": {"a": [1, None, True, "yes"]},
                "env": Js("flow_env.ENV"),
            },
        ),
        flow_env={"ENV": "of the flow"},
    ),
    "f/t/throws.flow": flow(script("a", "f/s/echo", {"x": Js("flow_input.a.b.c")}), give("b", 1)),
    "f/t/endless.flow": flow(script("a", "f/s/echo", {"x": Js("(() => { while (true) {} })()")})),
    "f/t/recursive.flow": flow(script("a", "f/s/echo", {"x": Js("(function f() { return f() })()")})),
    "f/t/greedy.flow": flow(script("a", "f/s/echo", {"x": Js("'x'.repeat(2**29).split('').length")})),
    "f/t/nul.flow": flow(script("a", "f/s/echo", {"x": Js("'a' + String.fromCharCode(0) + 'b'")})),
    "f/t/unknown_result.flow": flow(script("a", "f/s/echo", {"x": Js("[results.nowhere]")})),
    "f/t/unknown_script.flow": flow(script("a", "f/s/nowhere"), give("b", 1)),
    "f/t/unknown_flow.flow": flow(subflow("a", "f/s/nowhere")),
    # Ends
    "f/e/empty.flow": flow(),
    "f/e/stops.flow": flow(give("a", 1, **both("stop_after_if", when="result == flow_input.stop_at")), give("b", 2)),
    "f/e/stops_skipped.flow": flow(give("a", 1, **both("stop_after_if", when="true", skips=True)), give("b", 2)),
    "f/e/stops_error.flow": flow(give("a", 1, **both("stop_after_if", when="true", message="enough")), give("b", 2)),
    "f/e/stop_in_branch.flow": flow(
        branch_one("c", {"flow_input.stop": [give("a", 1, **both("stop_after_if", when="true")), give("b", 2)]}, []),
        give("after", 3),
    ),
    "f/e/stop_in_subflow.flow": flow(subflow("a", "f/e/stops", {"stop_at": 1}), give("b", "went on")),
    "f/e/stop_in_branch_of_all.flow": flow(
        branch_all("c", [give("a", 1, **both("stop_after_if", when="true"))], [give("b", 2)], parallel=False),
        give("after", 3),
    ),
    "f/e/skip_expr.flow": flow(give("a", 1), skip_expr="flow_input.skip"),
    "f/e/skip_if.flow": flow(
        give("a", 1),
        give("b", 2, skip_if={"expr": "flow_input.skip"}),
        code("c", SEES, {"b": Js("results.b"), "previous": Js("previous_result")}),
    ),
    "f/e/identity.flow": flow(give("a", 1), {"id": "b", "value": {"type": "identity"}}),
    "f/e/mock.flow": flow(
        fail("a", mock={"enabled": True, "return_value": {"x": 1}}), script("b", "f/s/echo", {"x": Js("results.a.x")})
    ),
    "f/e/mock_off.flow": flow(give("a", 5, mock={"enabled": False, "return_value": 1})),
    # Loops
    "f/l/loop.flow": flow(
        each(
            "l",
            Js("flow_input.items"),
            [give("a", Js("flow_input.iter.value * 2")), give("b", Js("results.a + flow_input.iter.index"))],
        ),
        give("after", Js("[results.l, results.b, previous_result]")),
    ),
    "f/l/simple.flow": flow(each("l", Js("flow_input.items"), [give("a", Js("flow_input.iter.value"))])),
    "f/l/parallel.flow": flow(
        each(
            "l",
            Js("flow_input.items"),
            [
                code(
                    "a",
                    "import time\ndef main(x, n): time.sleep((n - x) * 0.02); return x",
                    {"x": Js("flow_input.iter.value"), "n": Js("flow_input.items.length")},
                )
            ],
            parallel=True,
        )
    ),
    "f/l/parallelism.flow": flow(
        each(
            "l",
            Js("flow_input.items"),
            [code("a", "import time\ndef main(): start = time.time(); time.sleep(0.1); return [start, time.time()]")],
            parallel=True,
            parallelism=2,
        )
    ),
    "f/l/nested.flow": flow(
        each(
            "outer",
            [1, 2],
            [
                each(
                    "inner",
                    ["a", "b"],
                    [
                        give(
                            "x",
                            Js(
                                "`${flow_input.iter_parent.value}${flow_input.iter.value}${flow_input.iter_parent.index}${flow_input.iter.index}`"
                            ),
                        ),
                        {"id": "y", "value": {"type": "identity"}},
                    ],
                )
            ],
        )
    ),
    "f/l/nested_parallel.flow": flow(
        each(
            "outer",
            [1, 2, 3],
            [
                each(
                    "inner",
                    ["a", "b"],
                    [
                        give("x", Js("`${flow_input.iter_parent.value}${flow_input.iter.value}`")),
                        {"id": "y", "value": {"type": "identity"}},
                    ],
                    parallel=True,
                )
            ],
            parallel=True,
        )
    ),
    "f/l/no_list.flow": flow(each("l", Js("flow_input.items"), [give("a", 1)])),
    "f/l/fails.flow": flow(
        each("l", [0, 1, 2], [code("a", "def main(x): return 1 // (1 - x)", {"x": Js("flow_input.iter.value")})])
    ),
    "f/l/skips_failures.flow": flow(
        each(
            "l",
            [0, 1, 2],
            [code("a", "def main(x): return 1 // (1 - x)", {"x": Js("flow_input.iter.value")})],
            skip_failures=True,
        )
    ),
    "f/l/parallel_fails.flow": flow(
        each(
            "l",
            [0, 1, 2],
            [code("a", "def main(x): return 1 // (1 - x)", {"x": Js("flow_input.iter.value")})],
            parallel=True,
        ),
        give("b", 1),
    ),
    "f/l/break.flow": flow(
        each(
            "l",
            [1, 2, 3, 4],
            [
                give("a", Js("flow_input.iter.value"), **both("stop_after_if", when="result == 2")),
                give("b", Js("results.a * 10")),
            ],
        ),
        give("after", Js("results.l")),
    ),
    "f/l/break_loop.flow": flow(
        each("l", [1, 2, 3, 4], [give("a", Js("flow_input.iter.value"))], both("stop_after_if", when="result == 3")),
        give("after", Js("results.l")),
    ),
    "f/l/stop_after_all.flow": flow(
        each(
            "l",
            [1, 2],
            [give("a", Js("flow_input.iter.value"))],
            both("stop_after_all_iters_if", when="result.length == 2"),
        ),
        give("after", 9),
    ),
    "f/l/all_iters.flow": flow(
        each(
            "l",
            [1, 2, 3, 4],
            [give("a", Js("flow_input.iter.value"))],
            both("stop_after_if", when="all_iters.length == 2"),
        ),
        give("after", Js("results.l")),
    ),
    "f/l/skip_in_loop.flow": flow(
        each(
            "l",
            [1, 2, 3],
            [
                give("a", Js("flow_input.iter.value")),
                give("b", "even", skip_if={"expr": "flow_input.iter.value % 2 == 1"}),
            ],
        )
    ),
    "f/l/while.flow": flow(
        {
            "id": "w",
            "value": {
                "type": "whileloopflow",
                "skip_failures": False,
                "modules": [give("a", Js("flow_input.iter.index"), **both("stop_after_if", when="result >= 3"))],
            },
        }
    ),
    "f/l/while_simple.flow": flow(
        give("first", 100),
        {
            "id": "w",
            "value": {
                "type": "whileloopflow",
                "skip_failures": False,
                "modules": [give("a", Js("previous_result + 1"))],
            },
            **both("stop_after_if", when="result >= 103"),
        },
    ),
    "f/l/while_fails.flow": flow(
        {"id": "w", "value": {"type": "whileloopflow", "skip_failures": False, "modules": [fail("a")]}}
    ),
    "f/l/endless.flow": flow(
        {"id": "w", "value": {"type": "whileloopflow", "skip_failures": False, "modules": [give("a", 1)]}}
    ),
    "f/l/endless_identity.flow": flow(
        {"id": "w", "value": {"type": "whileloopflow", "modules": [{"id": "a", "value": {"type": "identity"}}]}}
    ),
    "f/l/calls_itself.flow": flow(subflow("s", "f/l/calls_itself")),
    "f/l/previous.flow": flow(
        give("before", "from before"),
        each(
            "l",
            [1],
            [
                code("a", SEES, {"previous": Js("previous_result"), "before": Js("results.before")}),
                {"id": "b", "value": {"type": "identity"}},
            ],
        ),
    ),
    "f/l/empty_body.flow": flow(each("l", [1, 2], [])),
    "f/l/branch_in_loop.flow": flow(
        each(
            "l",
            [1, 2, 3],
            [branch_one("c", {"flow_input.iter.value == 2": [give("two", "two")]}, [give("other", "other")])],
        )
    ),
    "f/l/failing_branches_in_loop.flow": flow(
        each("l", [1, 2], [branch_all("c", [give("a", Js("flow_input.iter.value"))], [fail("b")])], skip_failures=True),
        give("after", Js("results.l")),
    ),
    # Branches
    "f/b/one.flow": flow(
        give("a", "one"),
        branch_one(
            "c",
            {"results.a == flow_input.x": [give("first", 1)], "flow_input.x == 'two'": [give("second", 2)]},
            [give("third", 3)],
        ),
        give("after", Js("results.c")),
    ),
    "f/b/empty_default.flow": flow(
        branch_one("c", {"flow_input.x": [give("a", 1)]}, []), give("after", Js("[results.c, previous_result]"))
    ),
    "f/b/inner_result.flow": flow(
        branch_one("c", {"true": [give("inner", "seen"), give("last", 2)]}, []), give("after", Js("results.inner"))
    ),
    "f/b/all.flow": flow(
        branch_all("c", [give("a", 1)], [give("b", 2)], parallel=True), give("after", Js("results.c"))
    ),
    "f/b/all_sequential.flow": flow(branch_all("c", [give("a", 1)], [give("b", Js("results.a + 1"))], parallel=False)),
    "f/b/all_fails.flow": flow(branch_all("c", [give("a", 1)], [fail("b")]), give("after", 1)),
    "f/b/all_empty.flow": flow(branch_all("c"), give("after", Js("results.c"))),
    "f/b/all_empty_branch.flow": flow(branch_all("c", [], [give("b", 1)])),
    # Failures
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
    "f/f/module_is_flow.flow": flow(fail("a", "inner"), failure_module=subflow("failure", "f/l/loop", {"items": [1]})),
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
    # Retries
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
    # Time
    "f/w/sleep.flow": flow(
        give("a", 1, sleep={"type": "static", "value": 0.3}), code("b", "import time\ndef main(): return time.time()")
    ),
    "f/w/sleep_before_loop.flow": flow(
        give("a", 1, sleep={"type": "javascript", "expr": "result * 0.2"}),
        each("l", [1, 2], [give("b", Js("flow_input.iter.value"))]),
    ),
    "f/w/sleep_before_loop_parallel.flow": flow(
        give("a", 1, sleep={"type": "static", "value": 0.2}),
        each("l", [1, 2], [give("b", Js("flow_input.iter.value")), give("c", 3)], parallel=True),
    ),
    "f/w/sleep_before_branches.flow": flow(
        give("a", 1, sleep={"type": "static", "value": 0.2}),
        branch_one("o", {"true": [give("b", 2)]}, []),
        branch_all("c", [give("d", 3)]),
    ),
    "f/w/sleep_last.flow": flow(give("a", 7, sleep={"type": "static", "value": 0.3})),
    "f/w/bad_sleep.flow": flow(give("a", 1, sleep={"type": "javascript", "expr": "'long'"}), give("b", 1)),
    "f/w/timeout.flow": flow(code("a", "import time\ndef main(): time.sleep(30)", timeout=1), give("b", 1)),
    "f/w/timeout_retry.flow": flow(
        code("a", "import time\ndef main(): time.sleep(30)", timeout=1, continue_on_error=True),
        give("b", Js("results.a.error.name")),
    ),
    "f/w/timeout_in_loop.flow": flow(
        each(
            "l",
            [0, 30],
            [
                code(
                    "a",
                    "import time\ndef main(x): time.sleep(x); return x",
                    {"x": Js("flow_input.iter.value")},
                    timeout=1,
                )
            ],
            skip_failures=True,
        )
    ),
    "f/w/slow.py": "import time\ndef main(): time.sleep(30)",
    "f/w/slow.script.yaml": {"kind": "script", "timeout": 1},
    "f/w/timeout_of_script.flow": flow(script("a", "f/w/slow")),
    # Preprocessor, names
    "f/p/preprocessed.flow": flow(
        code("a", SEES, {"x": Js("flow_input.x"), "previous": Js("previous_result")}),
        preprocessor_module=code("preprocessor", "def preprocessor(event): return {'x': event['body']['y'] + 1}"),
    ),
}


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    return {"place": f"{tmp_path}/count"}


def test_transforms_see_input_results_and_environment(engine: Engine) -> None:
    assert engine.result("f", "f/t/sees", {"x": 4}) == {
        "path": 1,
        "index": 2,
        "computed": 5,
        "previous": 1,
        "input": {"x": 4},
        "missing": None,
        "missing_path": None,
        "text": "4 日本",
        "body": 8,
        "static": {"a": [1, None, True, "yes"]},
        "env": "of the flow",
    }


def test_an_expression_that_throws_fails_its_step(engine: Engine) -> None:
    assert engine.error("f", "f/t/throws")["name"] == "ExecutionErr"


@pytest.mark.parametrize("name", ["recursive", "greedy"])
def test_an_expression_is_bounded(engine: Engine, name: str) -> None:
    assert engine.error("f", f"f/t/{name}")["name"] == "ExecutionErr"


@pytest.mark.slow
def test_an_expression_is_bounded_in_time(engine: Engine) -> None:
    assert "too long" in engine.error("f", "f/t/endless")["message"]


def test_a_character_that_cannot_be_stored_is_left_out_of_arguments(engine: Engine) -> None:
    assert engine.result("f", "f/t/nul") == "ab"


def test_a_result_of_a_step_that_is_not_there_is_an_error(engine: Engine) -> None:
    assert "nowhere" in engine.error("f", "f/t/unknown_result")["message"]


@pytest.mark.parametrize("name", ["unknown_script", "unknown_flow"])
def test_a_step_whose_target_is_not_there_fails(engine: Engine, name: str) -> None:
    assert "not found at name f/s/nowhere" in engine.error("f", f"f/t/{name}")["message"]


def test_a_flow_without_steps_gives_its_input(engine: Engine) -> None:
    assert engine.result("f", "f/e/empty", {"x": 1}) == {"x": 1}


def test_stop_after_if_ends_the_flow_with_the_result_of_the_step(engine: Engine) -> None:
    assert engine.result("f", "f/e/stops", {"stop_at": 1}) == 1
    assert engine.result("f", "f/e/stops", {"stop_at": 2}) == 2


def test_a_skipped_run_is_told_with_422(engine: Engine) -> None:
    answer = engine.call("f", "f/e/stops_skipped")
    assert (answer.status_code, answer.json()) == (422, 1)


def test_a_stop_with_a_message_is_a_failure(engine: Engine) -> None:
    assert engine.error("f", "f/e/stops_error")["message"] == "enough"


def test_a_stop_in_a_branch_ends_the_flow(engine: Engine) -> None:
    assert engine.result("f", "f/e/stop_in_branch", {"stop": True}) == 1


def test_a_stop_in_a_subflow_ends_only_that(engine: Engine) -> None:
    assert engine.result("f", "f/e/stop_in_subflow") == "went on"


def test_a_stop_in_one_of_all_branches_ends_the_flow(engine: Engine) -> None:
    assert engine.result("f", "f/e/stop_in_branch_of_all") == 1


def test_skip_expr_skips_the_whole_flow(engine: Engine) -> None:
    assert engine.call("f", "f/e/skip_expr", {"skip": True}).json() == "stopped early"
    assert engine.result("f", "f/e/skip_expr", {"skip": False}) == 1


def test_a_skipped_step_passes_the_result_before_it_on(engine: Engine) -> None:
    assert engine.result("f", "f/e/skip_if", {"skip": True}) == {"b": 1, "previous": 1}
    assert engine.result("f", "f/e/skip_if", {"skip": False}) == {"b": 2, "previous": 2}


def test_identity_passes_on(engine: Engine) -> None:
    assert engine.result("f", "f/e/identity") == 1


def test_a_mock_stands_in_while_it_is_enabled(engine: Engine) -> None:
    assert engine.result("f", "f/e/mock") == 1
    assert engine.result("f", "f/e/mock_off") == 5


def test_a_loop_collects_its_last_results(engine: Engine) -> None:
    assert engine.result("f", "f/l/loop", {"items": [1, 2, 3]}) == [[2, 5, 8], 8, [2, 5, 8]]


@pytest.mark.parametrize("name", ["simple", "parallel"])
def test_a_loop_over_nothing_gives_an_empty_list(engine: Engine, name: str) -> None:
    assert engine.result("f", f"f/l/{name}", {"items": []}) == []


def test_a_parallel_loop_keeps_the_order_of_its_items(engine: Engine) -> None:
    assert engine.result("f", "f/l/parallel", {"items": [0, 1, 2, 3, 4]}) == [0, 1, 2, 3, 4]


def test_parallelism_bounds_how_many_run_at_once(engine: Engine) -> None:
    spans = engine.result("f", "f/l/parallelism", {"items": list(range(6))})
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) == 2


def test_an_inner_loop_sees_the_item_of_the_outer(engine: Engine) -> None:
    assert engine.result("f", "f/l/nested") == [["1a00", "1b01"], ["2a10", "2b11"]]


def test_parallel_loops_nest(engine: Engine) -> None:
    assert engine.result("f", "f/l/nested_parallel") == [["1a", "1b"], ["2a", "2b"], ["3a", "3b"]]


def test_a_loop_over_no_list_fails(engine: Engine) -> None:
    assert "Expected a list" in engine.error("f", "f/l/no_list", {"items": 5})["message"]


def test_a_failure_ends_a_loop(engine: Engine) -> None:
    answer = engine.call("f", "f/l/fails")
    assert answer.status_code == 422
    assert [type(item).__name__ for item in answer.json()] == ["int", "dict"]


def test_skip_failures_goes_on(engine: Engine) -> None:
    first, second, third = engine.result("f", "f/l/skips_failures")
    assert (first, second["error"]["name"], third) == (1, "ZeroDivisionError", -1)


def test_a_parallel_loop_fails_when_all_are_done(engine: Engine) -> None:
    answer = engine.call("f", "f/l/parallel_fails")
    assert (answer.status_code, len(answer.json())) == (422, 3)


def test_a_stop_in_a_loop_breaks_it(engine: Engine) -> None:
    assert engine.result("f", "f/l/break") == [10, 2]


def test_a_loops_own_stop_breaks_it_after_an_iteration(engine: Engine) -> None:
    assert engine.result("f", "f/l/break_loop") == [1, 2, 3]


def test_a_loops_stop_sees_all_iterations(engine: Engine) -> None:
    assert engine.result("f", "f/l/all_iters") == [1, 2]


def test_stop_after_all_iters_ends_the_flow(engine: Engine) -> None:
    assert engine.result("f", "f/l/stop_after_all") == [1, 2]


def test_skip_if_works_in_a_loop(engine: Engine) -> None:
    assert engine.result("f", "f/l/skip_in_loop") == [1, "even", 3]


def test_a_while_loop_runs_until_it_is_stopped(engine: Engine) -> None:
    assert engine.result("f", "f/l/while") == [0, 1, 2, 3]


def test_a_while_loop_of_one_script_sees_the_result_of_its_last_round(engine: Engine) -> None:
    assert engine.result("f", "f/l/while_simple") == [101, 102, 103]


def test_a_failure_ends_a_while_loop_with_its_error(engine: Engine) -> None:
    assert engine.error("f", "f/l/while_fails")["message"] == "broken"


@pytest.mark.parametrize("name", ["endless", "endless_identity", "calls_itself"])
def test_what_never_ends_can_be_cancelled(engine: Engine, name: str) -> None:
    job_id = engine.queue("f", f"f/l/{name}")
    wait_until(lambda: len(engine.api("GET", "jobs/list", params={"parent_job": job_id}).json()) > 0)
    time.sleep(0.2)
    engine.api("POST", f"jobs_u/queue/cancel/{job_id}", json={"reason": "enough"})
    assert engine.finished(job_id)["canceled_reason"] == "enough"
    wait_until(lambda: not engine.api("GET", "jobs/queue/list", params={"script_path_start": "f/l/"}).json())


def test_the_first_step_of_an_iteration_has_the_input_as_previous_result(engine: Engine) -> None:
    seen = engine.result("f", "f/l/previous")[0]
    assert seen == {"previous": {"iter": {"index": 0, "value": 1}}, "before": "from before"}


def test_a_loop_without_steps_gives_an_empty_list(engine: Engine) -> None:
    assert engine.result("f", "f/l/empty_body") == []


def test_branches_work_in_loops(engine: Engine) -> None:
    assert engine.result("f", "f/l/branch_in_loop") == ["other", "two", "other"]


def test_failing_branches_fail_their_iteration_only(engine: Engine) -> None:
    for i, item in enumerate(engine.result("f", "f/l/failing_branches_in_loop")):
        assert item[0] == i + 1
        assert item[1]["error"]["message"] == "broken"


@pytest.mark.parametrize(("x", "expected"), [("one", 1), ("two", 2), ("three", 3)])
def test_the_first_branch_that_holds_is_taken(engine: Engine, x: str, expected: int) -> None:
    assert engine.result("f", "f/b/one", {"x": x}) == expected


def test_an_empty_branch_gives_an_empty_list(engine: Engine) -> None:
    assert engine.result("f", "f/b/empty_default", {"x": False}) == [[], []]
    assert engine.result("f", "f/b/empty_default", {"x": True}) == [1, 1]


def test_a_step_in_a_branch_can_be_named_from_outside(engine: Engine) -> None:
    assert engine.result("f", "f/b/inner_result") == "seen"


def test_all_branches_run(engine: Engine) -> None:
    assert engine.result("f", "f/b/all") == [1, 2]
    assert engine.result("f", "f/b/all_sequential") == [1, 2]


def test_a_branch_that_may_not_fail_fails_the_flow(engine: Engine) -> None:
    answer = engine.call("f", "f/b/all_fails")
    assert answer.status_code == 422
    assert answer.json()[1]["error"]["message"] == "broken"


def test_no_branches_give_an_empty_list(engine: Engine) -> None:
    assert engine.result("f", "f/b/all_empty") == []


def test_an_empty_one_of_all_branches_gives_the_input(engine: Engine) -> None:
    assert engine.result("f", "f/b/all_empty_branch", {"x": 1}) == [{"x": 1}, 1]


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
    assert (answer.status_code, answer.json()) == (422, [[2], 2, [2]])


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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sleep_before_loop", [1, 2]),
        ("sleep_before_loop_parallel", [3, 3]),
        ("sleep_before_branches", [3]),
        ("sleep_last", 7),
    ],
)
def test_a_step_can_be_followed_by_a_pause(engine: Engine, name: str, expected: object) -> None:
    job = engine.finished(engine.queue("f", f"f/w/{name}"))
    assert job["result"] == expected
    assert job["duration_ms"] >= 200


def test_a_pause_that_is_no_number_fails_the_flow(engine: Engine) -> None:
    assert engine.error("f", "f/w/bad_sleep")["message"]


@pytest.mark.parametrize("name", ["timeout", "timeout_of_script"])
def test_a_step_past_its_timeout_fails(engine: Engine, name: str) -> None:
    assert "longer than its 1 s" in engine.error("f", f"f/w/{name}")["message"]


def test_a_timeout_in_a_loop_is_one_of_its_failures(engine: Engine) -> None:
    first, second = engine.result("f", "f/w/timeout_in_loop")
    assert (first, second["error"]["name"]) == (0, "ExecutionErr")


def test_a_flow_without_a_route_skips_its_preprocessor(engine: Engine) -> None:
    assert engine.result("f", "f/p/preprocessed", {"x": 1}) == {"x": 1, "previous": {"x": 1}}
