"""`./dev up` and what is done with a running system."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from systems import ROOT, RunningStack, own_environment, read_variables, run_dev

from local.processes import free_port, is_taken
from local.settings import PORTS

KEYS = [
    "GATEWAY_URL",
    "API_URL",
    "WINDMILL_URL",
    "WINDMILL_WORKSPACE",
    "WINDMILL_TOKEN",
    "SIMULATOR_URL",
    "DATABASE_URL",
    "META_APP_SECRET",
    "META_VERIFY_TOKEN",
    "DEMO1_API_KEY",
    "DEMO1_CHATBOT_ID",
    "DEMO1_PHONE_NUMBER_ID",
    "DEMO2_API_KEY",
    "DEMO2_CHATBOT_ID",
    "DEMO2_PHONE_NUMBER_ID",
]


class Foreground:
    """`./dev up` in a terminal."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.cli", "up"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read_until(self, wanted: str) -> list[str]:
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if lines[-1] == wanted:
                return lines
        pytest.fail(f"never printed {wanted!r}:\n" + "\n".join(lines))

    def end(self, number: signal.Signals) -> str:
        self.process.send_signal(number)
        return self.finish()

    def finish(self) -> str:
        output, _ = self.process.communicate(timeout=60)
        return output


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An installation of this test's own, stopped at the end whatever happens."""
    made = own_environment(tmp_path / "data")
    yield made
    run_dev("down", environment=made)


def ports_in_use(environment: dict[str, str]) -> list[str]:
    return [name for name, _ in PORTS.values() if is_taken(int(environment[name]))]


def children_of(pid: int) -> dict[str, int]:
    """Command line → process id of the direct children."""
    pids = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return {Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(): child for child in pids}


def test_env_prints_exactly_the_documented_variables(stack: RunningStack) -> None:
    printed = stack.dev("env").stdout
    assert [line.split("=", 1)[0] for line in printed.splitlines()] == KEYS
    values = read_variables(printed)
    assert all(values[name] for name in KEYS)
    shell = subprocess.run(["sh", "-c", f"{printed}\necho $DATABASE_URL"], capture_output=True, text=True, check=True)
    assert shell.stdout.strip() == values["DATABASE_URL"]
    assert all(len(shlex.split(line)) == 1 for line in printed.splitlines())


def test_no_secret_is_on_a_command_line(stack: RunningStack) -> None:
    """Every user of the machine reads those."""
    password = urlsplit(stack.database_url).password
    lines = "".join(
        file.read_bytes().decode(errors="replace") for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()
    )
    for secret in (stack.windmill_token, stack.meta_app_secret, stack.demo1_api_key, password, "postgresql://engine"):
        assert secret and secret not in lines


def test_status_and_logs_of_a_running_system(stack: RunningStack) -> None:
    assert "running" in stack.dev("status").stdout
    assert stack.dev("logs", "postgres").stdout
    assert "no log named nonsense" in stack.dev("logs", "nonsense", check=False).stderr


def test_a_second_start_says_that_it_runs(stack: RunningStack) -> None:
    again = stack.dev("up", check=False)
    assert again.returncode == 1
    assert "already running" in again.stderr
    detached = stack.dev("up", "--detach")
    assert detached.stdout.splitlines()[-1] == "ready"


@pytest.mark.parametrize(
    ("chatbot", "question", "answer"),
    [
        ("bicis-ribera", "¿A qué hora abrís los sábados?", "10:00"),
        ("harbour-dental", "How much is a check-up?", "£52"),
    ],
)
def test_both_demo_tenants_answer_from_their_facts(
    stack: RunningStack, chatbot: str, question: str, answer: str
) -> None:
    said = stack.dev("say", question, "--to", chatbot, "--json")
    reply = json.loads(said.stdout)
    assert answer in reply["reply"]
    assert reply["outcome"] == "answered"
    assert reply["steps"] and reply["ms"] > 0


def test_the_database_of_a_running_system_verifies(stack: RunningStack) -> None:
    assert stack.dev("db", "verify").stdout == "the database is what create.sql says\n"


def test_ctrl_c_stops_all_of_it_and_the_next_start_keeps_the_data(environment: dict[str, str]) -> None:
    first = Foreground(environment)
    lines = first.read_until("ready")
    assert f"chat page   http://127.0.0.1:{environment['SIMULATOR_PORT']}" in lines
    run_dev("say", "hola", environment=environment)
    assert "stopped" in first.end(signal.SIGINT)
    assert first.process.returncode == 0
    assert ports_in_use(environment) == []

    second = Foreground(environment)
    second.read_until("ready")
    values = read_variables(run_dev("env", environment=environment).stdout)
    with psycopg.connect(values["DATABASE_URL"]) as connection:
        assert connection.execute("select count(*) from webhook_events where outcome = 'answered'").fetchone() == (1,)

    # Nothing is started again silently: when a part dies, all of it ends and says why.
    children = children_of(second.process.pid)
    engine = next(pid for line, pid in children.items() if "local.engine" in line)
    os.kill(engine, signal.SIGKILL)
    assert "engine ended with status -9" in second.finish()
    assert second.process.returncode == 1
    assert ports_in_use(environment) == []


def test_everything_ends_when_the_supervisor_is_killed(environment: dict[str, str]) -> None:
    up = Foreground(environment)
    up.read_until("ready")
    up.end(signal.SIGKILL)
    deadline = time.monotonic() + 15
    while ports_in_use(environment):
        assert time.monotonic() < deadline, ports_in_use(environment)
        time.sleep(0.1)


def test_a_port_in_use_is_named_with_its_variable(environment: dict[str, str]) -> None:
    taken = free_port()
    server = subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(taken)], stderr=-3)
    try:
        while not is_taken(taken):
            time.sleep(0.05)
        up = run_dev("up", environment=environment | {"GATEWAY_PORT": str(taken)}, check=False)
    finally:
        server.terminate()
        server.wait()
    assert up.returncode == 1
    assert f"port {taken} is in use: stop the program that uses it, or set GATEWAY_PORT" in up.stderr


def test_down_without_anything_running(environment: dict[str, str]) -> None:
    assert run_dev("down", environment=environment).stdout == "not running\n"
    assert run_dev("status", environment=environment, check=False).returncode == 1
