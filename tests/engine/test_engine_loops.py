"""Loops of flows: each item, in turn or at once, and as long as nothing stops them. Windmill's rules."""

import time

import pytest
from engines import Engine, Js, branch_all, branch_one, code, each, fail, flow, give, stops, subflow, wait_until

SEES = "def main(**seen): return seen"


FILES = {
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
                give("a", Js("flow_input.iter.value"), **stops("stop_after_if", when="result == 2")),
                give("b", Js("results.a * 10")),
            ],
        ),
        give("after", Js("results.l")),
    ),
    "f/l/break_loop.flow": flow(
        each("l", [1, 2, 3, 4], [give("a", Js("flow_input.iter.value"))], stops("stop_after_if", when="result == 3")),
        give("after", Js("results.l")),
    ),
    "f/l/stop_after_all.flow": flow(
        each(
            "l",
            [1, 2],
            [give("a", Js("flow_input.iter.value"))],
            stops("stop_after_all_iters_if", when="result.length == 2"),
        ),
        give("after", 9),
    ),
    "f/l/all_iters.flow": flow(
        each(
            "l",
            [1, 2, 3, 4],
            [give("a", Js("flow_input.iter.value"))],
            stops("stop_after_if", when="all_iters.length == 2"),
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
                "modules": [give("a", Js("flow_input.iter.index"), **stops("stop_after_if", when="result >= 3"))],
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
            **stops("stop_after_if", when="result >= 103"),
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
}


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
