"""What a workspace may not hold: said at the start, with file and key."""

from pathlib import Path
from typing import Any

import pytest
from engines import Files, flow, give, write_files

from local.engine.workspace import WorkspaceError, load

OK = {"f/a/x.py": "def main(): return 1", "f/a/y.flow": flow(give("a", 1))}
STEP = {"type": "script", "path": "f/a/x", "input_transforms": {}}


def refused(root: Path, files: Files) -> str:
    write_files(root, {**OK, **files})
    with pytest.raises(WorkspaceError) as caught:
        load(root)
    return str(caught.value)


def with_flow(**value: Any) -> Files:
    return {"f/a/bad.flow": {"summary": "", "value": {"modules": [], **value}}}


def with_module(**module: Any) -> Files:
    return with_flow(modules=[{"id": "a", "value": STEP, **module}])


def with_value(**value: Any) -> Files:
    return with_module(value=value)


def with_trigger(name: str = "t", **keys: Any) -> Files:
    trigger = {
        "script_path": "f/a/x",
        "is_flow": False,
        "route_path": "x",
        "http_method": "post",
        "authentication_method": "none",
    }
    return {f"f/a/{name}.http_trigger.yaml": trigger | keys}


def with_schedule(**keys: Any) -> Files:
    schedule = {"schedule": "0 * * * * *", "timezone": "UTC", "script_path": "f/a/x", "is_flow": False}
    return {"f/a/s.schedule.yaml": schedule | keys}


