"""docker-compose.yml, docker/Dockerfile and docker/Caddyfile as the tests read them."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from local.install import ROOT

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "docker" / "Dockerfile"
CADDYFILE = ROOT / "docker" / "Caddyfile"
#: What docker/Caddyfile imports.
ROUTES = ROOT / "docker" / "routes.caddy"

#: ${NAME}, ${NAME:-default}, ${NAME:?}.
VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?:(:-|:\?)([^}]*))?\}")

#: One value for each secret, in characters that an address takes as they are.
SECRETS = {
    "DATABASE_ADMIN_PASSWORD": "superuser-word",
    "OWNER_PASSWORD": "owner-word",
    "APP_PASSWORD": "app-word",
    "MANAGER_PASSWORD": "manager-word",
    "BACKUP_PASSWORD": "backup-word",
    "WINDMILL_DB_PASSWORD": "windmill-db-word",
    "WINDMILL_ADMIN_PASSWORD": "windmill-admin-word",
    "MCP_SIGNING_KEY": "k" * 48,
    "EXCHANGE_SIGNING_KEY": "e" * 48,
    "S3_ACCESS_KEY": "access-word",
    "S3_SECRET_KEY": "storage-word",
    "META_APP_SECRETS": "1234:app-secret",
    "META_VERIFY_TOKEN": "verify-word",
}


class Missing(Exception):
    """A variable without which the stack does not start."""


def resolve(node: Any, values: Mapping[str, str]) -> Any:
    """`node` with its variables filled in, as `docker compose` does it. Raises Missing."""
    if isinstance(node, dict):
        return {key: resolve(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [resolve(value, values) for value in node]
    if not isinstance(node, str):
        return node

    def value_of(match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        if values.get(name):
            return values[name]
        if operator == ":?":
            raise Missing(name)
        return default or ""

    filled = VARIABLE.sub(value_of, node)
    assert "$" not in filled, node
    return filled


@cache
def compose_text() -> str:
    return COMPOSE.read_text()


@cache
def _described() -> dict[str, Any]:
    return dict(yaml.safe_load(compose_text()))


def variables() -> dict[str, tuple[str, str]]:
    """Every variable of the compose file: its operator and its default."""
    found: dict[str, tuple[str, str]] = {}
    for name, operator, default in VARIABLE.findall(compose_text()):
        assert found.setdefault(name, (operator, default)) == (operator, default), f"{name} has two defaults"
    return found


def stack(**values: str) -> dict[str, Any]:
    """The compose file with SECRETS and `values`."""
    return dict(resolve(_described(), SECRETS | values))


def services(**values: str) -> dict[str, dict[str, Any]]:
    return dict(stack(**values)["services"])


@dataclass
class Stage:
    """A stage of the Dockerfile: `base` is an image or another stage."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        return [arguments for known, arguments in self.instructions if known == keyword]


@cache
def stages() -> dict[str, Stage]:
    found: dict[str, Stage] = {}
    lines = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, map(str.strip, lines.splitlines())):
        keyword, arguments = line.split(maxsplit=1)
        if keyword == "FROM":
            base, word, name = arguments.split()
            assert word == "AS"
            stage = found[name] = Stage(base, name)
        else:
            stage.instructions.append((keyword, arguments))
    return found


def copies(stage: Stage) -> list[tuple[list[str], str]]:
    """What a stage copies: sources and destination."""
    parsed = [shlex.split(arguments) for arguments in stage.all("COPY")]
    return [(words[:-1], words[-1]) for words in parsed]
