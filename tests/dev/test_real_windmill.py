"""`./dev up` around a Windmill that is there: what it makes of its workspace, what it serves, what it leaves."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_windmill import ADMIN, FakeWindmill, Workspace
from systems import own_environment, read_variables, run_dev

from local import real_windmill
from local.push import GATEWAY_SCOPES
from local.running import StackError
from local.windmill import Windmill

SCHEDULE = "f/ops/sweep"


@pytest.fixture
def windmill() -> Iterator[FakeWindmill]:
    with FakeWindmill() as served:
        yield served
    assert served.unexpected == []


def around(windmill: FakeWindmill, folder: Path) -> dict[str, str]:
    given = {"WINDMILL_URL": windmill.url, "WINDMILL_TOKEN": ADMIN, "WINDMILL_WORKSPACE": "tried"}
    return own_environment(folder) | given


def test_a_windmill_that_is_there_serves_the_installation(windmill: FakeWindmill, tmp_path: Path) -> None:
    """All of it starts and the whole repository is pushed, which takes its seconds."""
    if not (os.environ.get("CADDY") or shutil.which("caddy")):
        pytest.skip("caddy is not installed (on Debian: apt-get install caddy)")
    environment = around(windmill, tmp_path)
    started = run_dev("up", "--detach", environment=environment).stdout
    try:
        assert f"Windmill    {windmill.url}  (workspace tried)" in started and "engine: starting" not in started
        held = windmill.workspaces["tried"]
        assert held.resources["f/lib/database"]["value"]["port"] == int(environment["POSTGRES_PORT"])
        assert held.resources["f/whatsapp/cloud_api"]["value"]["base_url"].endswith(environment["SIMULATOR_PORT"])
        assert held.schedules[SCHEDULE]["enabled"] and "f/whatsapp/webhook_processor" in held.flows
        # Who asks is told of the running one, whatever the shell has.
        plain = {name: value for name, value in environment.items() if not name.startswith("WINDMILL_")}
        told = read_variables(run_dev("env", environment=plain).stdout)
        assert (told["WINDMILL_URL"], told["WINDMILL_TOKEN"], told["WINDMILL_WORKSPACE"]) == (
            windmill.url,
            ADMIN,
            "tried",
        )
        # Only the gateway's file has its token, which may start runs of messages and no more.
        file = tmp_path / "gateway-token"
        (kept,) = [t for t in windmill.tokens.values() if t["label"] == "gateway-tried"]
        assert sorted(kept["scopes"]) == sorted(GATEWAY_SCOPES) and stat.S_IMODE(file.stat().st_mode) == 0o600
        assert httpx.get(f"{told['API_URL']}/health").json() == {"status": "ok"}
        assert httpx.get(f"{told['API_URL']}/api/w/tried/users/whoami").status_code == 404
        assert "Windmill" in run_dev("status", environment=plain).stdout
    finally:
        run_dev("down", environment=environment)
    assert not windmill.workspaces["tried"].schedules[SCHEDULE]["enabled"], "nothing answers where it leads"


@pytest.mark.parametrize("workspace", ["tried", "elsewhere"])
def test_a_workspace_with_customers_is_left_alone(windmill: FakeWindmill, workspace: str) -> None:
    variable: dict[str, Any] = {"path": real_windmill.MARK, "value": "false", "is_secret": False, "description": ""}
    windmill.workspaces["tried"] = Workspace(variables={real_windmill.MARK: variable})
    server = Windmill(windmill.url, workspace, ADMIN)
    if workspace == "elsewhere":
        real_windmill.check(server)
        return
    with pytest.raises(StackError, match="no local installation's"):
        real_windmill.check(server)
    variable["value"] = "true"
    real_windmill.check(server)


def test_without_caddy_nothing_is_started(windmill: FakeWindmill, tmp_path: Path) -> None:
    up = run_dev("up", environment=around(windmill, tmp_path) | {"PATH": "", "CADDY": ""}, check=False)
    assert up.returncode == 1 and "apt-get install caddy" in up.stderr
    assert windmill.changes == [] and not (tmp_path / "postgres").exists()


def test_a_windmill_that_is_not_there_is_named(tmp_path: Path) -> None:
    with FakeWindmill() as gone:
        environment = around(gone, tmp_path)
    up = run_dev("up", environment=environment, check=False)
    assert up.returncode == 1 and f"Windmill at {environment['WINDMILL_URL']} cannot be reached" in up.stderr
