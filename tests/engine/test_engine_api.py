"""The API of runs, values and tokens, as gateway, bootstrap and sweep use it."""

import threading
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest
from engines import TOKEN, Engine, Js, code, flow, give, subflow, wait_until

FILES = {
    "f/a/echo.py": "def main(x=None): return x",
    "f/a/fails.py": "def main(): raise ValueError('no')",
    "f/a/sleeps.py": "import time\ndef main(seconds=60): time.sleep(seconds)",
    "f/a/status.py": "def main(**answer): return answer",
    "f/a/values.py": "def main(a, b): return [a, b]",
    "f/a/wmill_client.py": """
import wmill
def main():
    wmill.set_state({"n": 1})
    return [wmill.get_variable("f/a/word"), wmill.get_resource("f/a/shop"), wmill.get_state()]
""",
    "f/a/ids.flow": flow(
        code(
            "a",
            """
import os
def main():
    return [os.environ[f"WM_{name}"] for name in ("FLOW_JOB_ID", "ROOT_FLOW_JOB_ID", "FLOW_STEP_ID", "JOB_ID")]
""",
        )
    ),
    "f/a/outer_ids.flow": flow(subflow("s", "f/a/ids")),
    "f/a/word.variable.yaml": {"value": "hello", "is_secret": True, "description": "a word"},
    "f/a/shop.resource.yaml": {"resource_type": "shop", "value": {"word": "$var:f/a/word", "n": 1}},
    "f/a/uses_shop.resource.yaml": {"resource_type": "shop", "value": {"shop": "$res:f/a/shop"}},
    "shop.resource-type.yaml": {"schema": {"type": "object"}, "description": "a shop"},
    "f/a/folder.meta.yaml": {"summary": "", "owners": []},
    "f/a/flow.flow": flow(give("a", 1)),
    "f/a/long.flow": flow(give("a", 1), code("b", "import time\ndef main(): time.sleep(60)"), give("c", 3)),
    "f/a/outer.flow": flow(subflow("a", "f/a/inner_flow"), give("b", 1)),
    "f/a/inner_flow.flow": flow(code("a", "import time\ndef main(): time.sleep(60)")),
    "f/a/values.flow": flow(
        code(
            "a",
            "def main(**seen): return seen",
            {
                "variable": Js("variable('f/a/word')"),
                "resource": Js("resource('f/a/shop').word"),
                "static": "$res:f/a/uses_shop",
                "inside": {"deep": ["$var:f/a/word"]},
            },
        )
    ),
    "f/a/missing_value.flow": flow(code("a", "def main(x): return x", {"x": "$var:f/a/nowhere"})),
}


def test_a_run_has_the_id_that_its_caller_chose(engine: Engine) -> None:
    job_id = str(uuid4())
    assert engine.queue("f", "f/a/flow", job_id=job_id) == job_id
    assert engine.finished(job_id)["result"] == 1


@pytest.mark.parametrize("wait", [False, True])
def test_an_id_that_is_taken_is_refused_also_when_its_run_is_done(engine: Engine, wait: bool) -> None:
    job_id = engine.queue("f", "f/a/flow", job_id=str(uuid4()))
    if wait:
        engine.finished(job_id)
    for path in ("jobs/run/f/f/a/flow", "jobs/run_wait_result/f/f/a/flow", "jobs/run/p/f/a/echo"):
        answer = engine.api("POST", path, json={}, params={"job_id": job_id})
        assert (answer.status_code, answer.text) == (400, f"Bad request: Job with id {job_id} already exists")


def test_of_many_callers_with_one_id_one_gets_it(engine: Engine) -> None:
    job_id = str(uuid4())
    statuses: list[int] = []

    def start() -> None:
        answer = engine.api("POST", "jobs/run/f/f/a/flow", json={}, params={"job_id": job_id})
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [400] * 7


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("jobs/run/f/f/a/nowhere", 404, "Not found: flow not found at name f/a/nowhere"),
        ("jobs/run/p/f/a/nowhere", 404, "Not found: script not found at name f/a/nowhere"),
        ("jobs/run/x/f/a/flow", 404, None),
        ("jobs/run/f/f/a/flow?job_id=nonsense", 400, None),
        ("jobs/run/f/f/a/flow?scheduled_in_secs=soon", 400, None),
        ("jobs/run/f/f/a/flow?scheduled_in_secs=1e300", 400, None),
        ("jobs/run/f/f/a/flow?scheduled_in_secs=1e10", 400, None),
        ("jobs/run/f/f/a/flow?scheduled_for=9999-12-31T23:59:59-14:00", 400, None),
        ("jobs/run/f/f/a/flow?scheduled_for=0001-01-01T00:00:00Z", 400, None),
    ],
)
def test_what_cannot_be_run_is_refused(engine: Engine, path: str, status: int, text: str | None) -> None:
    answer = engine.api("POST", path, json={})
    assert answer.status_code == status
    assert text is None or answer.text == text


