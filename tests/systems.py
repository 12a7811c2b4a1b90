"""Types and helpers of the fixtures in conftest.py, for tests that start systems of their own."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local.credentials import WORKSPACE
from local.processes import free_port
from local.settings import PORTS, WINDMILL

ROOT = Path(__file__).parent.parent
MODEL_VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL")
#: Whose `./dev env` is in the environment, that running system is tested.
STACK_VARIABLES = ("GATEWAY_URL", "SIMULATOR_URL", "DEMO1_API_KEY")
IS_RUNNING_GIVEN = all(os.environ.get(name) for name in STACK_VARIABLES)
#: Whether the system stands on a real Windmill, where each step is a process of its own.
ON_WINDMILL = bool(os.environ.get("WINDMILL_URL")) and os.environ.get("WINDMILL_WORKSPACE") != WORKSPACE
#: How many times longer than on the local engine anything may take.
PATIENCE = 6 if ON_WINDMILL else 1
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
        if arguments[0] == "say":
            arguments = (*arguments, "--timeout", str(60 * PATIENCE))
        return run_dev(*arguments, environment=self.environment, check=check)

    def windmill(self, method: str, path: str, **request: Any) -> httpx.Response:
        """A call of Windmill's API, `path` below the workspace."""
        url = f"{self.windmill_url}/api/w/{self.windmill_workspace}/{path.lstrip('/')}"
        headers = {"authorization": f"Bearer {self.windmill_token}"}
        return httpx.request(method, url, headers=headers, timeout=60 * PATIENCE, **request)

    def newest_runs(self, number: int) -> list[dict[str, Any]]:
        """The newest runs that have ended, as Windmill keeps them: arguments, result, log."""
        ended = self.windmill("GET", f"jobs/completed/list?per_page={number}").json()
        return [self.windmill("GET", f"jobs_u/get/{run['id']}").json() for run in ended]

    def due_runs(self, path: str = "") -> list[dict[str, Any]]:
        """Runs that run or could, of the script or flow `path` or of all: those of schedules wait for their time."""
        queued = self.windmill("GET", f"jobs/queue/list?per_page=1000{path and f'&script_path_exact={path}'}").json()
        now = datetime.now(UTC)
        return [run for run in queued if not (at := run["scheduled_for"]) or datetime.fromisoformat(at) <= now]

    def connect(self) -> psycopg.Connection[Any]:
        """A connection to the platform's database as its owner."""
        return psycopg.connect(self.database_url, autocommit=True)


def until(holds: Callable[[], object], seconds: float = 30, pause: float = 0.1) -> None:
    """Wait until it holds: so many seconds on the local engine, PATIENCE times as many on a real Windmill."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(pause)


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
    none = dict.fromkeys(("DATABASE_URL", "SIMULATOR_URL", *WINDMILL, *MODEL_VARIABLES), "")
    return os.environ | mine | none | {"DATA_DIR": str(data_dir)}


def given_windmill() -> dict[str, str]:
    """The variables of the real Windmill that whoever called pytest wants the system to stand on, or none.

    Beside the other variables of `./dev env` they tell of a running system, which is used as it is.
    """
    if IS_RUNNING_GIVEN or not os.environ.get("WINDMILL_URL"):
        return {}
    return {name: os.environ[name] for name in WINDMILL if name in os.environ}


def read_variables(text: str) -> dict[str, str]:
    """What `./dev env` printed."""
    return dict(word.split("=", 1) for word in shlex.split(text))
