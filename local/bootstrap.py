"""Creates in a Windmill workspace what its files leave out: resource types, folders, variables and resources.

`resources/catalogue.yaml` lists them; `${NAME}` and `${NAME:-default}` in it are filled in from the environment,
`${ONE|OTHER}` from the first of several that has a value.
Works the same on the local engine and on a real Windmill.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from local.install import ROOT

CATALOGUE = ROOT / "resources" / "catalogue.yaml"
PLACEHOLDER = re.compile(r"\$\{([A-Z][A-Z0-9_|]*)(?::-([^}]*))?\}")


class BootstrapError(Exception):
    """The workspace cannot be set up; the message says why."""


def read_catalogue(values: Mapping[str, str], path: Path = CATALOGUE) -> dict[str, Any]:
    """The catalogue with `values` filled in. Raises BootstrapError naming every value that is missing."""
    missing: set[str] = set()
    catalogue = _fill(yaml.safe_load(path.read_text()), values, missing)
    if missing:
        raise BootstrapError(f"{path.name} needs values for {', '.join(sorted(missing))}: set them or put them in .env")
    for resource in catalogue["resources"]:
        _convert(resource["value"], catalogue["resource_types"].get(resource["resource_type"], {}).get("schema", {}))
    return dict(catalogue)


def apply(catalogue: Mapping[str, Any], url: str, workspace: str, token: str, *, force: bool = False) -> list[str]:
    """Create what is missing; what exists stays unless `force`. Returns a line for each thing created or changed."""
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{url}/api/w/{workspace}", headers=headers, timeout=30) as client:
        api = _Api(client, force)
        for name in catalogue["folders"]:
            api.put("folders", name, {"name": name}, changeable=False)
        for name, kind in catalogue["resource_types"].items():
            api.put("resources/type", name, {"name": name, **kind})
        for variable in catalogue["variables"]:
            body = {"is_secret": variable["secret"], "description": variable["description"], "value": variable["value"]}
            api.put("variables", variable["path"], {"path": variable["path"], **body})
        for resource in catalogue["resources"]:
            api.put("resources", resource["path"], resource)
    return api.done


class _Api:
    def __init__(self, client: httpx.Client, force: bool) -> None:
        self._client = client
        self._force = force
        self.done: list[str] = []

    def put(self, kind: str, name: str, body: Mapping[str, Any], *, changeable: bool = True) -> None:
        if self._send("GET", f"/{kind}/exists/{name}").json() is not True:
            self._send("POST", f"/{kind}/create", body)
            self.done.append(f"created {kind} {name}")
        elif self._force and changeable:
            self._send("POST", f"/{kind}/update/{name}", body)
            self.done.append(f"updated {kind} {name}")

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            response = self._client.request(method, path, json=body)
        except httpx.TransportError as error:
            raise BootstrapError(f"Windmill at {self._client.base_url} does not answer: {error}") from error
        if response.is_error:
            raise BootstrapError(f"{method} {path}: {response.status_code} {response.text[:500]}")
        return response


def _fill(node: Any, values: Mapping[str, str], missing: set[str]) -> Any:
    if isinstance(node, dict):
        return {key: _fill(value, values, missing) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, values, missing) for value in node]
    if not isinstance(node, str):
        return node

    def value_of(match: re.Match[str]) -> str:
        names, default = match.groups()
        value = next((values[name] for name in names.split("|") if values.get(name)), default)
        if value is None:
            missing.add(names)
        return value or ""

    return PLACEHOLDER.sub(value_of, node)


def _convert(value: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Numbers arrive from the environment as text: give them the type that the resource type's schema has."""
    for name, property_ in schema.get("properties", {}).items():
        if property_.get("type") == "integer" and isinstance(value.get(name), str):
            value[name] = int(value[name])