@pytest.mark.parametrize(
    "body", [b"{", b'{"x": NaN}', b"\xff", b'{"x": "a\\u0000b"}', b'{"x": "\\ud800"}', b"[" * 200_000]
)
def test_a_body_that_cannot_be_read_or_kept_is_refused(engine: Engine, body: bytes) -> None:
    answer = engine.api("POST", "jobs/run/p/f/a/echo", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text


def test_a_body_that_is_too_large_is_refused(engine: Engine) -> None:
    answer = engine.api("POST", "jobs/run/p/f/a/echo", content=b" " * (65 << 20))
    assert answer.status_code == 413


def test_a_run_can_be_started_later(engine: Engine) -> None:
    engine.queue("p", "f/a/echo", {"x": 1}, scheduled_for="2190-01-01T00:00:00Z")
    job_id = engine.queue("p", "f/a/echo", {"x": 1}, scheduled_in_secs=0.5)
    assert engine.job(job_id)["running"] is False
    start = time.monotonic()
    engine.finished(job_id)
    assert time.monotonic() - start > 0.3


def test_a_failure_is_422_with_the_error(engine: Engine) -> None:
    answer = engine.call("p", "f/a/fails")
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "no")


def test_a_script_chooses_its_answer(engine: Engine) -> None:
    chosen = {
        "windmill_status_code": 418,
        "windmill_headers": {"X-Made-By": "tea"},
        "windmill_content_type": "text/tea",
        "result": "pot",
    }
    answer = engine.call("p", "f/a/status", chosen)
    assert (answer.status_code, answer.headers["x-made-by"], answer.headers["content-type"], answer.text) == (
        418,
        "tea",
        "text/tea",
        "pot",
    )


@pytest.mark.parametrize(
    "chosen",
    [
        {"windmill_status_code": "many", "result": 1},
        {"windmill_status_code": 99999, "result": 1},
        {"windmill_headers": "none", "result": 1},
        {"windmill_headers": {"a\nb": "c\r\nd: e"}, "result": 1},
        {"windmill_headers": {"x": "日本"}, "result": 1},
        {"windmill_content_type": "日本", "result": 1},
    ],
)
def test_an_answer_that_http_does_not_know_is_an_error_of_the_script(engine: Engine, chosen: dict[str, Any]) -> None:
    answer = engine.call("p", "f/a/status", chosen)
    assert (answer.status_code, answer.text[:9]) == (500, "Internal:")


def test_a_caller_that_hangs_up_cancels_its_run(engine: Engine) -> None:
    job_id = str(uuid4())
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{engine.url}/api/w/local/jobs/run_wait_result/f/f/a/long",
            params={"job_id": job_id}, headers={"authorization": f"Bearer {TOKEN}"}, json={}, timeout=0.5,
        )  # fmt: skip
    job = engine.finished(job_id, 5)
    assert (job["success"], job["canceled"], job["canceled_reason"]) == (False, True, "the caller hung up")


def test_a_cancelled_flow_ends_with_its_steps(engine: Engine) -> None:
    job_id = engine.queue("f", "f/a/outer")
    wait_until(lambda: len(running_steps(engine, job_id)) == 1)
    inner = running_steps(engine, job_id)[0]
    wait_until(lambda: running_steps(engine, inner))
    assert engine.api("POST", f"jobs_u/queue/cancel/{job_id}", json={"reason": "enough"}).status_code == 200
    assert engine.finished(job_id)["result"]["error"]["name"] == "Canceled"
    assert engine.finished(inner)["canceled"] is True


def test_a_cancelled_step_fails_its_flow(engine: Engine) -> None:
    job_id = engine.queue("f", "f/a/long")
    # The first step ends by itself.
    wait_until(lambda: engine.job(job_id).get("flow_status", {}).get("step") == 1 and running_steps(engine, job_id))
    engine.api("POST", f"jobs_u/queue/cancel/{running_steps(engine, job_id)[0]}", json={})
    assert engine.finished(job_id)["success"] is False


