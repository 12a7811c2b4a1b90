"""Which stack runs in a data directory: one at most, known by the lock that it holds."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local.settings import RealWindmill, Settings


class StackError(Exception):
    """The system cannot be started or has ended; the message says why."""


@dataclass(frozen=True)
class Running:
    """A stack that some process runs in a data directory: its process, its ports, and whether all of it is up."""

    pid: int
    ready: bool
    settings: Settings


def find_running(data_dir: Path) -> Running | None:
    """The stack that runs in `data_dir`, if any. Only a living one holds the lock, so the pid is never foreign."""
    path = data_dir / "stack.lock"
    deadline = time.monotonic() + 5
    while path.exists():
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                text = file.read()
        # Empty or half a text: it is being written.
        try:
            state = json.loads(text)
        except ValueError:
            if time.monotonic() > deadline:
                raise StackError(f"{path} cannot be read") from None
            time.sleep(0.05)
        else:
            return Running(state["pid"], state["ready"], _settings(state["settings"]))
    return None


def _settings(state: dict[str, Any]) -> Settings:
    real = state.get("real_windmill")
    state |= {"data_dir": Path(state["data_dir"]), "real_windmill": RealWindmill(**real) if real else None}
    return Settings(**state)


@contextmanager
def claim(settings: Settings) -> Iterator[Callable[[], None]]:
    """Hold the data directory for one stack. Yields a function that marks it as ready."""
    # Private: the state has DATABASE_URL and WINDMILL_TOKEN in it.
    handle = os.open(settings.data_dir / "stack.lock", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(handle, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError("already running: ./dev status tells more, ./dev down stops it") from None

        def write(ready: bool) -> None:
            state = asdict(settings) | {"data_dir": str(settings.data_dir)}
            file.seek(0)
            file.truncate()
            file.write(json.dumps({"pid": os.getpid(), "ready": ready, "settings": state}))
            file.flush()

        write(ready=False)
        yield lambda: write(ready=True)
