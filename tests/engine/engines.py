"""Engines for tests: a real process on a real database, and short ways to write the workspace that it serves."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent.parent
TOKEN = "token-of-the-tests"
START_SECONDS = 30
#: Connections are not kept: engines come and go.
CLIENT = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=60, trust_env=False)

#: Path below the workspace → text, or a mapping that is written as YAML (JSON is YAML).
Files = Mapping[str, Any]


# Flows, in few words -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Js:
    """A JavaScript transform, where a plain value would be a static one."""

    expr: str


def transform(value: Any) -> dict[str, Any]:
    return {"type": "javascript", "expr": value.expr} if isinstance(value, Js) else {"type": "static", "value": value}


def transforms(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: transform(value) for name, value in inputs.items()}


def code(step: str, content: str, inputs: Mapping[str, Any] | None = None, **module: Any) -> dict[str, Any]:
    """A step of inline Python."""
    value = {"type": "rawscript", "language": "python3", "content": content}
    return {"id": step, "value": value | {"input_transforms": transforms(inputs or {})}, **module}


def script(step: str, path: str, inputs: Mapping[str, Any] | None = None, **module: Any) -> dict[str, Any]:
    return {
        "id": step,
        "value": {"type": "script", "path": path, "input_transforms": transforms(inputs or {})},
        **module,
    }


def stops(step: str, *, when: str, skips: bool = False, message: str | None = None) -> dict[str, object]:
    """What a step has besides, that the flow or the loop may stop after it. `step`: stop_after_if or another one."""
    return {step: {"expr": when, "skip_if_stopped": skips, **({"error_message": message} if message else {})}}


def subflow(step: str, path: str, inputs: Mapping[str, Any] | None = None, **module: Any) -> dict[str, Any]:
    return {"id": step, "value": {"type": "flow", "path": path, "input_transforms": transforms(inputs or {})}, **module}


def give(step: str, value: Any, **module: Any) -> dict[str, Any]:
    """A step whose result is `value`."""
    return code(step, "def main(value): return value", {"value": value}, **module)


def fail(step: str, message: str = "broken", **module: Any) -> dict[str, Any]:
    return code(step, f"def main(): raise ValueError({message!r})", **module)


def each(step: str, items: Any, modules: list[Any], module: Mapping[str, Any] | None = None, **value: Any) -> Any:
    """A for loop; `module` are keys beside its value."""
    loop = {"type": "forloopflow", "iterator": transform(items), "modules": modules, "skip_failures": False, **value}
    return {"id": step, "value": loop, **(module or {})}


def branch_one(step: str, branches: Mapping[str, list[Any]], default: list[Any], **module: Any) -> dict[str, Any]:
    chosen = [{"expr": expr, "modules": modules} for expr, modules in branches.items()]
    return {"id": step, "value": {"type": "branchone", "branches": chosen, "default": default}, **module}


def branch_all(step: str, *branches: list[Any], module: Mapping[str, Any] | None = None, **value: Any) -> Any:
    all_of_them = [{"modules": modules, "skip_failure": False} for modules in branches]
    return {"id": step, "value": {"type": "branchall", "branches": all_of_them, **value}, **(module or {})}


def flow(*modules: Any, **value: Any) -> dict[str, Any]:
    return {"summary": "", "value": {"modules": list(modules), **value}}


def write_files(root: Path, files: Files) -> Path:
    """Write a workspace. `f/a/b.flow` is short for `f/a/b__flow/flow.yaml`."""
    for name, content in files.items():
        place = root / (f"{name.removesuffix('.flow')}__flow/flow.yaml" if name.endswith(".flow") else name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content if isinstance(content, str) else json.dumps(content))
    return root


# Engines -----------------------------------------------------------------------------------------------------------


@dataclass
class Engine:
    """An engine process, and a client of it."""

    workspace: Path
    port: int
    database_url: str
    data_dir: Path
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.data_dir / "engine.log"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def command(self) -> list[str]:
        options = ["--workspace", str(self.workspace), "--port", str(self.port), "--token", TOKEN]
        options += ["--database-url", self.database_url, "--data-dir", str(self.data_dir)]
        return [sys.executable, "-m", "local.engine", *options, *self.options]

    def start(self) -> "Engine":
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=ROOT, stdout=log, stderr=log, env=os.environ | dict(self.environment)
            )
        wait_until(self.answers, START_SECONDS, f"the engine does not answer:\n{self.log.read_text()}")
        return self

    def answers(self) -> bool:
        assert self.process is not None
        if (status := self.process.poll()) is not None:
            raise AssertionError(f"the engine ended with {status}:\n{self.log.read_text()}")
        with contextlib.suppress(httpx.TransportError):
            return CLIENT.get(f"{self.url}/api/version", timeout=5).status_code == httpx.codes.OK
        return False

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 15) -> int:
        """Ask it to end; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def api(self, method: str, path: str, *, token: str | None = TOKEN, **request: Any) -> httpx.Response:
        """A call of the API; `path` below the workspace, or below the server where it begins with /api."""
        headers = {**({"authorization": f"Bearer {token}"} if token else {}), **request.pop("headers", {})}
        place = path if path.startswith("/api") else f"/api/w/local/{path}"
        return CLIENT.request(method, f"{self.url}{place}", headers=headers, **request)

    def call(self, kind: str, path: str, args: Mapping[str, Any] | None = None, **request: Any) -> httpx.Response:
        """Run a script (`p`) or flow (`f`) and wait for its answer."""
        return self.api("POST", f"jobs/run_wait_result/{kind}/{path}", json=args or {}, **request)

    def result(self, kind: str, path: str, args: Mapping[str, Any] | None = None) -> Any:
        """What a script or flow gives, which must succeed."""
        answer = self.call(kind, path, args)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()

    def error(self, kind: str, path: str, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The error of a script or flow, which must fail with one."""
        answer = self.call(kind, path, args)
        assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text
        return dict(answer.json()["error"])

    def queue(self, kind: str, path: str, args: Mapping[str, Any] | None = None, **query: Any) -> str:
        """Start a run; its id."""
        answer = self.api("POST", f"jobs/run/{kind}/{path}", json=args or {}, params=query)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        return answer.text

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.api("GET", f"jobs_u/get/{job_id}")
        assert answer.status_code == httpx.codes.OK, f"{answer.text}\n{self.log.read_text()[-5000:]}"
        return dict(answer.json())

    def is_done(self, job_id: str) -> bool:
        return self.job(job_id)["type"] == "CompletedJob"

    def finished(self, job_id: str, seconds: float = 30) -> dict[str, Any]:
        """The run, once it is done."""
        wait_until(lambda: self.is_done(job_id), seconds, f"job {job_id} does not end")
        return self.job(job_id)


def wait_until(holds: Callable[[], Any], seconds: float = 10, message: str = "it did not come") -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


def processes_below(pid: int) -> Iterator[tuple[int, str]]:
    """Children of a process, and theirs: pid and command line."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(place.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(place.parent.name))
    waiting = list(parents.get(pid, []))
    while waiting:
        child = waiting.pop()
        waiting += parents.get(child, [])
        with contextlib.suppress(OSError):
            yield child, Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def find_process(command: str) -> int | None:
    """A living process with exactly this command line."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if place.read_text().replace("\0", " ").strip() == command and is_alive(int(place.parent.name)):
                return int(place.parent.name)
    return None
