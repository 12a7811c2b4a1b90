"""Checks the definition of a flow and fills in Windmill's defaults, so that the rest can rely on its shape."""

import re
from typing import Any


class DefinitionError(ValueError):
    """Something in a definition that the engine does not support; the message names the key."""


#: What is accepted because leaving it out changes nothing on one machine.
HARMLESS = {
    "summary", "tag", "tag_override", "priority", "same_worker", "concurrent_limit", "concurrency_time_window_s",
    "concurrency_key", "custom_concurrency_key", "ws_error_handler_muted", "visible_to_runner_only", "dedicated_worker",
    "preserve_step_tags", "is_trigger", "assets", "hash", "squash", "notes", "groups",
}  # fmt: skip
DOCUMENT_KEYS = {"value", "summary", "description", "schema", "path"}
FLOW_KEYS = {"modules", "failure_module", "preprocessor_module", "skip_expr", "flow_env"}
MODULE_KEYS = {
    "id", "value", "stop_after_if", "stop_after_all_iters_if", "suspend", "mock", "retry", "sleep", "timeout",
    "continue_on_error", "skip_if", "pass_flow_input_directly",
}  # fmt: skip
VALUE_KEYS = {
    "script": {"path", "input_transforms", "pass_flow_input_directly"},
    "rawscript": {"content", "language", "lock", "path", "input_transforms"},
    "flow": {"path", "input_transforms", "pass_flow_input_directly"},
    "forloopflow": {"iterator", "modules", "skip_failures", "parallel", "parallelism"},
    "whileloopflow": {"modules", "skip_failures"},
    "branchone": {"branches", "default"},
    "branchall": {"branches", "parallel"},
    "identity": set[str](),
}
REQUIRED = {
    "script": {"path"},
    "rawscript": {"content", "language"},
    "flow": {"path"},
    "forloopflow": {"iterator", "modules"},
    "whileloopflow": {"modules"},
    "branchone": {"branches", "default"},
    "branchall": {"branches"},
    "identity": set[str](),
}
SUSPEND_KEYS = {
    "required_events", "timeout", "resume_form", "hide_cancel", "continue_on_disapprove_timeout",
}  # fmt: skip
#: What is of one type alone, wherever it stands: Windmill refuses another when the flow is saved.
TYPES: dict[str, type] = {
    "path": str, "content": str, "language": str, "expr": str, "skip_expr": str, "flow_env": dict, "lock": str,
    "skip_failures": bool, "skip_failure": bool, "parallel": bool, "continue_on_error": bool,
    "pass_flow_input_directly": bool,
}  # fmt: skip
TYPE_NAMES = {str: "string", bool: "boolean", dict: "object"}
#: No number of seconds or repetitions that is meant is larger: it would not fit a date.
MOST_COUNT = 10**10
#: Ids are parts of keys and of expressions; these two stand for modules that are in no list.
ID = re.compile(r"[A-Za-z0-9_-]+")
RESERVED = ("failure", "preprocessor")


def check_flow(document: Any) -> dict[str, Any]:
    """The flow of the mapping in a `flow.yaml`, with defaults filled in. Raises DefinitionError."""
    where = "value"
    _known(_mapping(document, "flow"), DOCUMENT_KEYS, "flow")
    flow = _mapping(document.get("value"), where)
    _known(flow, FLOW_KEYS, where)
    checked = dict(flow)
    checked["modules"] = _modules(flow.get("modules", []), f"{where}.modules")
    for name in ("failure_module", "preprocessor_module"):
        if flow.get(name) is not None:
            default = name.removesuffix("_module")
            module = {"id": default, **_mapping(flow[name], f"{where}.{name}")}
            checked[name] = _module(module, f"{where}.{name}", apart=True)
    return checked


