"""The command: help, what it says when it cannot work, its state file."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from simulator_systems import DENTAL, Simulator, run, write_config

from local.processes import free_port
from local.simulator.__main__ import main


def test_help() -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in ("--port", "--config", "gateway_url", "access_token"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"app_secret": None}, "lacks app_secret"),
        ({"gateway_url": "", "state": None}, "lacks gateway_url, state"),
        ({"numbers": []}, "at least one number"),
        ({"numbers": [DENTAL | {"access_token": ""}]}, "numbers[0] lacks access_token"),
        ({"state": "/proc/none/simulator.sqlite"}, "cannot be used"),
    ],
)
def test_a_configuration_that_is_not_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], complaint: str
) -> None:
    assert main(["--port", str(free_port()), "--config", str(write_config(tmp_path, **changes))]) == 2
    said = capsys.readouterr().err
    assert said.startswith("simulator: ") and complaint in said
    assert "a secret of these tests" not in said


@pytest.mark.parametrize(("text", "complaint"), [(None, "cannot be read"), ("{", "is not JSON"), ("[]", "an object")])
def test_a_file_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, complaint: str
) -> None:
    path = tmp_path / "simulator.json"
    if text is not None:
        path.write_text(text)
    assert main(["--port", str(free_port()), "--config", str(path)]) == 2
    assert complaint in capsys.readouterr().err


def test_a_port_that_is_in_use(simulator: Simulator, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    done = run("--port", str(simulator.port), "--config", write_config(other))
    assert done.returncode == 3
    assert f"cannot listen on port {simulator.port}" in done.stderr
    assert "in use" in done.stderr


def test_the_state_is_the_owners_and_of_this_version(simulator: Simulator, tmp_path: Path) -> None:
    state = tmp_path / "simulator.sqlite"
    assert state.stat().st_mode & 0o077 == 0
    assert simulator.stop() == 0
    with sqlite3.connect(state) as database:
        database.execute("pragma user_version = 99")
    done = run("--port", str(simulator.port), "--config", simulator.config)
    assert (done.returncode, "another version" in done.stderr) == (2, True)
