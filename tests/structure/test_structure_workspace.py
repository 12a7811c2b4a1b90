"""The rules for what Windmill reads: scripts, shared modules and flows below f/ and u/."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path for folder in ("f", "u") for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts
)
FLOWS = sorted(path for folder in ("f", "u") for path in (ROOT / folder).rglob("flow.yaml"))

#: Shared modules whose purpose is the database; the rest is tested without one.
DATABASE_MODULES = {
    "f/lib/database",
    "f/lib/alerts",
    "f/whatsapp/leases",
    "f/agent/tool_records",
    "f/usage/quotas",
    "f/whatsapp/contacts",
    "f/ops/ledger",
    "f/lib/api_auth",
    "f/admin/desk",
    "f/admin/api_keys",
    "f/knowledge/answering",
    "f/knowledge/crawling",
    "f/knowledge/crawls",
    "f/knowledge/gaps",
    "f/knowledge/ingestion",
    "f/knowledge/library",
    "f/knowledge/resyncs",
    "f/knowledge/retrieval",
    "f/knowledge/runs",
    "f/knowledge/versions",
}
DATABASE_PACKAGES = {"psycopg", "psycopg_pool", "pgvector"}
NOT_OURS = {"gateway", "local", "tests", "db", "mcp_servers", "exchange", "bench"}


def path_of(script: Path) -> str:
    return str(script.relative_to(ROOT).with_suffix(""))


@cache
def tree_of(script: Path) -> ast.Module:
    return ast.parse(script.read_text())


def main_of(script: Path) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    functions = (n for n in tree_of(script).body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return next((function for function in functions if function.name == "main"), None)


def imports_of(script: Path) -> Iterator[str]:
    """Dotted names of everything that `script` imports, wherever the import stands."""
    for node in ast.walk(tree_of(script)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def metadata_of(script: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(script.with_suffix(".script.yaml").read_text()))


def modules_of(flow: Path) -> Iterator[dict[str, Any]]:
    """Every step of a flow, those in loops and branches included."""

    def walk(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, list):
            for item in node:
                yield from walk(item)
        elif isinstance(node, dict):
            if "id" in node and isinstance(node.get("value"), dict):
                yield node
            for item in node.values():
                yield from walk(item)

    return walk(yaml.safe_load(flow.read_text())["value"])


nouns = pytest.mark.parametrize("module", [s for s in SCRIPTS if main_of(s) is None], ids=path_of)
scripts = pytest.mark.parametrize("script", SCRIPTS, ids=path_of)
runnable = pytest.mark.parametrize("script", [s for s in SCRIPTS if main_of(s) is not None], ids=path_of)
forms = pytest.mark.parametrize("script", [s for s in SCRIPTS if path_of(s).startswith("u/admin/")], ids=path_of)
flows = pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.parent.name)


@nouns
def test_a_shared_module_does_not_know_windmill(module: Path) -> None:
    assert not [name for name in imports_of(module) if name.split(".")[0] == "wmill"]


@nouns
def test_logic_does_not_know_the_database(module: Path) -> None:
    if path_of(module) in DATABASE_MODULES:
        return
    tops = {name.split(".")[0] for name in imports_of(module)}
    assert not tops & DATABASE_PACKAGES
    assert not {name for name in imports_of(module) if name.replace(".", "/") in DATABASE_MODULES}


@nouns
def test_a_shared_module_imports_no_step(module: Path) -> None:
    steps = {path_of(script) for script in SCRIPTS if main_of(script) is not None}
    assert not {name for name in imports_of(module) if name.replace(".", "/") in steps}


@cache
def names_in(script: Path) -> frozenset[str]:
    return frozenset(imports_of(script))


def reached_by(script: Path) -> set[str]:
    """Dotted names of everything that `script` and the modules it uses import."""
    seen: set[Path] = set()
    waiting, found = [script], set()
    while waiting:
        if (one := waiting.pop()) in seen:
            continue
        seen.add(one)
        names = names_in(one)
        found |= names
        waiting += [path for name in names if (path := (ROOT / name.replace(".", "/")).with_suffix(".py")).exists()]
    return found


def test_what_strangers_wrote_is_read_without_the_database_and_without_a_secret() -> None:
    """Steps on workers of the group `documents`: nothing in them knows the database or Windmill, and what they are
    given is an address, a setting and a ticket."""
    given: dict[str, set[str]] = {}
    for flow in FLOWS:
        for step in modules_of(flow):
            if step["value"].get("type") == "script":
                given[step["value"]["path"]] = set(map(str, step["value"]["input_transforms"].values()))
    tagged = [s for s in SCRIPTS if metadata_of(s).get("tag") == "documents"]
    assert [path_of(script) for script in tagged] == ["f/knowledge/parse_source", "f/knowledge/visit_site"]
    readers = {"f.knowledge.fetching", "f.knowledge.extraction", "f.knowledge.visits", "f.knowledge.pdf_text"}
    for script in [s for s in SCRIPTS if main_of(s) is not None]:
        reached = reached_by(script)
        if script in tagged:
            assert not {name for name in reached if name.split(".")[0] in DATABASE_PACKAGES | {"wmill"}}
            assert not reached & {"f.lib.windmill", "f.lib.variables", "f.lib.runs", "f.lib.database"}
            references = {value for value in given[path_of(script)] if "$" in value}
            assert all("$var:f/knowledge/exchange_url" in r or "$var:f/lib/local_addresses" in r for r in references)
        else:
            assert not reached & readers, path_of(script)


@scripts
def test_nothing_in_the_workspace_imports_what_is_around_it(script: Path) -> None:
    assert not {name for name in imports_of(script) if name.split(".")[0] in NOT_OURS}


@scripts
def test_a_script_has_its_metadata_and_lock(script: Path) -> None:
    path = path_of(script)
    assert metadata_of(script)["lock"] == f"!inline {path}.script.lock"
    assert metadata_of(script)["summary"]
    assert script.with_suffix(".script.lock").read_text().startswith("# py: 3.11\n")


@scripts
def test_what_windmill_locks_anew_is_the_lock(script: Path) -> None:
    """When a module is pushed, Windmill locks anew what imports it, from the block at the top of the file.

    Without one it looks at the imports at the top only, takes the newest versions and its own Python.
    """
    block = re.match(r"# /// script\n((?:#.*\n)*?)# ///\n", script.read_text())
    assert block is not None
    said = tomllib.loads(re.sub("^#", "", block[1], flags=re.MULTILINE))
    python, *pins = script.with_suffix(".script.lock").read_text().splitlines()
    assert said == {"requires-python": f"=={python.removeprefix('# py: ')}.*", "dependencies": pins}
    # Windmill's own lock has no line feed after its last pin.
    assert script.with_suffix(".script.lock").read_text().endswith("\n") == (not pins)


@runnable
def test_metadata_equals_the_signature(script: Path) -> None:
    main = main_of(script)
    assert main is not None
    arguments = [*main.args.args, *main.args.kwonlyargs]
    required = len(main.args.args) - len(main.args.defaults)
    schema = metadata_of(script)["schema"]
    assert set(schema["properties"]) == {argument.arg for argument in arguments}
    assert set(schema["required"]) == {argument.arg for argument in main.args.args[:required]}


@runnable
def test_a_script_says_what_it_is_for(script: Path) -> None:
    assert metadata_of(script)["description"].startswith("Purpose: ")


@forms
def test_a_form_says_what_is_to_be_filled_in(script: Path) -> None:
    schema = metadata_of(script)["schema"]
    assert [name for name, field in schema["properties"].items() if not field.get("description")] == []
    assert schema["order"] == [argument.arg for argument in main_of(script).args.args]  # type: ignore[union-attr]


@forms
def test_a_form_is_found_from_the_symptom(script: Path) -> None:
    assert f"`{path_of(script)}`" in (ROOT / "docs" / "operations.md").read_text()


@scripts
def test_locks_pin_what_is_tested(script: Path) -> None:
    """A script runs on Windmill with the versions that the tests ran with."""
    tested = set(re.findall(r"^([a-z0-9._-]+==[^ \\;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    pins = [line for line in script.with_suffix(".script.lock").read_text().splitlines() if not line.startswith("#")]
    assert [pin for pin in pins if pin.split(" ;")[0] not in tested] == []


@flows
def test_steps_of_a_flow_exist_and_get_what_they_need(flow: Path) -> None:
    for step in modules_of(flow):
        value = step["value"]
        if value.get("type") == "flow":
            assert (ROOT / f"{value['path']}__flow" / "flow.yaml").exists(), value["path"]
        elif value.get("type") == "script":
            script = ROOT / f"{value['path']}.py"
            assert script.exists(), value["path"]
            schema = metadata_of(script)["schema"]
            given = set(value["input_transforms"])
            assert given <= set(schema["properties"]), f"{step['id']} passes what {value['path']} does not take"
            assert set(schema["required"]) <= given, f"{step['id']} leaves out what {value['path']} needs"


@flows
def test_a_flow_can_be_read_in_the_editor(flow: Path) -> None:
    described = yaml.safe_load(flow.read_text())
    assert described["summary"] and described["description"]
    steps = list(modules_of(flow))
    assert [step["id"] for step in steps if not step.get("summary")] == []
    assert len({step["id"] for step in steps}) == len(steps)


def test_no_package_file_becomes_a_script() -> None:
    assert [path_of(script) for script in SCRIPTS if script.name == "__init__.py"] == []


def test_schedules_name_what_exists() -> None:
    for path in ROOT.glob("[fu]/**/*.schedule.yaml"):
        schedule = yaml.safe_load(path.read_text())
        target = f"{schedule['script_path']}{'__flow/flow.yaml' if schedule['is_flow'] else '.py'}"
        assert (ROOT / target).exists(), f"{path.name}: {target}"


def test_every_folder_says_who_may_write() -> None:
    """Without u/admin a push takes its own rights away and stops half-way; the groups are made by `./dev push`."""
    for folder in (path for path in (ROOT / "f").iterdir() if path.is_dir()):
        permissions = yaml.safe_load((folder / "folder.meta.yaml").read_text())["extra_perms"]
        assert permissions == {"g/admins": True, "g/operators": False, "u/admin": True}, folder.name
