"""Types and helpers of the fixtures in conftest.py, for tests that start systems of their own."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local.processes import free_port
from local.settings import PORTS

ROOT = Path(__file__).parent.parent
MODEL_VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL")
PASSWORDS = {"owner": "owner-word", "app": "app-word", "manager": "manager-word", "backup": "backup-word"}


@dataclass(frozen=True)
class Database:
    """A database of one test: addresses, and the `postgresql` resources that scripts get."""

    name: str
    owner_url: str
    app_url: str
    manager_url: str
    backup_url: str
    app_resource: dict[str, Any]
    manager_resource: dict[str, Any]


class RunningStack:
    """The whole system. Every variable of `./dev env` is an attribute in small letters: `stack.gateway_url`."""

    def __init__(self, variables: dict[str, str], environment: dict[str, str]) -> None:
        self.variables = variables
        self.environment = environment

    def __getattr__(self, name: str) -> str:
        try:
            return self.__dict__["variables"][name.upper()]
        except KeyError:
            raise AttributeError(name) from None

    def dev(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `./dev` with `arguments` for this system."""
        return run_dev(*arguments, environment=self.environment, check=check)

    def windmill(self, method: str, path: str, **request: Any) -> httpx.Response:
        """A call of Windmill's API, `path` below the workspace."""
        url = f"{self.windmill_url}/api/w/{self.windmill_workspace}/{path.lstrip('/')}"
        headers = {"authorization": f"Bearer {self.windmill_token}"}
        return httpx.request(method, url, headers=headers, timeout=60, **request)

    def connect(self) -> psycopg.Connection[Any]:
        """A connection to the platform's database as its owner."""
        return psycopg.connect(self.database_url, autocommit=True)


def run_dev(*arguments: str, environment: dict[str, str], check: bool = True) -> subprocess.CompletedProcess[str]:
    """`./dev ARGUMENTS` in this Python environment."""
    command = [sys.executable, "-m", "local.cli", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        pytest.fail(f"./dev {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def own_environment(data_dir: Path) -> dict[str, str]:
    """An environment for an installation beside all others: its own data and free ports."""
    mine = {name: str(free_port()) for name, _ in PORTS.values()}
    # Set and empty, so that neither the caller's environment nor .env reaches the tests.
    none = dict.fromkeys(("DATABASE_URL", "SIMULATOR_URL", *MODEL_VARIABLES), "")
    return os.environ | mine | none | {"DATA_DIR": str(data_dir)}


def read_variables(text: str) -> dict[str, str]:
    """What `./dev env` printed."""
    return dict(word.split("=", 1) for word in shlex.split(text))
