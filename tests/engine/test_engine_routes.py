"""HTTP routes of the workspace."""

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from engines import TOKEN, Engine, Js, code, flow

from local.processes import free_port


def route(script: str, path: str, method: str = "post", **more: Any) -> dict[str, Any]:
    keys = {"script_path": script, "route_path": path, "http_method": method, "is_flow": False}
    return keys | {"authentication_method": "none", "request_type": "sync"} | more


FILES = {
    "f/r/args.py": "def main(**args): return args",
    "f/r/event.py": "def preprocessor(event): return {'event': event}\ndef main(event): return event",
    "f/r/fails.py": "def main(): raise ValueError('no')",
    "f/r/args_post.http_trigger.yaml": route("f/r/args", "args"),
    "f/r/args_get.http_trigger.yaml": route("f/r/args", "args", "get"),
    "f/r/raw.http_trigger.yaml": route("f/r/args", "raw", raw_string=True),
    "f/r/wrapped.http_trigger.yaml": route("f/r/args", "wrapped", wrap_body=True),
    "f/r/event.http_trigger.yaml": route("f/r/event", "shops/:shop/items/:item"),
    "f/r/special.http_trigger.yaml": route("f/r/args", "shops/special/items/:item"),
    "f/r/rest.http_trigger.yaml": route("f/r/event", "files/*path", "get"),
    "f/r/fails.http_trigger.yaml": route("f/r/fails", "fails", "get"),
    "f/r/async.http_trigger.yaml": route("f/r/args", "later", request_type="async"),
    "f/r/off.http_trigger.yaml": route("f/r/args", "off", mode="disabled"),
    "f/r/token.http_trigger.yaml": route("f/r/args", "token", authentication_method="windmill"),
    "f/r/key.http_trigger.yaml": route(
        "f/r/args", "key", authentication_method="api_key", authentication_resource_path="f/r/key"
    ),
    "f/r/key.resource.yaml": {
        "resource_type": "api_key_auth",
        "value": {"api_key_header": "x-key", "api_key_secret": "$var:f/r/word"},
    },
    "f/r/word.variable.yaml": {"value": "open sesame", "is_secret": True},
    "f/r/basic.http_trigger.yaml": route(
        "f/r/args", "basic", authentication_method="basic_http", authentication_resource_path="f/r/basic"
    ),
    "f/r/basic.resource.yaml": {"resource_type": "basic_http_auth", "value": {"username": "ann", "password": "wörd"}},
    "f/r/no_secret.http_trigger.yaml": route(
        "f/r/args", "no_secret", authentication_method="api_key", authentication_resource_path="f/r/no_secret"
    ),
    "f/r/no_secret.resource.yaml": {
        "resource_type": "api_key_auth",
        "value": {"api_key_header": "x-key", "api_key_secret": ""},
    },
    "f/r/spaced.http_trigger.yaml": route("f/r/args", "spaced", workspaced_route=True),
    "f/r/flow.http_trigger.yaml": route("f/r/flow", "flow", is_flow=True),
    "f/r/flow.flow": flow(
        code(
            "a",
            "def main(x, previous): return [x, previous]",
            {"x": Js("flow_input.x"), "previous": Js("previous_result")},
        ),
        preprocessor_module=code("preprocessor", "def preprocessor(event): return {'x': event['body']['y'] + 1}"),
    ),
    "f/r/bad_flow.http_trigger.yaml": route("f/r/bad_flow", "bad_flow", is_flow=True),
    "f/r/bad_flow.flow": flow(
        code("a", "def main(): return 1"),
        preprocessor_module=code("preprocessor", "def preprocessor(event): raise ValueError('bad event')"),
    ),
    "f/r/skip_flow.http_trigger.yaml": route("f/r/skip_flow", "skip_flow", is_flow=True),
    "f/r/skip_flow.flow": flow(
        code("a", "def main(): return 'ran'"),
        skip_expr="flow_input.skip",
        preprocessor_module=code(
            "preprocessor", "def preprocessor(event): return {'skip': event['body']['leave_out']}"
        ),
    ),
    "f/r/chatbots.http_trigger.yaml": route("f/r/event", "chatbots/:id/ask"),
}


def post(engine: Engine, path: str, method: str = "POST", **request: Any) -> httpx.Response:
    return engine.api(method, f"/api/r/{path}", token=None, **request)


def test_the_keys_of_a_json_body_are_arguments(engine: Engine) -> None:
    assert post(engine, "args?q=1", json={"a": 1, "b": "日本"}).json() == {"a": 1, "b": "日本"}


def test_a_body_that_is_no_object_is_one_argument(engine: Engine) -> None:
    assert post(engine, "args", json=[1, 2]).json() == {"body": [1, 2]}


def test_no_body_is_no_arguments(engine: Engine) -> None:
    assert post(engine, "args", "GET").json() == {}


def test_a_body_can_be_kept_as_it_came(engine: Engine) -> None:
    answer = post(engine, "raw", content=b'{"a":  1}', headers={"content-type": "application/json"})
    assert answer.json() == {"a": 1, "raw_string": '{"a":  1}'}


def test_a_body_can_be_wrapped(engine: Engine) -> None:
    assert post(engine, "wrapped", json={"a": 1}).json() == {"body": {"a": 1}}


def test_a_form_is_arguments(engine: Engine) -> None:
    assert post(engine, "args", data={"a": "1", "b": "x y", "c": ""}).json() == {"a": "1", "b": "x y", "c": ""}


