"""Runs scripts. This file is a process of its own, started with nothing but the standard library on its path.

As a template it imports packages once and then forks a process for every job, so that a job begins warm and leaves
nothing behind. With `--once` it is a fresh process for a single job, as Windmill has it.

Protocol: each message on the control socket is one byte with two file descriptors, a stream and the job's output.
On the stream the engine sends the job; the process answers with its pid and then with the outcome. All of it is JSON
after eight bytes of length.
"""

import asyncio
import base64
import contextlib
import ctypes
import importlib
import importlib.machinery
import inspect
import json
import math
import os
import runpy
import signal
import socket
import sys
import traceback
import types
import typing
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

PR_SET_PDEATHSIG = 1
#: What Windmill converts from JSON, since only Python has it; everything else arrives as it is.
CONVERTERS: dict[type, Callable[[str], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    bytes: base64.b64decode,
}


def serve(control: socket.socket, root: str, cache: str, packages: list[str], once: bool) -> None:
    """Run jobs as they come on `control`, until the engine closes it."""
    open_workspace(root, cache)
    for package in packages:
        # Importing runs the package's code, which may raise anything; the job that needs it gets a better message.
        with contextlib.suppress(Exception):
            importlib.import_module(package)
    if packages and len(os.listdir("/proc/self/task")) > 1:
        # A process with threads must not be forked: go on without the packages.
        os.set_inheritable(control.fileno(), True)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1 : -len(packages)]])  # noqa: S606  # no shell is wanted
    template = os.getpid()
    children: set[int] = set()
    # When the engine is gone its socket tells us, and there is something left to do.
    signal.signal(signal.SIGTERM, signal.SIG_DFL if once else signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        children -= buried()
        if not message:
            break
        if once or (child := os.fork()) == 0:
            control.close()
            if not once:
                leave(template)
            run(*descriptors)
        children.add(child)
        for descriptor in descriptors:
            os.close(descriptor)
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


def buried() -> set[int]:
    """Children that have ended. Until we ask, nobody else can have their ids."""
    ended: set[int] = set()
    with contextlib.suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            ended.add(pid)
    return ended


def leave(template: int) -> None:
    """Become a session of its own that ends with its template."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != template:
        os._exit(1)
    os.setsid()


def run(stream: int, output: int) -> typing.NoReturn:
    """Be the process of one job."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    # Where memory runs out, the job is to end and not the engine or its database.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("800")
    with socket.socket(fileno=stream) as connection:
        send(connection, os.getpid())
        job = receive(connection)
        os.chdir(job["directory"])
        os.environ.clear()
        os.environ.update(job["env"])
        if job["trap"]:
            runpy.run_path(job["trap"])["arm"](job)
        outcome = outcome_of(job)
        for printed in (sys.stdout, sys.stderr):
            # The script may have closed them, or replaced them by objects whose flush raises anything.
            with contextlib.suppress(Exception):
                printed.flush()
        send(connection, outcome)
    os._exit(0)


def outcome_of(job: dict[str, Any]) -> dict[str, Any]:
    """`result`, or `error` as Windmill shows it; and `args` when a preprocessor made them."""
    outcome: dict[str, Any] = {}
    try:
        module = load(job["path"], job["content"])
        arguments = job["args"]
        if job["preprocess"]:
            arguments = call(module.preprocessor, arguments)
            outcome["args"] = plain(arguments if isinstance(arguments, dict) else {})
            arguments = outcome["args"]
        outcome["result"] = plain(call(getattr(module, job["function"]), arguments))
    except BaseException as error:  # noqa: BLE001  # whatever a script raises, SystemExit included, is its result
        stack = "".join(traceback.format_exception(error))
        try:
            message = str(error)
        except Exception:  # noqa: BLE001  # an exception's text is the script's code, too
            message = "the exception has no text"
        outcome["error"] = plain({"name": type(error).__name__, "message": message, "stack": stack})
        if extra := vars(error):
            with contextlib.suppress(TypeError, ValueError, RecursionError):
                outcome["error"]["extra"] = plain(extra)
    return outcome


def open_workspace(root: str, cache: str) -> None:
    """Make `f` and `u` importable, and nothing else that lies beside them."""

    class Source(importlib.machinery.SourceFileLoader):
        """Keeps what it compiles in `cache`, and sees every change: Python itself compares whole seconds."""

        def path_stats(self, path: typing.Any) -> dict[str, int]:
            found = os.stat(path)
            return {"mtime": found.st_mtime_ns, "size": found.st_size}

        def get_code(self, name: str) -> types.CodeType | None:
            sys.pycache_prefix = cache
            try:
                return super().get_code(name)
            finally:
                sys.pycache_prefix = None

    def finder(place: str) -> importlib.machinery.FileFinder:
        if not f"{place}/".startswith(spaces):
            raise ImportError
        return importlib.machinery.FileFinder(place, (Source, [".py"]))

    spaces = tuple(os.path.join(root, space, "") for space in ("f", "u"))
    sys.path_hooks.insert(0, finder)
    for space in ("f", "u"):
        package = types.ModuleType(space)
        package.__path__ = [os.path.join(root, space)]
        sys.modules[space] = package


def load(path: str, content: str | None) -> types.ModuleType:
    """The module of a script; `content` is inline code of the flow `path`."""
    if content is None:
        return importlib.import_module(path.replace("/", "."))
    module = types.ModuleType("inline")
    sys.modules["inline"] = module
    module.__package__ = ".".join(path.split("/")[:-1])
    exec(compile(content, f"{path} (inline)", "exec"), module.__dict__)  # noqa: S102  # running code is the purpose
    return module


def call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call a script's function as Windmill does: what is missing is None, what is unknown is dropped."""
    accepted: dict[str, Any] = {}
    rest = dict(arguments)
    annotations = types_of(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            accepted |= rest
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            value = rest.pop(name, None)
            if value is not None or parameter.default is parameter.empty:
                accepted[name] = converted(value, annotations.get(name))
    result = function(**accepted)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def types_of(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # noqa: BLE001  # an annotation may name anything, and is no reason not to run
        return {}


def converted(value: Any, annotation: Any) -> Any:
    if isinstance(value, str):
        for kind in (annotation, *typing.get_args(annotation)):
            if convert := CONVERTERS.get(kind) if isinstance(kind, type) else None:
                return convert(value)
    return value


def plain(value: Any) -> Any:
    """`value` as JSON has it: bytes in base64, unknown types as text, no NaN, no NUL."""
    text = json.dumps(
        value, default=lambda item: base64.b64encode(item).decode() if isinstance(item, bytes) else str(item)
    )
    return tidied(json.loads(text))


def tidied(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        # Neither can be stored in PostgreSQL's jsonb.
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [tidied(item) for item in value]
    if isinstance(value, dict):
        return {tidied(key): tidied(item) for key, item in value.items()}
    return value


def send(connection: socket.socket, value: Any) -> None:
    data = json.dumps(value).encode()
    connection.sendall(len(data).to_bytes(8, "big") + data)


def receive(connection: socket.socket) -> Any:
    """The next value. Raises EOFError when the other side is gone."""
    return json.loads(_exactly(connection, int.from_bytes(_exactly(connection, 8), "big")))


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


if __name__ == "__main__":
    descriptor, workspace, compiled, mode, *names = sys.argv[1:]
    # The engine's interpreter has packages that a job may import, but not the folder of this file.
    sys.path[:] = [place for place in sys.path if place != os.path.dirname(os.path.abspath(__file__))]
    serve(socket.socket(fileno=int(descriptor)), workspace, compiled, names, once=mode == "--once")
