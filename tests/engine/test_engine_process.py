"""The process: how it starts, and why it may not."""

import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from engines import ROOT, TOKEN, Engine, flow, give, processes_below, write_files

from local.processes import free_port

FILES = {"f/a/x.py": "def main(): return 1", "f/a/y.flow": flow(give("a", 2))}


def run(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local.engine", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)


def needed(engine: Engine, **changed: object) -> list[object]:
    options = {"workspace": engine.workspace, "port": free_port(), "token": TOKEN, "database-url": engine.database_url}
    return [word for name, value in {**options, **changed}.items() for word in (f"--{name}", value)]


@pytest.fixture(scope="module")
def stopped(make_engine: Callable[..., Engine]) -> Engine:
    return make_engine(FILES, started=False)


def test_a_port_in_use_is_named(stopped: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(*needed(stopped, port=port))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"engine: cannot listen on port {port}:")


def test_a_database_that_does_not_answer_is_named_without_its_password(stopped: Engine) -> None:
    port = free_port()
    done = run(*needed(stopped, **{"database-url": f"postgresql://ann:secret@127.0.0.1:{port}/engine"}))
    assert done.returncode == 2
    assert f"engine: cannot use the database at 127.0.0.1:{port}/engine" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "postgresql://127.0.0.1:port/x"])
def test_an_address_that_is_none_is_refused(stopped: Engine, url: str) -> None:
    done = run(*needed(stopped, **{"database-url": url}))
    assert done.returncode == 2
    assert "engine: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "options",
    [[], ["--port", "x"], ["--workers", "0"], ["--workers", "-1"], ["--port", "99999"], ["--nonsense"]],
)
def test_wrong_arguments_are_refused(stopped: Engine, options: list[str]) -> None:
    done = run(*(needed(stopped) if options else []), *options)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_workspace_that_is_not_supported_is_refused(stopped: Engine) -> None:
    broken = write_files(stopped.workspace.parent / "broken", {"f/a/x.ts": "?"})
    done = run(*needed(stopped, workspace=broken))
    assert (done.returncode, done.stderr.strip()) == (
        2,
        "engine: f/a/x.ts: language ts is not supported; only python3 is",
    )


@pytest.mark.slow
def test_without_a_database_it_brings_its_own_and_removes_it(stopped: Engine) -> None:
    port = free_port()
    command = [sys.executable, "-m", "local.engine", "--workspace", stopped.workspace, "--port", port, "--token", TOKEN]
    engine = Engine(stopped.workspace, port, "", stopped.data_dir)
    engine.command = lambda: list(map(str, command))  # type: ignore[method-assign]
    engine.start()
    assert engine.result("f", "f/a/y") == 2
    below = [command for _, command in processes_below(engine.pid)]
    assert [command for command in below if "postgres" in command]
    assert engine.stop() == 0
    assert not list(processes_below(engine.pid))
