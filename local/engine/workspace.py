"""Reads a Windmill workspace folder: scripts, flows, triggers, schedules, and the files of its values."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from cronsim import CronSim, CronSimError

from local.engine.definitions import TYPE_NAMES, DefinitionError, check_flow, is_count
from local.engine.yaml12 import read_yaml

#: What `wmill sync` looks at; nothing else in the repository belongs to the workspace.
SPACES = ("f", "u")
INLINE = "!inline "
OTHER_LANGUAGES = {
    ".ts",
    ".js",
    ".go",
    ".sh",
    ".sql",
    ".php",
    ".rs",
    ".cs",
    ".rb",
    ".java",
    ".ps1",
    ".gql",
    ".nu",
    ".yml",
}
ROUTE_PATH = re.compile(r"(\*[-\w]+$|:?[-\w]+)(/(\*[-\w]+$|:?[-\w]+))*$")
#: Keys of scripts', triggers' and schedules' files that change what happens, and the values that are supported.
SCRIPT_KEYS = {"summary", "description", "lock", "kind", "schema", "has_preprocessor", "timeout"}
TRIGGER_KEYS = {
    "script_path", "is_flow", "route_path", "http_method", "authentication_method", "authentication_resource_path",
    "request_type", "workspaced_route", "wrap_body", "raw_string", "mode", "enabled", "description", "summary",
}  # fmt: skip
SCHEDULE_KEYS = {
    "schedule", "timezone", "enabled", "script_path", "is_flow", "args", "no_flow_overlap", "summary", "description",
    "cron_version",
}  # fmt: skip
HARMLESS = {
    "tag", "priority", "ws_error_handler_muted", "visible_to_runner_only", "concurrent_limit", "concurrency_key",
    "concurrency_time_window_s", "dedicated_worker", "is_template", "labels", "on_behalf_of_email", "permissioned_as",
    "no_main_func", "auto_kind", "edited_by", "assets", "restart_unless_cancelled",
    # The route with all its parameters named `key`: Windmill makes it from route_path.
    "route_path_key",
}  # fmt: skip


class WorkspaceError(Exception):
    """The folder cannot be served; the message names file and key."""


@dataclass(frozen=True)
class Script:
    path: str
    content: str
    lock: str
    timeout: float | None = None
    has_preprocessor: bool = False
    has_main: bool = True


@dataclass(frozen=True)
class Flow:
    path: str
    value: dict[str, Any]


@dataclass(frozen=True)
class HttpTrigger:
    path: str
    route_path: str
    method: str
    target: str
    is_flow: bool
    authentication: str
    credentials: str | None
    is_async: bool
    workspaced: bool
    wrap_body: bool
    raw_string: bool


@dataclass(frozen=True)
class Schedule:
    path: str
    expression: str
    timezone: ZoneInfo
    enabled: bool
    target: str
    is_flow: bool
    args: dict[str, Any]
    no_overlap: bool


@dataclass
class Workspace:
    """All that a folder holds, by path."""

    scripts: dict[str, Script] = field(default_factory=dict)
    flows: dict[str, Flow] = field(default_factory=dict)
    triggers: list[HttpTrigger] = field(default_factory=list)
    #: The file of each route: by its method, whether its path begins with the workspace's name, and the path.
    routes: dict[tuple[str, bool, str], str] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    resource_types: dict[str, dict[str, Any]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)


def load(root: Path) -> Workspace:
    """Read and check the workspace folder `root`. Raises WorkspaceError for what it does not support."""
    if not root.is_dir():
        raise WorkspaceError(f"{root}: no such folder; --workspace names the folder that holds f/ and wmill.yaml")
    workspace = Workspace()
    for path in sorted(root.glob("*.resource-type.yaml")):
        workspace.resource_types[path.name.removesuffix(".resource-type.yaml")] = _read_yaml(root, path)
    for space in SPACES:
        for path in sorted((root / space).rglob("*")):
            hidden = any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(root).parts)
            if path.is_file() and not hidden:
                reader = _Reader(root, path, workspace)
                try:
                    reader.read()
                # Something of a type that nobody thought of: the file is named all the same.
                except (TypeError, ValueError, AttributeError, RecursionError, OSError) as error:
                    raise WorkspaceError(f"{reader.name}: {type(error).__name__}: {error}") from error
    known = workspace.scripts.keys(), workspace.flows.keys()
    for kind, items in (("http_trigger", workspace.triggers), ("schedule", workspace.schedules.values())):
        for item in items:
            if item.target not in known[item.is_flow]:
                what = "flow" if item.is_flow else "script"
                raise WorkspaceError(f"{item.path}.{kind}.yaml: script_path: there is no {what} {item.target!r}")
    return workspace


class _Reader:
    """Reads one file into `workspace`."""

    def __init__(self, root: Path, path: Path, workspace: Workspace) -> None:
        self.root = root
        self.path = path
        self.workspace = workspace
        self.name = path.relative_to(root).as_posix()

    def read(self) -> None:
        kinds = {
            ".http_trigger.yaml": self._trigger,
            ".schedule.yaml": self._schedule,
            ".variable.yaml": self._variable,
            ".resource.yaml": self._resource,
        }
        inside = next((part for part in self.path.relative_to(self.root).parts[:-1] if "__" in part), None)
        if inside and inside.endswith("__flow"):
            if self.path.name == "flow.yaml":
                self._flow()
            return
        if inside and not inside.startswith("__"):
            raise WorkspaceError(f"{self.name}: only flows are supported, not folders such as {inside}")
        if self.path.name == "folder.meta.yaml":
            self.workspace.folders.add(self.path.parent.name)
        elif self.path.suffix == ".py":
            self._script()
        elif self.path.suffix in OTHER_LANGUAGES:
            raise WorkspaceError(f"{self.name}: language {self.path.suffix[1:]} is not supported; only python3 is")
        elif match := re.search(r"\.(\w+)_trigger\.yaml$", self.name):
            if match[1] != "http":
                raise WorkspaceError(f"{self.name}: triggers of kind {match[1]!r} are not supported; only http is")
            self._trigger()
        else:
            for suffix, read in kinds.items():
                if self.name.endswith(suffix):
                    return read()
            if not self.name.endswith((".script.yaml", ".script.lock")):
                raise WorkspaceError(f"{self.name}: this kind of file is not supported")
        return None

    def _script(self) -> None:
        path = self.name.removesuffix(".py")
        metadata_file = self.root / f"{path}.script.yaml"
        metadata = _read_yaml(self.root, metadata_file) if metadata_file.exists() else {}
        self._check_keys(metadata, SCRIPT_KEYS, f"{path}.script.yaml")
        if metadata.get("kind", "script") != "script":
            raise WorkspaceError(f"{path}.script.yaml: kind: {metadata['kind']!r} is not supported; only script is")
        lock = str(metadata.get("lock") or "")
        if lock.startswith(INLINE):
            lock = self._inline(self.root, lock, f"{path}.script.yaml: lock")
        try:
            content = self.path.read_text()
        except UnicodeDecodeError as error:
            raise WorkspaceError(f"{self.name}: not UTF-8: {error}") from None
        timeout = metadata.get("timeout")
        if timeout is not None and not is_count(timeout):
            raise WorkspaceError(f"{path}.script.yaml: timeout: {timeout!r} is no number of seconds")
        self.workspace.scripts[path] = Script(
            path,
            content,
            lock.strip(),
            timeout or None,
            _defines(content, "preprocessor"),
            _defines(content, "main"),
        )

    def _flow(self) -> None:
        path = self.name.removesuffix("__flow/flow.yaml")
        document = _read_yaml(self.root, self.path)
        try:
            value = check_flow(self._inlined(document))
        except DefinitionError as error:
            raise WorkspaceError(f"{self.name}: {error}") from None
        self.workspace.flows[path] = Flow(path, value)

    def _inlined(self, node: Any) -> Any:
        """`node` with the files that its modules name in place of their names."""
        if isinstance(node, list):
            return [self._inlined(item) for item in node]
        if not isinstance(node, dict):
            return node
        copy = {key: self._inlined(value) for key, value in node.items()}
        if copy.get("type") == "rawscript":
            content = copy.get("content")
            if isinstance(content, str) and content.startswith(INLINE):
                copy["content"] = self._inline(self.path.parent, content, f"{self.name}: content")
                lock = self.path.parent / (content.removeprefix(INLINE).strip().rsplit(".", 1)[0] + ".lock")
                if "lock" not in copy and lock.exists():
                    copy["lock"] = lock.read_text()
            if str(copy.get("lock") or "").startswith(INLINE):
                copy["lock"] = self._inline(self.path.parent, copy["lock"], f"{self.name}: lock")
        return copy

    def _inline(self, folder: Path, reference: str, where: str) -> str:
        file = folder / reference.removeprefix(INLINE).strip()
        if not file.is_file() or not file.resolve().is_relative_to(self.root.resolve()):
            raise WorkspaceError(f"{where}: there is no file {reference.removeprefix(INLINE)} in this workspace")
        return file.read_text()

    def _trigger(self) -> None:
        given = _read_yaml(self.root, self.path)
        self._check_keys(given, TRIGGER_KEYS)
        for key in ("script_path", "route_path", "http_method"):
            if not given.get(key):
                raise WorkspaceError(f"{self.name}: {key}: is missing")
            self._check_type(given, key, str)
        if not ROUTE_PATH.match(given["route_path"]):
            raise WorkspaceError(f"{self.name}: route_path: {given['route_path']!r} is not a route")
        method = self._choice(given, "http_method", ("get", "post", "put", "delete", "patch"))
        # Windmill's own comparison: what parameters are called makes no difference, nor whether the trigger is enabled.
        route = method, bool(given.get("workspaced_route")), re.sub(r"([:*])[-\w]+", r"\1", given["route_path"])
        if (other := self.workspace.routes.setdefault(route, self.name)) != self.name:
            raise WorkspaceError(f"{self.name}: route_path: {other} has the same route")
        authentication = self._choice(given, "authentication_method", ("none", "windmill", "api_key", "basic_http"))
        request_type = self._choice(
            given, "request_type", ("sync", "async"), "async" if given.get("is_async") else "sync"
        )
        if authentication in ("api_key", "basic_http") and not given.get("authentication_resource_path"):
            raise WorkspaceError(f"{self.name}: authentication_resource_path: is needed for {authentication}")
        if (
            self._choice(given, "mode", ("enabled", "disabled"), "enabled") == "disabled"
            or given.get("enabled") is False
        ):
            return
        self.workspace.triggers.append(
            HttpTrigger(
                self.name.removesuffix(".http_trigger.yaml"),
                given["route_path"],
                method,
                given["script_path"],
                bool(given.get("is_flow")),
                authentication,
                given.get("authentication_resource_path"),
                request_type == "async",
                bool(given.get("workspaced_route")),
                bool(given.get("wrap_body")),
                bool(given.get("raw_string")),
            )
        )

    def _schedule(self) -> None:
        given = _read_yaml(self.root, self.path)
        self._check_keys(given, SCHEDULE_KEYS)
        for key in ("schedule", "timezone", "script_path", "is_flow"):
            if key not in given:
                raise WorkspaceError(f"{self.name}: {key}: is missing")
        self._check_type(given, "script_path", str)
        self._check_type(given, "enabled", bool)
        self._check_type(given, "args", dict)
        try:
            # Also one that never comes, such as February 30.
            next(CronSim(str(given["schedule"]), datetime.now()))
            timezone = ZoneInfo(given["timezone"])
        except (CronSimError, StopIteration) as error:
            reason = error or "it never comes"
            raise WorkspaceError(f"{self.name}: schedule: {given['schedule']!r}: {reason}") from None
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            raise WorkspaceError(f"{self.name}: timezone: {given['timezone']!r} is not known") from None
        path = self.name.removesuffix(".schedule.yaml")
        self.workspace.schedules[path] = Schedule(
            path,
            str(given["schedule"]),
            timezone,
            bool(given.get("enabled", True)),
            given["script_path"],
            bool(given["is_flow"]),
            given.get("args") or {},
            bool(given.get("no_flow_overlap")),
        )

    def _variable(self) -> None:
        given = _read_yaml(self.root, self.path)
        if "value" not in given:
            raise WorkspaceError(f"{self.name}: value: is missing")
        self.workspace.variables[self.name.removesuffix(".variable.yaml")] = given

    def _resource(self) -> None:
        given = _read_yaml(self.root, self.path)
        if "resource_type" not in given:
            raise WorkspaceError(f"{self.name}: resource_type: is missing")
        self.workspace.resources[self.name.removesuffix(".resource.yaml")] = given

    def _check_keys(self, given: dict[str, Any], known: set[str], name: str | None = None) -> None:
        for key, value in given.items():
            if key not in known and key not in HARMLESS and value not in (None, False, [], {}):
                raise WorkspaceError(f"{name or self.name}: {key}: is not supported by this engine")

    def _check_type(self, given: dict[str, Any], key: str, wanted: type) -> None:
        if given.get(key) is not None and not isinstance(given[key], wanted):
            raise WorkspaceError(f"{self.name}: {key}: {given[key]!r} is not of the type {TYPE_NAMES[wanted]}")

    def _choice(self, given: dict[str, Any], key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        value = given.get(key) or default
        if value not in choices:
            raise WorkspaceError(f"{self.name}: {key}: {value!r} is not supported; known are {', '.join(choices)}")
        return str(value)


def _defines(content: str, function: str) -> bool:
    return re.search(rf"^(async\s+)?def\s+{function}\s*\(", content, re.MULTILINE) is not None


def _read_yaml(root: Path, path: Path) -> dict[str, Any]:
    try:
        document = read_yaml(path.read_text())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise WorkspaceError(f"{path.relative_to(root)}: not YAML: {error}") from None
    if not isinstance(document, dict):
        raise WorkspaceError(f"{path.relative_to(root)}: a mapping is expected")
    return document
