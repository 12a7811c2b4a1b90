"""What one does with a stack from outside: start it in the background, stop it, look at it."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from local import database
from local.credentials import DEMO1, DEMO2, Credentials
from local.install import ROOT
from local.running import StackError, find_running
from local.settings import Settings
from local.stack import Stack, addresses, answers, windmill_of

STOP_SECONDS = 60


def serve(settings: Settings, environment: Mapping[str, str]) -> None:
    """Run the stack until a signal ends it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        Stack(settings, environment, _say).run()
    except KeyboardInterrupt:
        _say("stopped")


def serve_in_background(settings: Settings) -> None:
    """Start the stack as a process of its own and return once it is ready; a running one is left as it is."""
    log = settings.logs / "up.log"
    settings.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    settings.logs.mkdir(mode=0o700, exist_ok=True)
    process = None
    if find_running(settings.data_dir) is None:
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "local.cli", "up"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                start_new_session=True,
            )
        for line in _follow_start(process, log):
            _say(line)
        return
    while (running := find_running(settings.data_dir)) and not running.ready:
        time.sleep(0.2)
    if running is None:
        raise StackError("the stack that was starting has ended: see ./dev logs up")
    for line in (f"already running (pid {running.pid})", *addresses(running.settings), "ready"):
        _say(line)


def stop_running(settings: Settings) -> None:
    """Stop the stack of the data directory, wherever it was started, and wait until it is gone."""
    running = find_running(settings.data_dir)
    if running is None:
        _say("not running")
        return
    os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while (still := find_running(settings.data_dir)) and still.pid == running.pid:
        if time.monotonic() > deadline:
            raise StackError(f"process {running.pid} does not stop: see ./dev logs")
        time.sleep(0.1)
    _say("stopped")


def show_status(settings: Settings) -> bool:
    """Print what runs. Returns whether all of it works."""
    running = find_running(settings.data_dir)
    if running is None:
        _say(f"not running ({settings.data_dir})")
        return False
    here = running.settings
    _say(f"{'running' if running.ready else 'starting'} (pid {running.pid}, {here.data_dir})")
    checks = {
        "gateway": f"{here.gateway_url}/ready",
        "API": f"{here.api_url}/health",
        "Windmill" if here.real_windmill else "engine": f"{here.windmill_url}/api/version",
        "simulator": f"{here.simulator_url}/health",
        **{name: f"{url}/health" for name, url in here.tool_server_urls.items()},
        "exchange": f"{here.exchange_url}/health",
    }
    states = {name: answers(url) for name, url in checks.items()}
    for name, works in states.items():
        _say(f"{name:20}{'ok' if works else 'DOES NOT ANSWER'}  {checks[name]}")
    return running.ready and all(states.values())


def show_logs(settings: Settings, name: str | None, follow: bool) -> None:
    """Print the end of one log or of all; with `follow`, what is added, until interrupted."""
    logs = {path.stem: path for path in sorted(settings.logs.glob("*.log"))}
    logs["postgres"] = settings.data_dir / "postgres" / "postgres.log"
    logs = {key: path for key, path in logs.items() if path.exists()}
    if name and name not in logs:
        raise StackError(f"no log named {name}: there are {', '.join(logs) or 'none yet'}")
    paths = [logs[name]] if name else list(logs.values())
    if not paths:
        raise StackError("there are no logs yet")
    command = ["tail", "-n", "200" if name else "20", *(["-F"] if follow else []), "--", *map(str, paths)]
    sys.stdout.flush()
    os.execvp(command[0], command)  # noqa: S606  # no shell is wanted


def variables(settings: Settings) -> dict[str, str]:
    """Addresses, ids and secrets of the installation, as `./dev env` prints them."""
    running = find_running(settings.data_dir)
    here = running.settings if running else settings
    credentials = Credentials.load(here.data_dir)
    windmill = windmill_of(here, credentials)
    return {
        "GATEWAY_URL": here.gateway_url,
        "API_URL": here.api_url,
        "WINDMILL_URL": windmill.url,
        "WINDMILL_WORKSPACE": windmill.workspace,
        "WINDMILL_TOKEN": windmill.token,
        "SIMULATOR_URL": here.simulator_url,
        "DATABASE_URL": database.addresses(here, credentials).owner_url,
        "META_APP_SECRET": credentials.meta_app_secret,
        "META_VERIFY_TOKEN": credentials.meta_verify_token,
        "DEMO1_API_KEY": credentials.demo1_api_key,
        "DEMO1_CHATBOT_ID": DEMO1.chatbot_id,
        "DEMO1_PHONE_NUMBER_ID": DEMO1.phone_number_id,
        "DEMO2_API_KEY": credentials.demo2_api_key,
        "DEMO2_CHATBOT_ID": DEMO2.chatbot_id,
        "DEMO2_PHONE_NUMBER_ID": DEMO2.phone_number_id,
    }


def show_variables(settings: Settings) -> None:
    for name, value in variables(settings).items():
        _say(f"{name}={shlex.quote(value)}")


def _follow_start(process: subprocess.Popen[bytes], log: Path) -> Iterator[str]:
    """Lines of `log` up to `ready`. Raises StackError when the process ends before."""
    with log.open() as file:
        pending = ""
        while True:
            ended = process.poll() is not None
            while line := file.readline():
                pending += line
                if pending.endswith("\n"):
                    yield pending.rstrip("\n")
                    if pending == "ready\n":
                        return
                    pending = ""
            if ended:
                raise StackError("the stack did not start")
            time.sleep(0.1)


def _say(line: str) -> None:
    print(line, flush=True)
