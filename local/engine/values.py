"""Variables and resources, and the references to them in arguments: `$var:path` and `$res:path`."""

import re
from typing import Any

from local.engine import queries, store
from local.engine.expressions import NotFound
from local.engine.store import Connection
from local.engine.workspace import Workspace

REFERENCE = re.compile(r"^\$(var|res):(.+)$", re.DOTALL)
VARIABLE = re.compile(r"^\$var:(.+)$", re.DOTALL)
#: Resources may name resources; a circle ends here.
MAX_DEPTH = 8


def load_files(connection: Connection, workspace: Workspace) -> None:
    """Bring variables, resources, their types and folders to what the workspace's files say."""
    for name in workspace.folders:
        connection.execute(queries.FOLDER_CREATE, (name,))
    for name, given in workspace.resource_types.items():
        connection.execute(
            queries.TYPE_PUT,
            {"name": name, "schema": store.Jsonb(given.get("schema")), "description": given.get("description") or ""},
        )
    for path, given in workspace.variables.items():
        connection.execute(
            queries.VARIABLE_PUT,
            {
                "path": path,
                "value": str(given["value"]),
                "is_secret": bool(given.get("is_secret")),
                "description": given.get("description") or "",
            },
        )
    for path, given in workspace.resources.items():
        connection.execute(
            queries.RESOURCE_PUT,
            {
                "path": path,
                "value": store.Jsonb(given.get("value")),
                "resource_type": given["resource_type"],
                "description": given.get("description") or "",
            },
        )


def variable(connection: Connection, path: str) -> str:
    """The value of a variable. Raises NotFound."""
    row = connection.execute(queries.VARIABLE_GET, (path,)).fetchone()
    if row is None:
        raise NotFound(f"Variable {path} not found")
    return str(row[1])


def resource(connection: Connection, path: str, *, interpolated: bool = True, depth: int = 0) -> Any:
    """The value of a resource, `interpolated` with what it refers to. Raises NotFound."""
    row = connection.execute(queries.RESOURCE_GET, (path,)).fetchone()
    if row is None or depth > MAX_DEPTH:
        raise NotFound(f"Resource {path} not found")
    return resolved(connection, row[1], depth + 1) if interpolated else row[1]


def resolved(connection: Connection, value: Any, depth: int = 0) -> Any:
    """`value` with every reference in it replaced, at every depth. Raises NotFound."""
    if isinstance(value, str):
        match = REFERENCE.match(value)
        if match is None:
            return value
        kind, path = match.groups()
        return variable(connection, path) if kind == "var" else resource(connection, path, depth=depth)
    if isinstance(value, list):
        return [resolved(connection, item, depth) for item in value]
    if isinstance(value, dict):
        return {key: resolved(connection, item, depth) for key, item in value.items()}
    return value


def delete_resource(connection: Connection, path: str) -> bool:
    """Delete a resource and, as Windmill does, the variables that its value names; False when there is none."""
    row = connection.execute(queries.RESOURCE_DELETE, (path,)).fetchone()
    if row is None:
        return False
    connection.execute(queries.VARIABLE_DELETE, (list(_variables_in(row[0])),))
    return True


def _variables_in(value: Any) -> set[str]:
    if isinstance(value, str):
        match = VARIABLE.match(value)
        return {match[1]} if match else set()
    if isinstance(value, list | dict):
        items = value.values() if isinstance(value, dict) else value
        return set().union(*(_variables_in(item) for item in items))
    return set()