FLOW = "f/a/bad__flow/flow.yaml: "


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"f/a/bad.flow": {"value": {"modules": []}, "on_failure": "x"}}, FLOW + "flow.on_failure"),
        ({"f/a/bad.flow": {"summary": "no value"}}, FLOW + "value"),
        ({"f/a/bad.flow": "[]"}, FLOW + "a mapping"),
        ({"f/a/bad.flow": "value: {modules: [}"}, FLOW + "not YAML"),
        ({"f/a/bad.flow": "value: {modules: []}\nvalue: {modules: []}"}, FLOW + "not YAML"),
        (with_flow(cache_ttl=60), FLOW + "value.cache_ttl"),
        (with_flow(modules={"a": 1}), FLOW + "value.modules"),
        (with_flow(modules=[{"value": STEP}]), FLOW + "value.modules[0].id"),
        (with_flow(modules=[{"id": "a", "value": STEP}] * 2), FLOW + "value.modules[1].id: 'a' is used twice"),
        (with_flow(modules=[{"id": "failure", "value": STEP}]), FLOW + "value.modules[0].id"),
        (with_flow(modules=[{"id": "a[0]", "value": STEP}]), FLOW + "value.modules[0].id"),
        (with_flow(failure_module={"value": {"type": "identity"}}), FLOW + "value.failure_module"),
        (with_flow(failure_module={"value": STEP, "skip_if": {"expr": "true"}}), FLOW + "value.failure_module"),
        (with_module(cache_ttl=60), FLOW + "value.modules[0] (a).cache_ttl"),
        (with_module(delete_after_use=True), FLOW + "value.modules[0] (a).delete_after_use"),
        (with_module(stop_after_if={"expression": "true"}), FLOW + "value.modules[0] (a).stop_after_if.expression"),
        (with_module(stop_after_if="true"), FLOW + "value.modules[0] (a).stop_after_if"),
        (with_module(retry={"linear": {}}), FLOW + "value.modules[0] (a).retry.linear"),
        (with_module(retry={"constant": {"attempts": "many"}}), FLOW + "value.modules[0] (a).retry.constant.attempts"),
        (with_module(retry={"exponential": {"attempts": 1}}), FLOW + "value.modules[0] (a).retry.exponential.seconds"),
        (with_module(timeout="soon"), FLOW + "value.modules[0] (a).timeout"),
        (with_module(sleep=3), FLOW + "value.modules[0] (a).sleep"),
        (with_module(suspend={"required_events": "one"}), FLOW + "value.modules[0] (a).suspend.required_events"),
        (
            with_module(suspend={"required_events": 1, "user_auth_required": True}),
            FLOW + "value.modules[0] (a).suspend.user_auth_required",
        ),
        (with_module(suspend={"until": 1}), FLOW + "value.modules[0] (a).suspend.until"),
        (with_value(type="aiagent"), FLOW + "value.modules[0] (a).value.type: 'aiagent'"),
        (
            with_value(type="rawscript", language="bun", content="x"),
            FLOW + "value.modules[0] (a).value.language: 'bun'",
        ),
        (with_value(type="rawscript", language="python3"), FLOW + "value.modules[0] (a).value.content"),
        (
            with_value(type="rawscript", language="python3", content="!inline nowhere.py"),
            FLOW + "content: there is no file",
        ),
        (
            with_value(type="rawscript", language="python3", content="!inline ../../../../etc/hostname"),
            FLOW + "content",
        ),
        (with_value(**STEP, hub=1), FLOW + "value.modules[0] (a).value.hub"),
        (
            with_value(type="script", path="f/a/x", input_transforms={"x": {"type": "ai"}}),
            FLOW + "value.modules[0] (a).value.input_transforms.x.type",
        ),
        (with_value(type="forloopflow", modules=[]), FLOW + "value.modules[0] (a).value.iterator"),
        (
            with_value(type="forloopflow", modules=[], iterator={"type": "static", "value": []}, parallelism=0),
            FLOW + "value.modules[0] (a).value.parallelism",
        ),
        (
            with_value(type="branchone", branches=[{"expr": "true"}], default=[]),
            FLOW + "value.modules[0] (a).value.branches[0].modules",
        ),
        (with_value(type=[1]), FLOW + "value.modules[0] (a).value.type: [1]"),
        (with_value(type="script", path=5), FLOW + "value.modules[0] (a).value.path: 5 is not of the type string"),
        (
            with_value(type="rawscript", language="python3", content="!inline /etc/hostname"),
            FLOW + "content: there is no file",
        ),
        (
            with_value(type="whileloopflow", modules=[], skip_failures="no"),
            FLOW + "value.modules[0] (a).value.skip_failures",
        ),
        (with_module(continue_on_error="false"), FLOW + "value.modules[0] (a).continue_on_error"),
        (with_module(sleep={"type": "static", "value": float("inf")}), FLOW + "value.modules[0] (a).sleep"),
        (with_flow(flow_env="x"), FLOW + "value.flow_env"),
        ({"f/a/bad.flow": "[" * 5000}, FLOW + "not YAML"),
        ({"f/a/bad.flow": f"value: {'1' * 5000}"}, FLOW + "not YAML"),
        ({"f/a/x.script.yaml": {"timeout": -5}}, "f/a/x.script.yaml: timeout"),
        (with_trigger(route_path=5), "f/a/t.http_trigger.yaml: route_path: 5"),
        (with_trigger(script_path=[1]), "f/a/t.http_trigger.yaml: script_path: [1]"),
        (with_schedule(args=[1]), "f/a/s.schedule.yaml: args: [1]"),
        (with_schedule(enabled="false"), "f/a/s.schedule.yaml: enabled: 'false'"),
        (with_value(type="branchall", branches=5), FLOW + "value.modules[0] (a).value.branches"),
        ({"f/a/y.ts": "export function main() {}"}, "f/a/y.ts: language ts is not supported"),
        ({"f/a/app__raw_app/x.yaml": {}}, "f/a/app__raw_app/x.yaml"),
        ({"f/a/z.txt": "?"}, "f/a/z.txt"),
        ({"f/a/x.script.yaml": {"kind": "trigger"}}, "f/a/x.script.yaml: kind: 'trigger'"),
        ({"f/a/x.script.yaml": {"cache_ttl": 60}}, "f/a/x.script.yaml: cache_ttl"),
        ({"f/a/x.script.yaml": {"timeout": "soon"}}, "f/a/x.script.yaml: timeout"),
        ({"f/a/x.script.yaml": {"lock": "!inline f/a/nowhere.lock"}}, "f/a/x.script.yaml: lock"),
        ({"f/a/k.kafka_trigger.yaml": {}}, "f/a/k.kafka_trigger.yaml: triggers of kind 'kafka'"),
        (
            with_trigger(script_path="f/a/nowhere"),
            "f/a/t.http_trigger.yaml: script_path: there is no script 'f/a/nowhere'",
        ),
        (
            with_trigger(script_path="f/a/nowhere", is_flow=True),
            "f/a/t.http_trigger.yaml: script_path: there is no flow",
        ),
        (with_trigger(http_method="trace"), "f/a/t.http_trigger.yaml: http_method: 'trace'"),
        (with_trigger(route_path="a//b"), "f/a/t.http_trigger.yaml: route_path: 'a//b'"),
        (
            with_trigger(route_path="a/:id/b") | with_trigger("u", route_path="a/:other/b", mode="disabled"),
            "f/a/u.http_trigger.yaml: route_path: f/a/t.http_trigger.yaml has the same route",
        ),
        (
            with_trigger(authentication_method="signature"),
            "f/a/t.http_trigger.yaml: authentication_method: 'signature'",
        ),
        (with_trigger(authentication_method="api_key"), "f/a/t.http_trigger.yaml: authentication_resource_path"),
        (with_trigger(request_type="sync_sse"), "f/a/t.http_trigger.yaml: request_type: 'sync_sse'"),
        (with_trigger(is_static_website=True), "f/a/t.http_trigger.yaml: is_static_website"),
        (with_schedule(schedule="every minute"), "f/a/s.schedule.yaml: schedule: 'every minute'"),
        (with_schedule(schedule="0 0 0 30 2 *"), "f/a/s.schedule.yaml: schedule: '0 0 0 30 2 *'"),
        (with_schedule(timezone="Mars/Base"), "f/a/s.schedule.yaml: timezone: 'Mars/Base'"),
        (with_schedule(timezone=5), "f/a/s.schedule.yaml: timezone: 5"),
        (with_schedule(script_path="f/a/nowhere"), "f/a/s.schedule.yaml: script_path: there is no script"),
        (with_schedule(on_failure="f/a/x"), "f/a/s.schedule.yaml: on_failure"),
        ({"f/a/v.variable.yaml": {"description": "?"}}, "f/a/v.variable.yaml: value"),
        ({"f/a/r.resource.yaml": {"value": 1}}, "f/a/r.resource.yaml: resource_type"),
    ],
)
def test_what_is_not_supported_is_refused_by_file_and_key(tmp_path: Path, files: Files, says: str) -> None:
    assert refused(tmp_path, files).startswith(says)


