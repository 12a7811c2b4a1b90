"""A stand-in for Windmill's API, in memory: what `./dev push` and the `wmill` CLI need of it, and nothing else.

Written after Windmill's source (routes, required fields, refusals, the workspace's zip) and what the CLI asks.
It is strict: a path, a query, a field or a key of a flow that it does not know is refused and noted in
`unexpected`, so that a change of the CLI or of our code is seen here.
"""

import io
import json
import re
import threading
import uuid
import zipfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from local.engine.definitions import DefinitionError, check_flow

ADMIN = "the-admin-token"
#: Fields of request bodies: those that must be there, and all others.
FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "workspace": ({"id", "name"}, set()),
    "exists": ({"id"}, set()),
    "group": ({"name"}, {"summary"}),
    "folder": ({"name"}, {"summary", "display_name", "owners", "extra_perms"}),
    "folder_update": (set(), {"summary", "display_name", "owners", "extra_perms"}),
    "type": ({"name"}, {"schema", "description"}),
    "type_update": (set(), {"schema", "description"}),
    "variable": ({"path", "value", "is_secret", "description"}, set()),
    "resource": ({"path", "value", "resource_type"}, {"description"}),
    "setting": ({"value"}, set()),
    "token": (set(), {"label", "expiration", "scopes", "workspace_id"}),
    "script": (
        {"path", "summary", "description", "content", "language"},
        {
            "parent_hash",
            "auto_parent",
            "schema",
            "lock",
            "kind",
            "skip_draft_deletion",
            "deployment_message",
            "timeout",
            "tag",
            "has_preprocessor",
        },
    ),
    "flow": (
        {"path", "summary", "value"},
        {"description", "schema", "deployment_message", "skip_draft_deletion"},
    ),
    "http_trigger": (
        {"path", "script_path", "is_flow", "route_path", "http_method", "authentication_method", "is_static_website"},
        {"request_type", "workspaced_route", "wrap_body", "raw_string", "mode", "summary", "description"}
        | {"authentication_resource_path", "static_asset_config", "route_path_key"},
    ),
    "schedule": (
        {"path", "schedule", "timezone", "script_path", "is_flow", "args"},
        {"enabled", "summary", "description", "cron_version", "no_flow_overlap", "ws_error_handler_muted"},
    ),
    "schedule_update": (
        {"schedule", "timezone", "args"},
        # What belongs to a new schedule only is sent by the CLI, too, and ignored by Windmill.
        {"summary", "description", "cron_version", "no_flow_overlap", "ws_error_handler_muted", "enabled"}
        | {"script_path", "is_flow", "preserve_permissioned_as", "permissioned_as"},
    ),
    "enabled": ({"enabled"}, set()),
}
QUERIES = {
    "tarball": {
        "archive_type", "plain_secret", "skip_variables", "skip_resources", "skip_secrets", "include_schedules",
        "include_triggers", "include_users", "include_groups", "include_settings", "include_key",
        "include_workspace_dependencies", "skip_datatable_migrations", "default_ts", "skip_resource_types",
        "settings_version", "preserve_extra_perms", "sync_behavior_version",
    },
    "jobs": {"job_kinds", "created_after", "success"},
    "tags": {"tags", "workspace"},
    "tokens": {"exclude_ephemeral", "page", "per_page"},
    "variable": {"decrypt_secret"},
    "resource": {"update_if_exists"},
    "script": {"skip_if_noop"},
}  # fmt: skip


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Workspace:
    """What a workspace holds, by kind and path or name, as Windmill would give it back."""

    groups: dict[str, Any] = field(default_factory=dict)
    folders: dict[str, Any] = field(default_factory=dict)
    types: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    scripts: dict[str, Any] = field(default_factory=dict)
    flows: dict[str, Any] = field(default_factory=dict)
    schedules: dict[str, Any] = field(default_factory=dict)
    http_triggers: dict[str, Any] = field(default_factory=dict)


