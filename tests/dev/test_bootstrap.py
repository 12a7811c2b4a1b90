"""local/bootstrap.py: the catalogue of resources and variables, and how a workspace gets it."""

from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from local import bootstrap

WORKSPACE = "/api/w/shop"
VALUES = {"APP_PASSWORD": "word", "MANAGER_PASSWORD": "word", "DATABASE_HOST": "db", "DATABASE_NAME": "chatbots"}


def catalogue_of(path: Path, text: str) -> Path:
    (path / "catalogue.yaml").write_text(text)
    return path / "catalogue.yaml"


def test_values_come_from_the_environment_and_numbers_are_numbers() -> None:
    catalogue = bootstrap.read_catalogue(VALUES | {"DATABASE_PORT": "6000"})
    database = next(r for r in catalogue["resources"] if r["path"] == "f/lib/database")["value"]
    assert (database["host"], database["port"]) == ("db", 6000)
    assert database["password"] == "$var:f/lib/database_password"
    password = next(v for v in catalogue["variables"] if v["path"] == "f/lib/database_password")
    assert password["value"] == "word" and password["secret"] is True


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({}, ""),
        ({"GOOGLE_API_KEY": "b"}, "b"),
        ({"GEMINI_API_KEY": "a", "GOOGLE_API_KEY": "b"}, "a"),
        ({"GEMINI_API_KEY": "", "GOOGLE_API_KEY": "b"}, "b"),
    ],
)
def test_the_first_of_several_variables_with_a_value_counts(values: dict[str, str], key: str) -> None:
    variables = bootstrap.read_catalogue(VALUES | values)["variables"]
    assert [v["value"] for v in variables if v["path"] == "f/agent/gemini_api_key"] == [key]


def test_every_missing_value_is_named() -> None:
    with pytest.raises(
        bootstrap.BootstrapError, match="needs values for APP_PASSWORD, DATABASE_HOST, DATABASE_NAME, MANAGER_PASSWORD"
    ):
        bootstrap.read_catalogue({})


def test_no_two_resources_share_a_variable() -> None:
    """Windmill deletes a resource's variables with it."""
    named: list[str] = []
    for resource in bootstrap.read_catalogue(VALUES)["resources"]:
        named += [v for v in resource["value"].values() if isinstance(v, str) and v.startswith("$var:")]
    assert len(named) == len(set(named))


def test_what_exists_stays_unless_forced(httpserver: HTTPServer, tmp_path: Path) -> None:
    path = catalogue_of(
        tmp_path,
        "resource_types: {}\nfolders: [lib]\nresources: []\n"
        "variables: [{path: f/lib/a, description: A, secret: true, value: '${A}'}]\n",
    )
    catalogue = bootstrap.read_catalogue({"A": "1"}, path)
    httpserver.expect_request(f"{WORKSPACE}/folders/exists/lib").respond_with_json(True)
    httpserver.expect_request(f"{WORKSPACE}/variables/exists/f/lib/a").respond_with_json(True)
    changed = httpserver.expect_request(
        f"{WORKSPACE}/variables/update/f/lib/a",
        method="POST",
        headers={"authorization": "Bearer key"},
        json={"path": "f/lib/a", "value": "1", "is_secret": True, "description": "A"},
    )
    changed.respond_with_data("f/lib/a")
    assert bootstrap.apply(catalogue, httpserver.url_for(""), "shop", "key") == []
    assert bootstrap.apply(catalogue, httpserver.url_for(""), "shop", "key", force=True) == [
        "updated variables f/lib/a"
    ]


def test_a_refusal_is_told_with_what_windmill_said(httpserver: HTTPServer, tmp_path: Path) -> None:
    path = catalogue_of(tmp_path, "resource_types: {}\nfolders: [lib]\nresources: []\nvariables: []\n")
    httpserver.expect_request(f"{WORKSPACE}/folders/exists/lib").respond_with_data("no such token", status=401)
    with pytest.raises(bootstrap.BootstrapError, match="GET /folders/exists/lib: 401 no such token"):
        bootstrap.apply(bootstrap.read_catalogue({}, path), httpserver.url_for(""), "shop", "key")