def _modules(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise DefinitionError(f"{where}: a list of modules is expected")
    modules = [_module(module, f"{where}[{i}]") for i, module in enumerate(value)]
    ids = [module["id"] for module in modules]
    for i, name in enumerate(ids):
        if name in ids[:i]:
            raise DefinitionError(f"{where}[{i}].id: {name!r} is used twice")
    if modules and (modules[-1].get("sleep") is not None or modules[-1].get("suspend") is not None):
        # What follows a step happens before the next one: so there must be one.
        modules.append({"id": f"{ids[-1]}-v", "value": {"type": "identity"}})
    return modules


def _module(value: Any, where: str, *, apart: bool = False) -> dict[str, Any]:
    """A step; `apart` from the list of steps are failure module and preprocessor."""
    module = dict(_mapping(value, where))
    if not isinstance(module.get("id"), str) or not ID.fullmatch(module["id"]):
        raise DefinitionError(f"{where}.id: a module needs an id of letters, digits, - and _")
    if not apart and module["id"] in RESERVED:
        raise DefinitionError(f"{where}.id: {module['id']!r} has a meaning of its own")
    where = f"{where} ({module['id']})"
    _known(module, MODULE_KEYS, where)
    module["value"] = _value(module.get("value"), f"{where}.value")
    for name in ("stop_after_if", "stop_after_all_iters_if", "skip_if"):
        if module.get(name) is not None:
            _predicate(module[name], f"{where}.{name}")
    for name in ("sleep", "timeout"):
        if module.get(name) is not None:
            module[name] = _transform(module[name], f"{where}.{name}", bare=name == "timeout")
            _number(module[name], f"{where}.{name}")
    if module.get("retry") is not None:
        _retry(module["retry"], f"{where}.retry")
    if module.get("suspend") is not None:
        suspend = _mapping(module["suspend"], f"{where}.suspend")
        _known(suspend, SUSPEND_KEYS, f"{where}.suspend")
        for name in ("required_events", "timeout"):
            _number({"type": "static", "value": suspend.get(name, 0)}, f"{where}.suspend.{name}")
    if module.get("mock") is not None:
        _known(_mapping(module["mock"], f"{where}.mock"), {"enabled", "return_value"}, f"{where}.mock")
    if apart:
        if module["value"]["type"] not in ("script", "rawscript", "flow"):
            raise DefinitionError(f"{where}.value.type: must be script, rawscript or flow here")
        for name in ("skip_if", "mock"):
            if module.get(name):
                raise DefinitionError(f"{where}.{name}: is not supported here")
    return module


def _value(value: Any, where: str) -> dict[str, Any]:
    checked = dict(_mapping(value, where))
    kind = checked.get("type")
    if not isinstance(kind, str) or kind not in VALUE_KEYS:
        raise DefinitionError(f"{where}.type: {kind!r} is not supported; known are {', '.join(VALUE_KEYS)}")
    _known(checked, VALUE_KEYS[kind] | {"type"}, where)
    for name in REQUIRED[kind]:
        if name not in checked:
            raise DefinitionError(f"{where}.{name}: is missing")
    if kind == "rawscript" and checked["language"] != "python3":
        raise DefinitionError(f"{where}.language: {checked['language']!r} is not supported; only python3 is")
    if kind in ("script", "rawscript", "flow"):
        transforms = _mapping(checked.get("input_transforms") or {}, f"{where}.input_transforms")
        checked["input_transforms"] = {
            name: _transform(transform, f"{where}.input_transforms.{name}") for name, transform in transforms.items()
        }
    if kind == "forloopflow":
        checked["iterator"] = _transform(checked["iterator"], f"{where}.iterator")
        checked.setdefault("parallel", False)
        if checked.get("parallelism") is not None:
            checked["parallelism"] = _transform(checked["parallelism"], f"{where}.parallelism", bare=True)
            _number(checked["parallelism"], f"{where}.parallelism", least=1)
    if kind in ("forloopflow", "whileloopflow"):
        checked.setdefault("skip_failures", kind == "forloopflow")
        checked["modules"] = _modules(checked["modules"], f"{where}.modules")
    if kind in ("branchone", "branchall"):
        if not isinstance(checked["branches"], list):
            raise DefinitionError(f"{where}.branches: a list of branches is expected")
        checked["branches"] = [
            _branch(branch, f"{where}.branches[{i}]") for i, branch in enumerate(checked["branches"])
        ]
    if kind == "branchone":
        checked["default"] = _modules(checked["default"], f"{where}.default")
    if kind == "branchall":
        checked.setdefault("parallel", True)
    return checked


def _branch(value: Any, where: str) -> dict[str, Any]:
    branch = {"expr": "", "skip_failure": True, **_mapping(value, where)}
    _known(branch, {"expr", "modules", "skip_failure", "parallel"}, where)
    branch["modules"] = _modules(branch.get("modules"), f"{where}.modules")
    return branch


def _transform(value: Any, where: str, *, bare: bool = False) -> dict[str, Any]:
    """An input transform; with `bare` a plain value may stand for a static one."""
    if bare and not isinstance(value, dict):
        return {"type": "static", "value": value}
    transform = _mapping(value, where)
    kind = transform.get("type")
    if kind == "static":
        return {"type": "static", "value": transform.get("value")}
    if kind == "javascript":
        return {"type": "javascript", "expr": str(transform.get("expr") or "")}
    raise DefinitionError(f"{where}.type: {kind!r} is not supported; known are static and javascript")


def _number(transform: dict[str, Any], where: str, least: int = 0) -> None:
    number = transform.get("value")
    if transform["type"] == "static" and number is not None and not is_count(number, least):
        raise DefinitionError(f"{where}: a number of at least {least} is expected, not {number!r}")


def _predicate(value: Any, where: str) -> None:
    predicate = _mapping(value, where)
    _known(predicate, {"expr", "skip_if_stopped", "error_message", "error_include_result"}, where)
    if not isinstance(predicate.get("expr"), str):
        raise DefinitionError(f"{where}.expr: an expression is expected")


def _retry(value: Any, where: str) -> None:
    retry = _mapping(value, where)
    _known(retry, {"constant", "exponential", "retry_if"}, where)
    for name in ("constant", "exponential"):
        numbers = _mapping(retry.get(name) or {}, f"{where}.{name}")
        _known(numbers, {"attempts", "seconds", "multiplier", "random_factor"}, f"{where}.{name}")
        for key, number in numbers.items():
            if number is not None and not (isinstance(number, int) and is_count(number)):
                raise DefinitionError(f"{where}.{name}.{key}: a whole number of at least 0 is expected")
    exponential = retry.get("exponential") or {}
    if exponential.get("attempts") and not exponential.get("seconds"):
        raise DefinitionError(f"{where}.exponential.seconds: must be greater than 0")
    if retry.get("retry_if") is not None:
        _predicate(retry["retry_if"], f"{where}.retry_if")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DefinitionError(f"{where}: a mapping is expected")
    return value


def _known(mapping: dict[str, Any], known: set[str], where: str) -> None:
    """Every key that says something must be known: ignoring one would run another flow than the one written."""
    for key, value in mapping.items():
        if key not in known and key not in HARMLESS and value not in (None, False):
            raise DefinitionError(f"{where}.{key}: is not supported by this engine")
        if value is not None and key in TYPES and not isinstance(value, TYPES[key]):
            raise DefinitionError(f"{where}.{key}: {value!r} is not of the type {TYPE_NAMES[TYPES[key]]}")


def is_count(value: Any, least: float = 0) -> bool:
    """Whether it is a number, as of seconds or repetitions, that is finite and not below `least`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= MOST_COUNT
