"""Processes that run scripts: templates that are forked for each job, or a fresh process for each."""

import ast
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from subprocess import Popen
from threading import Lock
from typing import Any
from uuid import UUID

from local.engine.runner import receive, send
from local.processes import spawn, stop

RUNNER = Path(__file__).with_name("runner.py")
#: Bytes of a job's output that are kept.
MOST_OUTPUT = 256 << 10
#: Seconds until the process of a job has begun: a template may be importing large packages.
BEGIN_SECONDS = 60
#: Times that a job is given to a process until one takes it, and the first pause between them, which doubles.
BEGINNINGS = 6
BEGIN_PAUSE = 0.05


class ProcessDied(Exception):
    """The job's process ended without a result: killed, or out of memory."""


class NotBegun(ProcessDied):
    """The process ended, or its template did, before it was given the job: nothing of it has happened."""


class TimedOut(Exception):
    """The job took longer than it may, and was killed."""


@dataclass(frozen=True)
class Task:
    """What a process is to do. `content` is inline code; `function` what is called in it; `timeout` in seconds."""

    job_id: UUID
    path: str
    content: str | None
    args: dict[str, Any]
    environment: dict[str, str]
    preprocess: bool = False
    timeout: float | None = None
    function: str = "main"


class Processes:
    """Runs tasks of the workspace folder `root`, with a directory for each below `directory`.

    With `fresh` no process runs more than one task. `trap` is a Python file whose `arm(job)` each process calls before
    its script: for tests that inject faults.
    """

    def __init__(self, root: Path, directory: Path, *, fresh: bool, trap: Path | None = None) -> None:
        self._root = root
        self._trap = str(trap.resolve()) if trap else None
        self._cache = directory / "pycache"
        self._jobs = directory / "jobs"
        shutil.rmtree(self._jobs, ignore_errors=True)
        self._fresh = fresh
        # A process dies with the thread that started it: this one lives as long as the engine.
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")
        self._environment = {"PATH": os.environ.get("PATH", os.defpath)}
        self._templates: dict[tuple[str, ...], tuple[Popen[bytes], socket.socket]] = {}
        #: Jobs under way and the process of each, once it is known; those that are to end as soon as it is.
        self._running: dict[UUID, int | None] = {}
        self._unwanted: set[UUID] = set()
        self._lock = Lock()

    def warm(self, scripts: dict[str, str]) -> None:
        """Start the templates that `scripts` (path → content) will need."""
        if not self._fresh:
            for packages in {packages_of(self._root, content) for content in scripts.values()}:
                self._spawner.submit(self._template, packages)

    @contextmanager
    def place(self, job_id: UUID) -> Iterator[bool]:
        """Hold a place for a job: from here on `kill` reaches its process, also one that is still to begin.

        Yields False when the job has a place already.
        """
        with self._lock:
            is_new = job_id not in self._running
            self._running.setdefault(job_id, None)
        if not is_new:
            yield False
            return
        try:
            yield True
        finally:
            # What the job has started, and left behind, ends with it.
            self.kill(job_id)
            with self._lock:
                del self._running[job_id]
                self._unwanted.discard(job_id)

    def under_way(self) -> set[UUID]:
        """Jobs that have a place."""
        with self._lock:
            return set(self._running)

    def run(self, task: Task, content: str) -> tuple[dict[str, Any], str]:
        """Run `task`, whose code is `content`, in its place. Returns its outcome and output.

        Raises ProcessDied, TimedOut.
        """
        directory = self._jobs / str(task.job_id)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            for attempt in range(BEGINNINGS):
                try:
                    return self._attempt(task, content, directory)
                except NotBegun:
                    # A template that was killed can look alive for a moment more.
                    if attempt + 1 == BEGINNINGS:
                        raise
                    time.sleep(BEGIN_PAUSE * 2**attempt)
            raise AssertionError("the last attempt raises")
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _attempt(self, task: Task, content: str, directory: Path) -> tuple[dict[str, Any], str]:
        with self._start(content) as ours, ours.output:
            try:
                pid = self._begun(ours)
            except (EOFError, ConnectionError):
                raise NotBegun(ours.text()) from None
            try:
                return self._converse(task, ours, pid, directory), ours.text()
            except (EOFError, ConnectionError):
                raise ProcessDied(ours.text()) from None

    def kill(self, job_id: UUID) -> None:
        """End the process of a job, with whatever it has started."""
        with self._lock:
            if pid := self._running.get(job_id):
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            elif job_id in self._running:
                self._unwanted.add(job_id)

    def close(self) -> None:
        for job_id in list(self._running):
            self.kill(job_id)
        for process, control in self._templates.values():
            control.close()
            stop(process, signal.SIGKILL)
        self._spawner.shutdown()

    def _begun(self, job: "_Conversation") -> int:
        """The id of the job's process, which waits for what it is to do."""
        job.deadline = time.monotonic() + BEGIN_SECONDS
        try:
            return int(job.next_message())
        except TimedOut:
            raise ProcessDied(f"it did not begin within {BEGIN_SECONDS} s") from None

    def _converse(self, task: Task, job: "_Conversation", pid: int, directory: Path) -> dict[str, Any]:
        with self._lock:
            self._running[task.job_id] = pid
            unwanted = task.job_id in self._unwanted
        if unwanted:
            self.kill(task.job_id)
        send(
            job.stream,
            {
                "path": task.path,
                "content": task.content,
                "args": task.args,
                "env": self._environment | task.environment,
                "directory": str(directory),
                "preprocess": task.preprocess,
                "trap": self._trap,
                "function": task.function,
            },
        )
        job.deadline = time.monotonic() + task.timeout if task.timeout else None
        return dict(job.next_message())

    def _start(self, content: str) -> "_Conversation":
        ours, theirs = socket.socketpair()
        output, their_output = os.pipe()
        try:
            if self._fresh:
                process, control = self._spawner.submit(self._spawn, "--once", ()).result()
                with control:
                    socket.send_fds(control, [b"."], [theirs.fileno(), their_output])
                return _Conversation(ours, output, process)
            packages = packages_of(self._root, content)
            for _ in range(2):
                _, control = self._spawner.submit(self._template, packages).result()
                try:
                    socket.send_fds(control, [b"."], [theirs.fileno(), their_output])
                except OSError:
                    # Somebody killed the template: the next turn makes another.
                    continue
                break
            return _Conversation(ours, output)
        finally:
            theirs.close()
            os.close(their_output)

    def _template(self, packages: tuple[str, ...]) -> tuple[Popen[bytes], socket.socket]:
        known = self._templates.get(packages)
        if known is not None and known[0].poll() is None:
            return known
        if known is not None:
            known[1].close()
        self._templates[packages] = self._spawn("--template", packages)
        return self._templates[packages]

    def _spawn(self, mode: str, packages: tuple[str, ...]) -> tuple[Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            theirs.set_inheritable(True)
            command: list[str | Path] = [sys.executable, RUNNER, str(theirs.fileno()), self._root, self._cache]
            command += [mode, *packages]
            end = signal.SIGKILL if mode == "--once" else signal.SIGTERM
            # Scripts do not see this one. A template that numpy has given threads could not be forked.
            environment = self._environment | {"OPENBLAS_NUM_THREADS": "1"}
            return spawn(command, environment=environment, end=end, keep=[theirs.fileno()]), ours


class _Conversation:
    """The engine's end of a job's stream and output."""

    def __init__(self, stream: socket.socket, output: int, process: Popen[bytes] | None = None) -> None:
        self.stream = stream
        self.output = os.fdopen(output, "rb", buffering=0)
        self.deadline: float | None = None
        self._process = process
        self._kept = bytearray()
        os.set_blocking(output, False)

    def __enter__(self) -> "_Conversation":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        if self._process:
            stop(self._process, signal.SIGKILL)

    def next_message(self) -> Any:
        """The next message, while output is read so that the job never waits for us. Raises EOFError, TimedOut."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.stream, selectors.EVENT_READ)
            selector.register(self.output, selectors.EVENT_READ)
            while True:
                left = None if self.deadline is None else self.deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimedOut
                ready = {key.fileobj for key, _ in selector.select(left)}
                if self.output in ready and not self._read_output():
                    selector.unregister(self.output)
                if self.stream in ready:
                    return receive(self.stream)

    def text(self) -> str:
        """What the job has printed."""
        while self._read_output():
            pass
        return self._kept.decode("utf-8", "replace").replace("\0", "")

    def _read_output(self) -> bool:
        part = self.output.read(64 << 10)
        if part:
            self._kept += part[: MOST_OUTPUT - len(self._kept)]
        return bool(part)


@cache
def packages_of(root: Path, content: str) -> tuple[str, ...]:
    """Packages that a script with `content` imports, itself or through modules of the workspace, wherever."""
    found: set[str] = set()
    seen: set[Path] = set()
    waiting = list(_imports(content))
    while waiting:
        name = waiting.pop()
        top = name.split(".")[0]
        if top in ("f", "u"):
            file = root.joinpath(*name.split(".")).with_suffix(".py")
            if file not in seen and file.is_file():
                seen.add(file)
                waiting += _imports(file.read_text())
        elif top and top not in sys.stdlib_module_names:
            found.add(top)
    return tuple(sorted(found))


def _imports(content: str) -> Iterator[str]:
    try:
        tree = ast.parse(content)
    except SyntaxError:
        return  # the job itself will say so
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
