"""docs/openapi.yaml and the routes of f/ say the same."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
API: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
TRIGGERS = {
    path.name.split(".")[0]: yaml.safe_load(path.read_text()) for path in ROOT.glob("f/admin/*.http_trigger.yaml")
}
OPERATIONS = {
    operation["operationId"]: (path, method, operation)
    for path, methods in API["paths"].items()
    for method, operation in methods.items()
}


def follow(node: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` refers to."""
    if "$ref" not in node:
        return node
    found: Any = API
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def test_every_route_is_described_and_every_description_is_a_route() -> None:
    assert OPERATIONS.keys() == TRIGGERS.keys()


@pytest.mark.parametrize("name", sorted(TRIGGERS))
def test_a_route_is_where_its_description_says(name: str) -> None:
    path, method, _ = OPERATIONS[name]
    trigger = TRIGGERS[name]
    assert (re.sub(r":(\w+)", r"{\1}", "/" + trigger["route_path"]), trigger["http_method"]) == (path, method)
    assert trigger["script_path"] == f"f/admin/{name}"


@pytest.mark.parametrize("name", sorted(TRIGGERS))
def test_a_route_takes_what_its_description_says(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    schema = yaml.safe_load((ROOT / f"f/admin/{name}.script.yaml").read_text())["schema"]
    parameters = [follow(parameter) for parameter in operation.get("parameters", [])]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    described = {parameter["name"]: parameter["schema"] for parameter in parameters} | body.get("properties", {})
    assert described.keys() == schema["properties"].keys() - {"request"}
    required = {parameter["name"] for parameter in parameters if parameter.get("required")}
    secret = {name for name, argument in described.items() if follow(argument).get("writeOnly")}
    assert required | set(body.get("required", [])) - secret == set(schema["required"]) - secret
    for argument, described_as in described.items():
        if choices := schema["properties"][argument].get("enum"):
            assert follow(described_as)["enum"] == choices
        assert bool(follow(described_as).get("writeOnly")) is bool(schema["properties"][argument].get("password"))


@pytest.mark.parametrize("name", sorted(TRIGGERS))
def test_a_route_gets_the_text_of_a_body_and_authenticates_itself(name: str) -> None:
    """`raw_string`: Windmill follows references in a body that it has read itself."""
    trigger = TRIGGERS[name]
    assert trigger["raw_string"] is True and trigger["authentication_method"] == "none"
    script = (ROOT / f"f/admin/{name}.py").read_text()
    assert f'open_desk("{name}", request' in script and "def preprocessor(event: dict)" in script
