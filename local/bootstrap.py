"""What a workspace needs besides its files: resource types, folders, variables and resources.

`resources/catalogue.yaml` lists them; `${NAME}` and `${NAME:-default}` in it are filled in from the environment,
`${ONE|OTHER}` from the first of several that has a value.
Works the same on the local engine and on a real Windmill.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.install import ROOT
from local.windmill import Windmill

CATALOGUE = ROOT / "resources" / "catalogue.yaml"
PLACEHOLDER = re.compile(r"\$\{([A-Z][A-Z0-9_|]*)(?::-([^}]*))?\}")
#: Windmill's own workspace, whose resource types all others see.
SHARED = "admins"


class BootstrapError(Exception):
    """The workspace cannot be set up; the message says why."""


@dataclass(frozen=True)
class Change:
    """Something that is to be done in Windmill: `text` says what, `make` does it.

    Where an edition of Windmill may refuse it, it is `optional`: the rest works without.
    """

    text: str
    make: Callable[[], object]
    optional: bool = False


def read_catalogue(values: Mapping[str, str], path: Path = CATALOGUE, *, complete: bool = True) -> dict[str, Any]:
    """The catalogue with `values` filled in. Raises BootstrapError naming every value that is missing.

    With `complete=False` it names them in each item's `missing` instead.
    """
    catalogue: dict[str, Any] = yaml.safe_load(path.read_text())
    missing: set[str] = set()
    for name, node in catalogue.items():
        if name not in ("variables", "resources"):
            catalogue[name] = _fill(node, values, missing)
            continue
        catalogue[name] = []
        for item in node:
            lacks: set[str] = set()
            catalogue[name].append({**_fill(item, values, lacks), "missing": sorted(lacks)})
            missing |= lacks
    if missing and complete:
        raise BootstrapError(_missing_text(path.name, missing))
    if "run_retention_days" in catalogue:
        catalogue["run_retention_days"] = _whole("run_retention_days", str(catalogue["run_retention_days"]))
    for resource in catalogue["resources"]:
        _convert(resource["value"], catalogue["resource_types"].get(resource["resource_type"], {}).get("schema", {}))
    return catalogue


def apply(catalogue: Mapping[str, Any], url: str, workspace: str, token: str, *, force: bool = False) -> list[str]:
    """Create what is missing; what exists stays unless `force`. Returns a line for each thing created or changed."""
    done = []
    for change in changes(catalogue, Windmill(url, workspace, token), force=force, clear=True):
        change.make()
        done.append(change.text)
    return done


def changes(
    catalogue: Mapping[str, Any],
    windmill: Windmill,
    *,
    force: bool = False,
    clear: bool = False,
    fresh: bool = False,
    root: Path = ROOT,
) -> Iterator[Change]:
    """What the workspace lacks, in the order in which it is to be made; with `force` also what differs.

    An empty value takes the place of one that somebody has set only with `clear`. `fresh` says that the workspace is
    not there yet. Raises BootstrapError as `check_values` does.
    """
    there = check_values(catalogue, windmill, fresh=fresh)
    for name in catalogue["folders"]:
        if fresh or windmill.get(windmill.path(f"/folders/exists/{name}")) is not True:
            body = {"name": name, **_folder(root / "f" / name / "folder.meta.yaml")}
            yield Change(f"create folder {name}", _post(windmill, "/folders/create", body))
    yield from _type_changes(catalogue["resource_types"], windmill, fresh)
    for kind, item in _items(catalogue):
        what = f"{kind.removesuffix('s')} {item['path']}"
        body = _body(kind, item)
        if not there[item["path"]]:
            yield Change(f"create {what}", _post(windmill, f"/{kind}/create", body))
        elif force and not item["missing"] and (clear or item["value"] != "") and _differs(kind, body, windmill):
            yield Change(f"update {what}", _post(windmill, f"/{kind}/update/{item['path']}", body))


def check_values(catalogue: Mapping[str, Any], windmill: Windmill, *, fresh: bool = False) -> dict[str, bool]:
    """Which variables and resources exist, by path. Raises BootstrapError when one that does not lacks a value."""
    there = {
        item["path"]: not fresh and windmill.get(windmill.path(f"/{kind}/exists/{item['path']}")) is True
        for kind, item in _items(catalogue)
    }
    missing = {name for _, item in _items(catalogue) if not there[item["path"]] for name in item["missing"]}
    if missing:
        raise BootstrapError(_missing_text(CATALOGUE.name, missing))
    return there


def _items(catalogue: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Variables before resources, whose values name them."""
    return [(kind, item) for kind in ("variables", "resources") for item in catalogue[kind]]


def _type_changes(kinds: Mapping[str, Any], windmill: Windmill, fresh: bool) -> Iterator[Change]:
    """Resource types come from git, so they are kept as it has them.

    `resources/type/exists` and `get` also answer for a type of the workspace `admins`, which `update` does not
    touch, so the list is asked. A shared type that knows every property of ours will do as it is; beside one that
    does not, the workspace gets its own.
    """
    for name, kind in kinds.items():
        known = [] if fresh else _types_named(windmill, name)
        own = next((known_ for known_ in known if known_["workspace_id"] == windmill.workspace), None)
        if own is None:
            if not any(_covers(shared["schema"], kind["schema"]) for shared in known):
                yield Change(
                    f"create resource type {name}", _post(windmill, "/resources/type/create", {"name": name, **kind})
                )
        elif any(own.get(key) != value for key, value in kind.items()):
            yield Change(f"update resource type {name}", _type_update(windmill, name, kind))


def _type_update(windmill: Windmill, name: str, kind: Mapping[str, Any]) -> Callable[[], None]:
    def make() -> None:
        windmill.post(windmill.path(f"/resources/type/update/{name}"), kind)
        for known in _types_named(windmill, name):
            if known["workspace_id"] == windmill.workspace and known["schema"] == kind["schema"]:
                return
        raise BootstrapError(f"Windmill took the change of resource type {name} and did not make it")

    return make


def _types_named(windmill: Windmill, name: str) -> list[dict[str, Any]]:
    types: list[dict[str, Any]] = windmill.get(windmill.path("/resources/type/list"))
    return [known for known in types if known["name"] == name and known["workspace_id"] in (windmill.workspace, SHARED)]


def _covers(schema: Any, wanted: Mapping[str, Any]) -> bool:
    known = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return set(wanted.get("properties", {})) <= set(known)


def _body(kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """What the API takes for an item of the catalogue."""
    body = {name: item[name] for name in ("path", "description", "value")}
    extra = {"is_secret": item["secret"]} if kind == "variables" else {"resource_type": item["resource_type"]}
    return body | extra


def _differs(kind: str, body: Mapping[str, Any], windmill: Windmill) -> bool:
    query = "?decrypt_secret=true" if kind == "variables" else ""
    current = windmill.get(windmill.path(f"/{kind}/get/{body['path']}{query}"))
    return any(current.get(name) != value for name, value in body.items())


def _folder(path: Path) -> dict[str, Any]:
    """Who may do what in a folder, from its file: a secret must not stand there before its rights do."""
    return dict(yaml.safe_load(path.read_text())) if path.exists() else {}


def _post(windmill: Windmill, below: str, body: Any) -> Callable[[], object]:
    return lambda: windmill.post(windmill.path(below), body)


def _missing_text(file: str, names: Iterable[str]) -> str:
    return f"{file} needs values for {', '.join(sorted(names))}: set them or put them in .env"


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
            value[name] = _whole(name, value[name])


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise BootstrapError(f"{name} is {text!r}: a whole number is expected")
    return int(text)
