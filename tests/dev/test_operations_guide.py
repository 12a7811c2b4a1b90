"""docs/operations.md is about what there is."""

import ast
import re
import shlex
from pathlib import Path

import psycopg
import pytest
from systems import Database

from f.ops.news import KINDS
from local.cli import build_parser

ROOT = Path(__file__).parents[2]
RAISERS = ("raise_alert", "raise_alerts")
GUIDE = (ROOT / "docs" / "operations.md").read_text()


def kinds_raised() -> set[str]:
    """The kinds that scripts and servers raise alerts of, where they are written as text."""
    found: set[str] = set()
    for path in [*ROOT.glob("f/**/*.py"), *ROOT.glob("mcp_servers/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISERS:
                found |= {arg.value for arg in node.args[2:3] if isinstance(arg, ast.Constant)}
    return found


@pytest.mark.parametrize("kind", sorted(kinds_raised() | KINDS.keys()))
def test_every_alert_has_a_severity_a_title_and_a_remedy(kind: str) -> None:
    assert kind in KINDS, "give it a severity and a title in f/ops/news.py"
    assert f"`{kind}`" in GUIDE, "say in docs/operations.md what to do"


def test_every_query_works(seeded_database: Database) -> None:
    blocks = re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) >= 8
    with psycopg.connect(seeded_database.owner_url, autocommit=True) as connection:
        for block in blocks:
            connection.execute(block.encode())


def test_every_command_exists() -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]
    commands = [line.replace("./db/manage_db.sh", "./dev db") for line in lines if line.startswith("./d")]
    assert commands
    for command in commands:
        build_parser().parse_args(shlex.split(command)[1:])