def test_cancelling_what_is_done_or_unknown(engine: Engine) -> None:
    job_id = engine.queue("f", "f/a/flow")
    engine.finished(job_id)
    assert engine.api("POST", f"jobs_u/queue/cancel/{job_id}", json={}).status_code == 200
    assert engine.job(job_id)["canceled"] is False
    assert engine.api("POST", f"jobs_u/queue/cancel/{uuid4()}", json={}).status_code == 404


def running_steps(engine: Engine, job_id: str) -> list[str]:
    rows = engine.api("GET", "jobs/list", params={"parent_job": job_id}).json()
    return [row["id"] for row in rows if row["type"] == "QueuedJob" and row["running"]]


def test_runs_can_be_listed_by_path_success_and_time(engine: Engine) -> None:
    failed, good = engine.queue("p", "f/a/fails"), engine.queue("p", "f/a/echo")
    engine.finished(failed), engine.finished(good)
    query = {"script_path_exact": "f/a/fails", "success": "false", "per_page": 100}
    listed = engine.api("GET", "jobs/completed/list", params=query).json()
    assert failed in [row["id"] for row in listed]
    assert {row["script_path"] for row in listed} == {"f/a/fails"}
    later = engine.api(
        "GET", "jobs/completed/list", params={**query, "created_after": engine.job(failed)["created_at"]}
    ).json()
    assert failed not in [row["id"] for row in later]


@pytest.mark.parametrize(
    "query", ["per_page=-5", "per_page=x", "page=-1", "parent_job=x", "created_after=x", "script_path_exact=%00"]
)
def test_a_list_bears_any_filter(engine: Engine, query: str) -> None:
    assert engine.api("GET", f"jobs/list?{query}").status_code in (200, 400)


def test_a_step_knows_its_job_its_flow_and_the_outermost(engine: Engine) -> None:
    job_id = engine.queue("f", "f/a/outer_ids")
    flow_id, root_id, step, own_id = engine.finished(job_id)["result"]
    assert (root_id, step) == (job_id, "a")
    assert engine.job(own_id)["parent_job"] == flow_id
    assert engine.job(flow_id)["parent_job"] == job_id


def test_expressions_and_arguments_name_variables_and_resources(engine: Engine) -> None:
    assert engine.result("f", "f/a/values") == {
        "variable": "hello",
        "resource": "hello",
        "static": {"shop": {"word": "hello", "n": 1}},
        "inside": {"deep": ["hello"]},
    }


def test_arguments_of_a_script_name_variables_and_are_kept_as_names(engine: Engine) -> None:
    job_id = engine.queue("p", "f/a/values", {"a": "$var:f/a/word", "b": ["$res:f/a/shop"]})
    job = engine.finished(job_id)
    assert job["result"] == ["hello", [{"word": "hello", "n": 1}]]
    assert job["args"] == {"a": "$var:f/a/word", "b": ["$res:f/a/shop"]}


def test_a_value_that_is_missing_fails_the_step_by_name(engine: Engine) -> None:
    assert "f/a/nowhere" in engine.error("f", "f/a/missing_value")["message"]


def test_the_client_library_reaches_the_engine(engine: Engine) -> None:
    assert engine.result("p", "f/a/wmill_client") == ["hello", {"word": "hello", "n": 1}, {"n": 1}]


def test_variables_are_made_changed_and_deleted(engine: Engine) -> None:
    body = {"path": "f/a/made", "value": "1", "is_secret": True, "description": "d"}
    assert engine.api("GET", "variables/exists/f/a/made").json() is False
    assert engine.api("POST", "variables/create", json=body).status_code == 201
    assert engine.api("POST", "variables/create", json=body).status_code == 400
    assert engine.api("POST", "variables/update/f/a/made", json={"value": "2"}).status_code == 200
    assert engine.api("GET", "variables/get_value/f/a/made").json() == "2"
    assert [row["value"] for row in engine.api("GET", "variables/list").json() if row["path"] == "f/a/made"] == [None]
    assert engine.api("DELETE", "variables/delete/f/a/made").status_code == 200
    assert engine.api("GET", "variables/get_value/f/a/made").status_code == 404


def test_deleting_a_resource_deletes_the_variables_that_it_names(engine: Engine) -> None:
    engine.api("POST", "variables/create", json={"path": "f/a/secret", "value": "x", "is_secret": True})
    body = {"path": "f/a/r", "resource_type": "shop", "value": {"deep": {"s": "$var:f/a/secret"}}}
    assert engine.api("POST", "resources/create", json=body).status_code == 201
    assert engine.api("GET", "resources/get_value_interpolated/f/a/r").json() == {"deep": {"s": "x"}}
    assert engine.api("GET", "resources/get_value/f/a/r").json() == {"deep": {"s": "$var:f/a/secret"}}
    assert engine.api("DELETE", "resources/delete/f/a/r").status_code == 200
    assert engine.api("GET", "variables/exists/f/a/secret").json() is False


