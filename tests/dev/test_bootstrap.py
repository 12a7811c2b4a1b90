"""local/bootstrap.py: the catalogue of resources and variables, and how a workspace gets it."""

from pathlib import Path

import pytest
from fake_windmill import ADMIN, FakeWindmill, Workspace

from local import bootstrap
from local.windmill import WindmillError

VALUES = {
    "APP_PASSWORD": "word",
    "MANAGER_PASSWORD": "word",
    "DATABASE_HOST": "db",
    "DATABASE_NAME": "chatbots",
    "MCP_SIGNING_KEY": "k" * 32,
    "EXCHANGE_SIGNING_KEY": "e" * 32,
}


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
        bootstrap.BootstrapError,
        match="needs values for APP_PASSWORD, DATABASE_HOST, DATABASE_NAME, EXCHANGE_SIGNING_KEY, MANAGER_PASSWORD",
    ):
        bootstrap.read_catalogue({})


def test_no_two_resources_share_a_variable() -> None:
    """Windmill deletes a resource's variables with it."""
    named: list[str] = []
    for resource in bootstrap.read_catalogue(VALUES)["resources"]:
        named += [v for v in resource["value"].values() if isinstance(v, str) and v.startswith("$var:")]
    assert len(named) == len(set(named))


def test_values_are_named_with_what_lacks_them() -> None:
    catalogue = bootstrap.read_catalogue({}, complete=False)
    lacking = {item["path"]: item["missing"] for kind in ("variables", "resources") for item in catalogue[kind]}
    assert lacking["f/lib/database"] == ["DATABASE_HOST", "DATABASE_NAME"]
    assert lacking["f/agent/openai"] == []


def test_a_number_that_is_none_is_named() -> None:
    with pytest.raises(bootstrap.BootstrapError, match="port is '54x2': a whole number is expected"):
        bootstrap.read_catalogue(VALUES | {"DATABASE_PORT": "54x2"})
    with pytest.raises(bootstrap.BootstrapError, match="run_retention_days is '0': a whole number"):
        bootstrap.read_catalogue(VALUES | {"RUN_RETENTION_DAYS": "0"})


def test_what_exists_stays_unless_forced(tmp_path: Path) -> None:
    path = catalogue_of(
        tmp_path,
        "resource_types: {}\nfolders: [lib]\nresources: []\n"
        "variables: [{path: f/lib/a, description: A, secret: true, value: '${A:-}'}]\n",
    )
    with FakeWindmill() as windmill:
        held = windmill.workspaces["shop"] = Workspace()

        def apply(value: str, **options: bool) -> list[str]:
            return bootstrap.apply(bootstrap.read_catalogue({"A": value}, path), windmill.url, "shop", ADMIN, **options)

        assert apply("1") == ["create folder lib", "create variable f/lib/a"]
        assert apply("2") == []
        assert apply("2", force=True) == ["update variable f/lib/a"]
        assert apply("2", force=True) == []
        assert held.variables["f/lib/a"]["value"] == "2"
        # A local installation is what its environment says, also where that says nothing any more.
        assert apply("", force=True) == ["update variable f/lib/a"]
    assert windmill.unexpected == []


def test_a_refusal_is_told_with_what_windmill_said(tmp_path: Path) -> None:
    path = catalogue_of(tmp_path, "resource_types: {}\nfolders: [lib]\nresources: []\nvariables: []\n")
    with (
        FakeWindmill() as windmill,
        pytest.raises(WindmillError, match="GET /w/shop/folders/exists/lib: 401 Unauthorized"),
    ):
        bootstrap.apply(bootstrap.read_catalogue({}, path), windmill.url, "shop", "no-such-token")