def test_a_script_that_is_no_text_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, OK)
    (tmp_path / "f/a/z.py").write_bytes(b"\xff\xfe")
    with pytest.raises(WorkspaceError, match=r"f/a/z\.py"):
        load(tmp_path)


def test_a_workspace_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no such folder"):
        load(tmp_path / "nowhere")


def test_yaml_is_read_by_its_core_schema(tmp_path: Path) -> None:
    values = "[yes, no, on, 012, 0x10, 1:30, 2026-05-01, 1.5, 1e3, null, ~, true, '']"
    module = f"{{type: script, path: f/a/x, input_transforms: {{x: {{type: static, value: {values}}}}}}}"
    text = f"value:\n  modules:\n    - id: a\n      value: {module}\n"
    write_files(tmp_path, {**OK, "f/a/z.flow": text})
    seen = load(tmp_path).flows["f/a/z"].value["modules"][0]["value"]["input_transforms"]["x"]["value"]
    assert seen == ["yes", "no", "on", 12, 16, "1:30", "2026-05-01", 1.5, 1000.0, None, None, True, ""]


def test_what_lies_beside_the_workspaces_spaces_is_left_alone(tmp_path: Path) -> None:
    write_files(tmp_path, {**OK, "gateway/x.ts": "?", "f/a/.hidden": "?", "f/a/__pycache__/x.pyc": "?"})
    assert set(load(tmp_path).scripts) == {"f/a/x"}