def test_bytes_arrive_in_base64(engine: Engine) -> None:
    data = bytes(range(256)) * 1000
    answer = post(engine, "args", content=data, headers={"content-type": "application/pdf"})
    assert base64.b64decode(answer.json()["raw_string"]) == data


def test_bytes_that_are_utf8_arrive_as_text(engine: Engine) -> None:
    answer = post(engine, "args", content="# Año".encode(), headers={"content-type": "text/markdown"})
    assert answer.json()["raw_string"] == "# Año"


def test_a_preprocessor_sees_the_request(engine: Engine) -> None:
    event = post(engine, "shops/a%20b/items/7?q=1&r=x%20y", json={"n": 1}, headers={"x-more": "yes"}).json()
    assert event["params"] == {"shop": "a b", "item": "7"}
    assert event["query"] == {"q": "1", "r": "x y"}
    assert event["headers"]["x-more"] == "yes"
    assert (event["method"], event["route"], event["body"]) == ("post", "shops/:shop/items/:item", {"n": 1})


def test_of_two_routes_the_more_exact_one_answers(engine: Engine) -> None:
    assert post(engine, "shops/special/items/7", json={"n": 1}).json() == {"n": 1}


def test_a_wildcard_takes_the_rest_of_the_path(engine: Engine) -> None:
    assert post(engine, "files/a/b/c.txt", "GET").json()["params"] == {"path": "a/b/c.txt"}


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "nowhere"), ("DELETE", "args"), ("POST", "off"), ("POST", "args/")]
)
def test_what_no_route_fits_is_404(engine: Engine, method: str, path: str) -> None:
    assert post(engine, path, method).status_code == 404


def test_a_failure_is_422(engine: Engine) -> None:
    answer = post(engine, "fails", "GET")
    assert (answer.status_code, answer.json()["error"]["name"]) == (422, "ValueError")


def test_multipart_is_refused_with_what_to_do_instead(engine: Engine) -> None:
    answer = post(engine, "args", files={"file": b"x"})
    assert answer.status_code == 400
    assert "object storage" in answer.text


def test_an_asynchronous_route_answers_with_the_run(engine: Engine) -> None:
    answer = post(engine, "later", json={"a": 1})
    assert answer.status_code == 201
    assert engine.finished(answer.text)["result"] == {"a": 1}


def test_a_route_can_ask_for_a_token(engine: Engine) -> None:
    assert post(engine, "token", json={}).status_code == 401
    assert engine.api("POST", "/api/r/token", json={"a": 1}).json() == {"a": 1}


@pytest.mark.parametrize(("key", "status"), [("open sesame", 200), ("wrong", 401), ("", 401), (None, 401)])
def test_a_route_can_ask_for_a_key(engine: Engine, key: str | None, status: int) -> None:
    assert post(engine, "key", json={}, headers={} if key is None else {"x-key": key}).status_code == status


def test_a_key_that_is_empty_lets_nobody_in(engine: Engine) -> None:
    assert post(engine, "no_secret", json={}, headers={"x-key": ""}).status_code == 401


@pytest.mark.parametrize(("word", "status"), [("ann:wörd", 200), ("ann:word", 401), ("bob:wörd", 401), (":", 401)])
def test_a_route_can_ask_for_a_password(engine: Engine, word: str, status: int) -> None:
    headers = {"authorization": f"Basic {base64.b64encode(word.encode()).decode()}"}
    assert post(engine, "basic", json={}, headers=headers).status_code == status


def test_a_workspaced_route_begins_with_the_workspace(engine: Engine) -> None:
    assert post(engine, "local/spaced", json={"a": 1}).json() == {"a": 1}
    assert post(engine, "spaced", json={}).status_code == 404


def test_a_flow_with_a_preprocessor_gets_what_that_returns(engine: Engine) -> None:
    assert post(engine, "flow", json={"y": 1}).json() == [2, {"x": 2}]


def test_a_preprocessor_that_fails_fails_the_flow(engine: Engine) -> None:
    answer = post(engine, "bad_flow", json={})
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "bad event")


def test_skip_expr_sees_what_the_preprocessor_returned(engine: Engine) -> None:
    assert post(engine, "skip_flow", json={"leave_out": True}).json() == "stopped early"
    assert post(engine, "skip_flow", json={"leave_out": False}).json() == "ran"


def test_the_public_port_serves_the_tenants_api_and_nothing_else(make_engine: Callable[..., Engine]) -> None:
    port = free_port()
    make_engine(FILES, "--api-port", str(port))
    public = f"http://127.0.0.1:{port}"
    assert httpx.get(f"{public}/health").json() == {"status": "ok"}
    asked = httpx.post(f"{public}/api/chatbots/demo/ask", json={"q": "$var:f/a/secret"}).json()
    assert asked["params"] == {"id": "demo"}
    assert (asked["body"], json.loads(asked["raw_string"])) == ({}, {"q": "$var:f/a/secret"})
    headers = {"authorization": f"Bearer {TOKEN}"}
    for path in (
        "/api/version",
        "/api/w/local/users/whoami",
        "/api/w/local/jobs/list",
        "/api/r/args",
        "/api/chatbots/../w/local/jobs/list",
        "/",
    ):
        assert httpx.get(f"{public}{path}", headers=headers).status_code == 404
