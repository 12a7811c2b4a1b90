"""The API of variables, resources, their types, folders, users and tokens."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from local.engine import queries, store, values
from local.engine.access import create_token
from local.engine.expressions import NotFound
from local.engine.http import ApiError, Call, Endpoint, bad_request, not_found, plain_answer
from local.engine.store import Connection

#: What stands where a secret is not to be shown.
HIDDEN = None


def endpoints() -> Iterator[tuple[str, str, Endpoint]]:
    """Method, path below the workspace, and what answers it."""
    yield "POST", "/variables/create", create_variable
    yield "GET", "/variables/get_value/{path:path}", get_variable_value
    yield "GET", "/variables/get/{path:path}", get_variable
    yield "GET", "/variables/exists/{path:path}", variable_exists
    yield "GET", "/variables/list", list_variables
    yield "POST", "/variables/update/{path:path}", update_variable
    yield "DELETE", "/variables/delete/{path:path}", delete_variable
    yield "POST", "/resources/type/create", create_type
    yield "GET", "/resources/type/exists/{path:path}", type_exists
    yield "GET", "/resources/type/get/{path:path}", get_type
    yield "GET", "/resources/type/list", list_types
    yield "POST", "/resources/type/update/{path:path}", update_type
    yield "DELETE", "/resources/type/delete/{path:path}", delete_type
    yield "POST", "/resources/create", create_resource
    yield "GET", "/resources/get_value_interpolated/{path:path}", get_resource_interpolated
    yield "GET", "/resources/get_value/{path:path}", get_resource_value
    yield "GET", "/resources/get/{path:path}", get_resource
    yield "GET", "/resources/exists/{path:path}", resource_exists
    yield "GET", "/resources/list", list_resources
    yield "POST", "/resources/update_value/{path:path}", update_resource_value
    yield "POST", "/resources/update/{path:path}", update_resource
    yield "DELETE", "/resources/delete/{path:path}", delete_resource
    yield "POST", "/folders/create", create_folder
    yield "GET", "/folders/exists/{path:path}", folder_exists
    yield "GET", "/folders/list", list_folders
    yield "GET", "/schedules/list", list_schedules
    yield "GET", "/users/whoami", whoami


def list_schedules(call: Call) -> Response:
    """What the files say."""
    schedules = call.engine.workspace.schedules.values()
    return JSONResponse(
        [
            {
                "path": schedule.path,
                "schedule": schedule.expression,
                "timezone": str(schedule.timezone),
                "enabled": schedule.enabled,
                "script_path": schedule.target,
                "is_flow": schedule.is_flow,
                "workspace_id": call.engine.name,
            }
            for schedule in schedules
        ]
    )


def create_variable(call: Call) -> Response:
    given = call.json()
    row = {
        "path": _required(given, "path"),
        "value": str(given.get("value", "")),
        "is_secret": bool(given.get("is_secret")),
        "description": given.get("description") or "",
    }
    _change(call, queries.VARIABLE_CREATE, row, otherwise=bad_request(f"Variable {row['path']} already exists"))
    return plain_answer(f"variable {row['path']} created", 201)


def get_variable_value(call: Call) -> Response:
    return JSONResponse(_found(call, lambda connection: values.variable(connection, call["path"])))


def get_variable(call: Call) -> Response:
    return JSONResponse(_variable_shown(call, _one(call, queries.VARIABLE_GET, "Variable")))


def variable_exists(call: Call) -> Response:
    return JSONResponse(bool(_rows(call, queries.VARIABLE_GET, (call["path"],))))


def list_variables(call: Call) -> Response:
    return JSONResponse([_variable_shown(call, row) for row in _rows(call, queries.VARIABLE_LIST)])


def update_variable(call: Call) -> Response:
    given = call.json()
    row = {
        "path": call["path"],
        "new_path": given.get("path"),
        "value": None if given.get("value") is None else str(given["value"]),
        "is_secret": given.get("is_secret"),
        "description": given.get("description"),
    }
    _change(call, queries.VARIABLE_UPDATE, row, otherwise=not_found(f"Variable {call['path']} not found"))
    return plain_answer(f"variable {call['path']} updated")


def delete_variable(call: Call) -> Response:
    gone = not_found(f"Variable {call['path']} not found")
    _change(call, queries.VARIABLE_DELETE, ([call["path"]],), otherwise=gone)
    return plain_answer(f"variable {call['path']} deleted")


def create_type(call: Call) -> Response:
    given = call.json()
    name = _required(given, "name")
    row = {"name": name, "schema": store.Jsonb(given.get("schema")), "description": given.get("description") or ""}
    _change(call, queries.TYPE_CREATE, row, otherwise=bad_request(f"resource_type {name} already exists"))
    return plain_answer(f"resource_type {name} created", 201)


def type_exists(call: Call) -> Response:
    return JSONResponse(bool(_rows(call, queries.TYPE_GET, (call["path"],))))


def get_type(call: Call) -> Response:
    return JSONResponse(_type_shown(call, _one(call, queries.TYPE_GET, "resource_type")))


def list_types(call: Call) -> Response:
    return JSONResponse([_type_shown(call, row) for row in _rows(call, queries.TYPE_LIST)])


def update_type(call: Call) -> Response:
    given = call.json()
    schema = store.Jsonb(given["schema"]) if given.get("schema") is not None else None
    row = {"name": call["path"], "schema": schema, "description": given.get("description")}
    _change(call, queries.TYPE_UPDATE, row, otherwise=not_found(f"resource_type {call['path']} not found"))
    return plain_answer(f"resource_type {call['path']} updated")


def delete_type(call: Call) -> Response:
    gone = not_found(f"resource_type {call['path']} not found")
    _change(call, queries.TYPE_DELETE, (call["path"],), otherwise=gone)
    return plain_answer(f"resource_type {call['path']} deleted")


def create_resource(call: Call) -> Response:
    given = call.json()
    row = {
        "path": _required(given, "path"),
        "value": store.Jsonb(given.get("value")),
        "resource_type": _required(given, "resource_type"),
        "description": given.get("description") or "",
    }
    query = queries.RESOURCE_CREATE
    if call.request.query_params.get("update_if_exists") == "true":
        query = queries.RESOURCE_PUT
    _change(call, query, row, otherwise=bad_request(f"Resource {row['path']} already exists"))
    return plain_answer(f"resource {row['path']} created", 201)


def get_resource_value(call: Call) -> Response:
    return JSONResponse(_found(call, lambda c: values.resource(c, call["path"], interpolated=False)))


def get_resource_interpolated(call: Call) -> Response:
    return JSONResponse(_found(call, lambda connection: values.resource(connection, call["path"])))


def get_resource(call: Call) -> Response:
    return JSONResponse(_resource_shown(call, _one(call, queries.RESOURCE_GET, "Resource")))


def resource_exists(call: Call) -> Response:
    return JSONResponse(bool(_rows(call, queries.RESOURCE_GET, (call["path"],))))


def list_resources(call: Call) -> Response:
    wanted = {"resource_type": call.request.query_params.get("resource_type")}
    return JSONResponse([_resource_shown(call, row) for row in _rows(call, queries.RESOURCE_LIST, wanted)])


def update_resource(call: Call) -> Response:
    given = call.json()
    row = {
        "path": call["path"],
        "new_path": given.get("path"),
        "has_value": "value" in given,
        "value": store.Jsonb(given.get("value")),
        "resource_type": given.get("resource_type"),
        "description": given.get("description"),
    }
    _change(call, queries.RESOURCE_UPDATE, row, otherwise=not_found(f"Resource {call['path']} not found"))
    return plain_answer(f"resource {call['path']} updated")


def update_resource_value(call: Call) -> Response:
    row = {
        "path": call["path"],
        "new_path": None,
        "has_value": True,
        "value": store.Jsonb(call.json().get("value")),
        "resource_type": None,
        "description": None,
    }
    _change(call, queries.RESOURCE_UPDATE, row, otherwise=not_found(f"Resource {call['path']} not found"))
    return plain_answer(f"value of resource {call['path']} updated")


def delete_resource(call: Call) -> Response:
    if not call.engine.store.run(lambda connection: values.delete_resource(connection, call["path"]), 20):
        raise not_found(f"Resource {call['path']} not found")
    return plain_answer(f"resource {call['path']} deleted")


def create_folder(call: Call) -> Response:
    name = _required(call.json(), "name")
    _change(call, queries.FOLDER_CREATE, (name,), otherwise=bad_request(f"Folder {name} already exists"))
    return plain_answer(f"Created folder {name}")


def folder_exists(call: Call) -> Response:
    rows = call.engine.store.run(lambda c: c.execute(queries.FOLDER_EXISTS, (call["path"],)).fetchone(), 20)
    return JSONResponse(bool(rows and rows[0]))


def list_folders(call: Call) -> Response:
    return JSONResponse(_rows(call, queries.FOLDER_LIST))


def whoami(call: Call) -> Response:
    """Who the token belongs to; also without a workspace."""
    name = call.caller.username
    return JSONResponse(
        {
            "workspace_id": call.engine.name,
            "username": name,
            "email": f"{name}@localhost",
            "is_admin": True,
            "is_super_admin": True,
            "operator": False,
            "disabled": False,
            "folders": [row["name"] for row in _rows(call, queries.FOLDER_LIST)],
            "folders_owners": [],
            "folders_read": [],
            "groups": ["all"],
            "pgroups": ["g/all"],
        }
    )


def create_user_token(call: Call) -> Response:
    """Make a token, limited to `scopes` where they are given."""
    given = call.json()
    scopes = given.get("scopes")
    if scopes is not None and not (isinstance(scopes, list) and all(isinstance(item, str) for item in scopes)):
        raise bad_request("scopes is a list of text")
    if call.caller.scopes is not None:
        # A token must not make one that may do more.
        raise ApiError(403, "Permission denied: a token with scopes cannot make tokens")
    try:
        expiration = datetime.fromisoformat(given["expiration"]) if given.get("expiration") else None
    except (TypeError, ValueError) as error:
        raise bad_request(f"expiration: {error}") from None
    label, workspace = given.get("label") or "", given.get("workspace_id")
    made = call.engine.store.run(lambda c: create_token(c, label, scopes, workspace, expiration), 20)
    return plain_answer(made, 201)


def _required(given: dict[str, Any], name: str) -> str:
    if not isinstance(given.get(name), str) or not given[name]:
        raise bad_request(f"missing field `{name}`")
    return str(given[name])


def _change(call: Call, query: Any, parameters: Any, *, otherwise: Exception) -> None:
    if not call.engine.store.run(lambda connection: connection.execute(query, parameters).rowcount, 20):
        raise otherwise


def _found(call: Call, read: Any) -> Any:
    try:
        return call.engine.store.run(read, 20)
    except NotFound as error:
        raise not_found(str(error)) from None


def _rows(call: Call, query: Any, parameters: Any = None) -> list[dict[str, Any]]:
    def read(connection: Connection) -> list[dict[str, Any]]:
        return store.rows(connection, query, parameters)

    return call.engine.store.run(read, 20)


def _one(call: Call, query: Any, what: str) -> dict[str, Any]:
    found = _rows(call, query, (call["path"],))
    if not found:
        raise not_found(f"{what} {call['path']} not found")
    return found[0]


def _variable_shown(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    shows = call.request.query_params.get("decrypt_secret", "true") == "true" and "/list" not in call.request.url.path
    value = row["value"] if shows or not row["is_secret"] else HIDDEN
    return {**row, "value": value, "workspace_id": call.engine.name, "extra_perms": {}}


def _resource_shown(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "workspace_id": call.engine.name, "extra_perms": {}}


def _type_shown(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "workspace_id": call.engine.name}