@dataclass
class Call:
    """One request: whose, to what, with which body."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    user: dict[str, Any]


class FakeWindmill:
    """`with FakeWindmill() as windmill` serves at `windmill.url` on 127.0.0.1."""

    def __init__(self) -> None:
        admin = {"email": "admin@windmill.dev", "username": "admin", "super_admin": True}
        self.users = {ADMIN: admin}
        self.workspaces: dict[str, Workspace] = {"admins": Workspace()}
        self.settings: dict[str, Any] = {}
        #: What workers listen to.
        self.worker_tags = {"documents"}
        self.tokens: dict[str, dict[str, Any]] = {}
        #: Calls that changed something, oldest first: method, path below /api, body.
        self.changes: list[tuple[str, str, Any]] = []
        self.unexpected: list[str] = []
        #: Paths of scripts whose run fails.
        self.failing: set[str] = set()
        #: Called before each change; it may raise Refusal.
        self.before: Callable[[Call], None] = lambda call: None
        self._lock = threading.RLock()
        self._routes = [(method, re.compile(f"{pattern}$"), answer) for method, pattern, answer in self._table()]

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add_user(self, token: str, username: str, *, super_admin: bool = False) -> None:
        self.users[token] = {"email": f"{username}@shop.example", "username": username, "super_admin": super_admin}

    def state(self) -> dict[str, Any]:
        """All that is held, to be given to `restore` of another one."""
        return deepcopy({name: getattr(self, name) for name in ("workspaces", "settings", "tokens")})

    def restore(self, state: dict[str, Any]) -> None:
        for name, held in deepcopy(state).items():
            setattr(self, name, held)

    def answer(self, method: str, target: str, token: str, body: Any) -> Any:
        """The answer to a request: bytes, text or what becomes JSON. Raises Refusal."""
        parts = urlsplit(target)
        path = unquote(parts.path)
        if path == "/api/version":
            return "CE v1.788.0"
        if token not in self.users:
            raise Refusal(401, "Unauthorized")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        call = Call(method, path.removeprefix("/api"), query, body, self.users[token])
        for wanted, pattern, answer in self._routes:
            match = pattern.match(call.path)
            if match and wanted == method:
                with self._lock:
                    return self._act(call, answer, match)
        raise self._unknown(f"{method} {target}")

    def _act(self, call: Call, answer: Callable[..., Any], match: re.Match[str]) -> Any:
        groups = match.groupdict()
        if "ws" in groups:
            workspace = self.workspaces.get(groups.pop("ws"))
            if workspace is None:
                raise Refusal(404, "Not found: no rows returned by a query that expected to return at least one row")
            groups["workspace"] = workspace
        reading = call.method == "GET" or call.path.endswith("/workspaces/exists")
        if not reading:
            self.before(call)
            self.changes.append((call.method, call.path, deepcopy(call.body)))
        return answer(call, **groups)

    def _unknown(self, what: str) -> Refusal:
        self.unexpected.append(what)
        return Refusal(404, f"the fake Windmill does not know {what}")

    def _fields(self, call: Call, kind: str) -> dict[str, Any]:
        required, optional = FIELDS[kind]
        if not isinstance(call.body, dict):
            raise self._unknown(f"{call.path}: a body that is no object")
        if strange := set(call.body) - required - optional:
            raise self._unknown(f"{call.path}: fields {sorted(strange)}")
        if lacking := required - set(call.body):
            raise Refusal(422, f"Failed to deserialize the JSON body: missing field `{sorted(lacking)[0]}`")
        return dict(call.body)

    def _query(self, call: Call, kind: str) -> dict[str, str]:
        if strange := set(call.query) - QUERIES[kind]:
            raise self._unknown(f"{call.path}: query {sorted(strange)}")
        return call.query

    def _table(self) -> list[tuple[str, str, Callable[..., Any]]]:
        ws, path = "/w/(?P<ws>[^/]+)", "(?P<path>.+)"
        return [
            ("GET", "/users/whoami", lambda call: call.user),
            ("POST", "/workspaces/exists", lambda call: self._fields(call, "exists")["id"] in self.workspaces),
            ("POST", "/workspaces/create", self._create_workspace),
            ("GET", "/workspaces/users", self._my_workspaces),
            ("GET", f"/settings/global/{path}", self._get_setting),
            ("POST", f"/settings/global/{path}", self._set_setting),
            ("GET", "/workers/custom_tags", lambda call: self.settings.get("custom_tags", [])),
            ("GET", "/workers/exists_workers_with_tags", self._listened),
            ("GET", "/users/tokens/list", self._list_tokens),
            ("POST", "/users/tokens/create", self._create_token),
            ("DELETE", f"/users/tokens/delete/{path}", self._delete_token),
            ("GET", f"{ws}/users/whoami", self._whoami),
            ("GET", f"{ws}/workspaces/list_ws_specific", lambda call, workspace: []),
            ("GET", f"{ws}/workspaces/tarball", self._tarball),
            ("GET", f"{ws}/shared_ui/get", lambda call, workspace: {"files": {}}),
            ("GET", f"{ws}/resources/file_resource_type_to_file_ext_map", lambda call, workspace: {}),
            ("GET", f"{ws}/groups/listnames", lambda call, workspace: ["all", *workspace.groups]),
            ("POST", f"{ws}/groups/create", self._create_group),
            ("GET", f"{ws}/folders/exists/{path}", lambda call, workspace, path: path in workspace.folders),
            ("GET", f"{ws}/folders/get/{path}", self._gets("folders")),
            ("POST", f"{ws}/folders/create", self._create_folder),
            ("POST", f"{ws}/folders/update/{path}", self._update_folder),
            ("DELETE", f"{ws}/folders/delete/{path}", self._deletes("folders")),
            ("GET", f"{ws}/resources/type/list", self._list_types),
            ("POST", f"{ws}/resources/type/create", self._create_type),
            ("POST", f"{ws}/resources/type/update/{path}", self._update_type),
            ("GET", f"{ws}/variables/exists/{path}", lambda call, workspace, path: path in workspace.variables),
            ("GET", f"{ws}/variables/get/{path}", self._get_variable),
            ("POST", f"{ws}/variables/create", self._create_variable),
            ("POST", f"{ws}/variables/update/{path}", self._update_variable),
            ("GET", f"{ws}/resources/exists/{path}", lambda call, workspace, path: path in workspace.resources),
            ("GET", f"{ws}/resources/get_value/{path}", self._get_resource_value),
            ("GET", f"{ws}/resources/get/{path}", self._gets("resources")),
            ("POST", f"{ws}/resources/create", self._create_resource),
            ("POST", f"{ws}/resources/update/{path}", self._update_resource),
            ("GET", f"{ws}/scripts/get/p/{path}", self._gets("scripts")),
            ("POST", f"{ws}/scripts/create", self._create_script),
            ("POST", f"{ws}/scripts/archive/p/{path}", self._deletes("scripts")),
            ("GET", f"{ws}/flows/get/{path}", self._gets("flows")),
            ("POST", f"{ws}/flows/create", self._create_flow),
            ("POST", f"{ws}/flows/update/{path}", self._update_flow),
            ("DELETE", f"{ws}/flows/delete/{path}", self._deletes("flows")),
            ("GET", f"{ws}/schedules/exists/{path}", lambda call, workspace, path: path in workspace.schedules),
            ("GET", f"{ws}/schedules/get/{path}", self._gets("schedules")),
            ("POST", f"{ws}/schedules/create", self._create_schedule),
            ("POST", f"{ws}/schedules/update/{path}", self._update_schedule),
            ("POST", f"{ws}/schedules/setenabled/{path}", self._enable_schedule),
            ("DELETE", f"{ws}/schedules/delete/{path}", self._deletes("schedules")),
            ("GET", f"{ws}/http_triggers/get/{path}", self._gets("http_triggers")),
            ("POST", f"{ws}/http_triggers/create", self._create_trigger),
            ("POST", f"{ws}/http_triggers/update/{path}", self._update_trigger),
            ("DELETE", f"{ws}/http_triggers/delete/{path}", self._deletes("http_triggers")),
            ("GET", f"{ws}/jobs/queue/list", self._list_jobs),
            ("GET", f"{ws}/jobs/completed/list", self._list_jobs),
            ("POST", f"{ws}/jobs/run_wait_result/p/{path}", self._run),
        ]  # fmt: skip

    # The server

    def _create_workspace(self, call: Call) -> str:
        body = self._fields(call, "workspace")
        if not call.user["super_admin"]:
            raise Refusal(403, "Only superadmin can create workspaces")
        if len(self.workspaces) >= 3:
            raise Refusal(400, "Bad request: You have reached the maximum number of workspaces (2) without an license")
        if body["id"] in self.workspaces:
            raise Refusal(400, f"Bad request: workspace {body['id']} already exists")
        self.workspaces[body["id"]] = Workspace()
        return f"Created workspace {body['id']}"

    def _my_workspaces(self, call: Call) -> Any:
        known = [{"id": name, "name": name, "username": call.user["username"]} for name in self.workspaces]
        return {"email": call.user["email"], "workspaces": known}

    def _get_setting(self, call: Call, path: str) -> Any:
        self._require_superadmin(call)
        return self.settings.get(path)

    def _set_setting(self, call: Call, path: str) -> str:
        self._require_superadmin(call)
        self.settings[path] = self._fields(call, "setting")["value"]
        return ""

    def _listened(self, call: Call) -> dict[str, bool]:
        self._query(call, "tags")
        return {tag: tag in self.worker_tags for tag in call.query["tags"].split(",")}

    def _require_superadmin(self, call: Call) -> None:
        if not call.user["super_admin"]:
            raise Refusal(403, "Not authorized: This endpoint requires the caller to be a super admin")

    def _list_tokens(self, call: Call) -> Any:
        self._query(call, "tokens")
        mine = [token for token in self.tokens.values() if token["email"] == call.user["email"]]
        shown = ("label", "scopes", "token_prefix", "expiration")
        return [{name: token.get(name) for name in shown} for token in mine]

    def _create_token(self, call: Call) -> str:
        token = uuid.uuid4().hex
        self.tokens[token] = self._fields(call, "token") | {"email": call.user["email"], "token_prefix": token[:10]}
        return token

    def _delete_token(self, call: Call, path: str) -> str:
        found = [token for token in self.tokens if token.startswith(path)]
        if len(path) < 10 or not found:
            raise Refusal(404, f"Not found: token {path}")
        del self.tokens[found[0]]
        return f"Deleted token {path}"

    # A workspace

    def _whoami(self, call: Call, workspace: Workspace) -> Any:
        if call.user.get("stranger"):
            raise Refusal(401, "Unauthorized")
        is_admin = call.user["super_admin"] or call.user["username"] == "admin"
        return call.user | {"is_admin": is_admin, "operator": False, "groups": ["all"], "folders": []}

    def _create_group(self, call: Call, workspace: Workspace) -> str:
        body = self._fields(call, "group")
        if body["name"] in workspace.groups:
            raise Refusal(400, f"Bad request: Group {body['name']} already exists")
        if sum(len(known.groups) for known in self.workspaces.values()) >= 3:
            raise Refusal(400, "Bad request: You have reached the maximum number of groups")
        workspace.groups[body["name"]] = body
        return f"Created group {body['name']}"

    def _create_folder(self, call: Call, workspace: Workspace) -> str:
        body = self._fields(call, "folder")
        if body["name"] in workspace.folders:
            raise Refusal(400, f"Bad request: Folder {body['name']} already exists")
        me = f"u/{call.user['username']}"
        given = {"display_name": body["name"], "owners": [me], "extra_perms": {me: True}}
        workspace.folders[body["name"]] = self._folder(given | body)
        return f"Created folder {body['name']}"

    def _update_folder(self, call: Call, workspace: Workspace, path: str) -> str:
        changed = _one(workspace.folders, "Folder", path) | self._fields(call, "folder_update")
        workspace.folders[path] = self._folder(changed)
        return f"Updated folder {path}"

    def _folder(self, folder: dict[str, Any]) -> dict[str, Any]:
        for owner in folder["owners"]:
            if folder["extra_perms"].get(owner) is not True:
                raise Refusal(400, f"Bad request: Owner {owner} would not have permission to write to folder")
        return folder

    def _list_types(self, call: Call, workspace: Workspace) -> Any:
        seen = [("admins", self.workspaces["admins"]), (self._name(workspace), workspace)]
        return [{**kind, "workspace_id": name} for name, holder in seen for kind in holder.types.values()]

    def _name(self, workspace: Workspace) -> str:
        return next(name for name, known in self.workspaces.items() if known is workspace)

    def _create_type(self, call: Call, workspace: Workspace) -> str:
        body = self._fields(call, "type")
        if body["name"] in workspace.types:
            raise Refusal(400, f"Bad request: Resource type {body['name']} already exists")
        workspace.types[body["name"]] = body
        return f"resource_type {body['name']} created"

    def _update_type(self, call: Call, workspace: Workspace, path: str) -> str:
        # As Windmill: no row of this workspace is no error.
        if path in workspace.types:
            workspace.types[path] |= self._fields(call, "type_update")
        return f"resource_type {path} updated"

    def _get_variable(self, call: Call, workspace: Workspace, path: str) -> Any:
        shown = self._query(call, "variable").get("decrypt_secret", "true") == "true"
        variable = _one(workspace.variables, "Variable", path)
        return variable | ({} if shown or not variable["is_secret"] else {"value": None})

    def _create_variable(self, call: Call, workspace: Workspace) -> str:
        body = self._fields(call, "variable")
        self._check_place(workspace, body["path"])
        if body["path"] in workspace.variables:
            raise Refusal(400, f"Bad request: Variable {body['path']} already exists")
        workspace.variables[body["path"]] = body
        return f"variable {body['path']} created"

    def _update_variable(self, call: Call, workspace: Workspace, path: str) -> str:
        _one(workspace.variables, "Variable", path).update(self._fields(call, "variable"))
        return f"variable {path} updated"

    def _check_place(self, workspace: Workspace, path: str) -> None:
        if path.split("/")[1] not in workspace.folders:
            raise Refusal(400, f"Bad request: folder {path.split('/')[1]} does not exist")

    def _get_resource_value(self, call: Call, workspace: Workspace, path: str) -> Any:
        return _one(workspace.resources, "Resource", path)["value"]

    def _create_resource(self, call: Call, workspace: Workspace) -> str:
        replaces = self._query(call, "resource").get("update_if_exists") == "true"
        body = self._fields(call, "resource")
        self._check_place(workspace, body["path"])
        if body["path"] in workspace.resources and not replaces:
            raise Refusal(400, f"Bad request: Resource {body['path']} already exists")
        workspace.resources[body["path"]] = body
        return f"resource {body['path']} created"

    def _update_resource(self, call: Call, workspace: Workspace, path: str) -> str:
        _one(workspace.resources, "Resource", path).update(self._fields(call, "resource"))
        return f"resource {path} updated"

    def _create_script(self, call: Call, workspace: Workspace) -> str:
        self._query(call, "script")
        body = self._fields(call, "script")
        self._check_place(workspace, body["path"])
        known = workspace.scripts.get(body["path"])
        if known and body.get("parent_hash") != known["hash"]:
            raise Refusal(400, f"Bad request: Path conflict for {body['path']} with non-archived hash {known['hash']}")
        version = uuid.uuid4().hex[:16]
        kept = {name: body.get(name) for name in ("path", "summary", "description", "content", "language", "schema")}
        kept |= {"lock": body.get("lock"), "kind": body.get("kind") or "script", "hash": version, "archived": False}
        kept |= {"ws_error_handler_muted": False, "extra_perms": {}, "has_preprocessor": body.get("has_preprocessor")}
        kept |= {"tag": body.get("tag")}
        workspace.scripts[body["path"]] = kept
        return version

    def _create_flow(self, call: Call, workspace: Workspace) -> str:
        body = self._fields(call, "flow")
        self._check_place(workspace, body["path"])
        if body["path"] in workspace.flows:
            raise Refusal(400, f"Bad request: Flow {body['path']} already exists")
        workspace.flows[body["path"]] = self._flow(call, body)
        return str(body["path"])

    def _update_flow(self, call: Call, workspace: Workspace, path: str) -> str:
        _one(workspace.flows, "Flow", path)
        workspace.flows[path] = self._flow(call, self._fields(call, "flow"))
        return path

    def _flow(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        try:
            check_flow({"value": body["value"]})
        except DefinitionError as error:
            raise self._unknown(f"{call.path}: {error}") from None
        return {name: body.get(name, "") for name in ("path", "summary", "description", "value", "schema")}

    def _create_schedule(self, call: Call, workspace: Workspace) -> str:
        body = self._fields(call, "schedule")
        self._check_place(workspace, body["path"])
        runnable = workspace.flows if body["is_flow"] else workspace.scripts
        if body["script_path"] not in runnable:
            raise Refusal(404, f"Not found: {body['script_path']}")
        if body["path"] in workspace.schedules:
            raise Refusal(400, f"Bad request: Schedule {body['path']} already exists")
        given = {"enabled": False, "no_flow_overlap": False, "ws_error_handler_muted": False, "cron_version": "v2"}
        workspace.schedules[body["path"]] = given | body | {"email": call.user["email"]}
        return str(body["path"])

    def _update_schedule(self, call: Call, workspace: Workspace, path: str) -> str:
        body = self._fields(call, "schedule_update")
        ignored = ("enabled", "script_path", "is_flow", "preserve_permissioned_as", "permissioned_as")
        changed = {name: value for name, value in body.items() if name not in ignored}
        _one(workspace.schedules, "Schedule", path).update(changed)
        return path

    def _enable_schedule(self, call: Call, workspace: Workspace, path: str) -> str:
        _one(workspace.schedules, "Schedule", path)["enabled"] = self._fields(call, "enabled")["enabled"]
        return path

    def _create_trigger(self, call: Call, workspace: Workspace) -> str:
        body = self._fields(call, "http_trigger")
        self._check_place(workspace, body["path"])
        if body["script_path"] not in (workspace.flows if body["is_flow"] else workspace.scripts):
            raise Refusal(404, f"Not found: {body['script_path']}")
        route = (body["route_path"], body["http_method"])
        if route in [(known["route_path"], known["http_method"]) for known in workspace.http_triggers.values()]:
            raise Refusal(400, "Bad request: A route already exists with this path")
        # What it gives back has more than was sent, and what differs is pushed anew each time.
        given = dict.fromkeys(("summary", "description", "authentication_resource_path", "static_asset_config"))
        key = re.sub(r":[-\w]+", ":key", body["route_path"])
        workspace.http_triggers[body["path"]] = {**given, **body, "route_path_key": key}
        return str(body["path"])

    def _update_trigger(self, call: Call, workspace: Workspace, path: str) -> str:
        _one(workspace.http_triggers, "Http trigger", path).update(self._fields(call, "http_trigger"))
        return path

    def _gets(self, kind: str) -> Callable[..., Any]:
        return lambda call, workspace, path: _one(getattr(workspace, kind), kind, path)

    def _deletes(self, kind: str) -> Callable[..., str]:
        def delete(call: Call, workspace: Workspace, path: str) -> str:
            held: dict[str, Any] = getattr(workspace, kind)
            _one(held, kind, path)
            del held[path]
            return path

        return delete

    def _list_jobs(self, call: Call, workspace: Workspace) -> Any:
        self._query(call, "jobs")
        return []

    def _run(self, call: Call, workspace: Workspace, path: str) -> Any:
        _one(workspace.scripts, "Script", path)
        if path in self.failing:
            raise Refusal(422, '{"error": {"name": "OperationalError", "message": "connection refused"}}')
        return {}

    def _tarball(self, call: Call, workspace: Workspace) -> bytes:
        asked = self._query(call, "tarball")
        wanted = {"archive_type": "zip", "skip_variables": "true", "skip_resources": "true", "skip_secrets": "true"}
        wanted |= {"skip_resource_types": "true", "include_schedules": "true", "plain_secret": "false"}
        if strange := {name: asked.get(name) for name, value in wanted.items() if asked.get(name) != value}:
            raise self._unknown(f"{call.path}: {strange}")
        files: dict[str, Any] = {}
        for name, folder in workspace.folders.items():
            files[f"f/{name}/folder.meta.json"] = _without(folder, "name")
        for path, script in workspace.scripts.items():
            files[f"{path}.py"] = script["content"]
            kept = ("summary", "description", "schema", "lock", "kind")
            given = {name: script[name] for name in ("has_preprocessor", "tag") if script[name]}
            files[f"{path}.script.json"] = {name: script[name] for name in kept} | given
        for path, flow in workspace.flows.items():
            files[f"{path}.flow.json"] = _without(flow, "path")
        for path, schedule in workspace.schedules.items():
            files[f"{path}.schedule.json"] = _without(schedule, "path")
        for path, trigger in workspace.http_triggers.items():
            files[f"{path}.http_trigger.json"] = _without(trigger, "path")
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content if isinstance(content, str) else json.dumps(content, indent=2))
        return held.getvalue()


def _one(held: dict[str, Any], what: str, path: str) -> Any:
    if path not in held:
        raise Refusal(404, f"Not found: {what} not found at name {path}")
    return held[path]


def _without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: kept for name, kept in value.items() if name not in names}


def _handler(windmill: FakeWindmill) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet, or each answer waits for an acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            raw = self.rfile.read(length)
            token = (self.headers.get("authorization") or "").removeprefix("Bearer ").strip()
            status, kind = 201 if self.command == "POST" and "/create" in self.path else 200, "application/json"
            try:
                answer = windmill.answer(self.command, self.path, token, json.loads(raw) if raw else None)
            except Refusal as refusal:
                status, answer = refusal.status, str(refusal)
            if isinstance(answer, bytes):
                body, kind = answer, "application/zip"
            elif isinstance(answer, str):
                body, kind = answer.encode(), "text/plain"
            else:
                body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, format: str, *args: object) -> None:
            """Not of interest."""

    return Handler


__all__ = ["ADMIN", "Call", "FakeWindmill", "Refusal", "Workspace"]
