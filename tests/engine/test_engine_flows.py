"""Flows: what a step sees, which branch comes next, where a flow ends, and what the run gives. Windmill's rules."""

import pytest
from engines import Engine, Js, branch_all, branch_one, code, each, fail, flow, give, script, stops, subflow

SEES = "def main(**seen): return seen"


FILES = {
    "f/s/echo.py": "def main(x=None): return x",
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
    "f/e/empty.flow": flow(),
    "f/e/stops.flow": flow(give("a", 1, **stops("stop_after_if", when="result == flow_input.stop_at")), give("b", 2)),
    "f/e/stops_skipped.flow": flow(give("a", 1, **stops("stop_after_if", when="true", skips=True)), give("b", 2)),
    "f/e/stops_error.flow": flow(give("a", 1, **stops("stop_after_if", when="true", message="enough")), give("b", 2)),
    "f/e/stop_in_branch.flow": flow(
        branch_one("c", {"flow_input.stop": [give("a", 1, **stops("stop_after_if", when="true")), give("b", 2)]}, []),
        give("after", 3),
    ),
    "f/e/stop_in_subflow.flow": flow(subflow("a", "f/e/stops", {"stop_at": 1}), give("b", "went on")),
    "f/e/stop_in_branch_of_all.flow": flow(
        branch_all("c", [give("a", 1, **stops("stop_after_if", when="true"))], [give("b", 2)], parallel=False),
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
    "f/p/preprocessed.flow": flow(
        code("a", SEES, {"x": Js("flow_input.x"), "previous": Js("previous_result")}),
        preprocessor_module=code("preprocessor", "def preprocessor(event): return {'x': event['body']['y'] + 1}"),
    ),
}


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