def test_resources_that_name_each_other_in_a_circle_are_an_error(engine: Engine) -> None:
    for name, other in (("c1", "c2"), ("c2", "c1")):
        body = {"path": f"f/a/{name}", "resource_type": "shop", "value": {"to": f"$res:f/a/{other}"}}
        engine.api("POST", "resources/create", json=body)
    assert engine.api("GET", "resources/get_value_interpolated/f/a/c1").status_code == 404


def test_types_and_folders_are_made_as_bootstrap_does(engine: Engine) -> None:
    kind = {"name": "made_type", "schema": {"type": "object"}, "description": "d"}
    assert engine.api("GET", "resources/type/exists/made_type").json() is False
    assert engine.api("POST", "resources/type/create", json=kind).status_code == 201
    assert engine.api("POST", "resources/type/update/made_type", json={"description": "e"}).status_code == 200
    assert engine.api("GET", "resources/type/get/made_type").json()["description"] == "e"
    assert engine.api("GET", "folders/exists/made").json() is False
    assert engine.api("POST", "folders/create", json={"name": "made"}).status_code == 200
    assert engine.api("GET", "folders/exists/made").json() is True


def test_files_bring_their_values_types_and_folders(engine: Engine) -> None:
    assert engine.api("GET", "resources/type/get/shop").json()["description"] == "a shop"
    assert engine.api("GET", "folders/exists/a").json() is True
    assert engine.api("GET", "variables/get/f/a/word").json()["is_secret"] is True


@pytest.mark.parametrize("path", ["/api/w/local/users/whoami", "/api/users/whoami"])
def test_whoami_tells_the_owner_of_the_token(engine: Engine, path: str) -> None:
    assert engine.api("GET", path).json()["username"] == "admin"


def test_without_a_good_token_nothing_is_answered(engine: Engine) -> None:
    for token in (None, "nonsense", "日本"):
        for method, path in (
            ("GET", "users/whoami"),
            ("POST", "jobs/run/f/f/a/flow"),
            ("GET", "variables/get_value/f/a/word"),
        ):
            headers = {"authorization": f"Bearer {token}".encode()} if token else {}
            assert engine.api(method, path, token=None, headers=headers).status_code == 401


def test_another_workspace_is_not_there(engine: Engine) -> None:
    assert engine.api("POST", "/api/w/other/jobs/run/f/f/a/flow", json={}).status_code == 404


@pytest.fixture
def limited(engine: Engine) -> str:
    body = {"label": "gateway", "scopes": ["jobs:run:flows:f/a/flow"], "workspace_id": "local"}
    return engine.api("POST", "/api/users/tokens/create", json=body).text


def test_a_limited_token_runs_what_it_names_and_reads_the_run(engine: Engine, limited: str) -> None:
    answer = engine.api("POST", "jobs/run/f/f/a/flow", token=limited, json={})
    assert answer.status_code == 201
    assert engine.api("GET", f"jobs_u/get/{answer.text}", token=limited).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "jobs/run/f/f/a/flow2"),
        ("POST", "jobs/run/f/f/a/long"),
        ("POST", "jobs/run_wait_result/f/f/a/long"),
        ("POST", "jobs/run/p/f/a/flow"),
        ("POST", "jobs/run/p/f/a/echo"),
        ("POST", "jobs_u/queue/cancel/00000000-0000-4000-8000-000000000000"),
        ("GET", "variables/get_value/f/a/word"),
        ("GET", "variables/list"),
        ("POST", "variables/create"),
        ("GET", "resources/get_value_interpolated/f/a/shop"),
        ("DELETE", "resources/delete/f/a/shop"),
        ("POST", "/api/users/tokens/create"),
        ("POST", "folders/create"),
    ],
)
def test_a_limited_token_does_nothing_else(engine: Engine, limited: str, method: str, path: str) -> None:
    assert engine.api(method, path, token=limited).status_code == 403


def test_a_token_of_another_workspace_or_one_that_has_expired_is_no_token(engine: Engine) -> None:
    for more in ({"workspace_id": "other"}, {"expiration": "2020-01-01T00:00:00Z"}):
        made = engine.api("POST", "/api/users/tokens/create", json={"label": "x", **more}).text
        assert engine.api("GET", "users/whoami", token=made).status_code == 401
