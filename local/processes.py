"""Child processes that end with their parent, ports, and the ends of log files."""

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(end: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn` that has the kernel send `end` to the child when its parent is gone.

    The kernel watches the *thread* that started the child: start children from a thread that lives as long.
    """
    parent = os.getpid()

    def arrange() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, end, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def spawn(
    command: Sequence[str | Path],
    *,
    log: BinaryIO | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    owner: tuple[int, int] | None = None,
    end: signal.Signals = signal.SIGTERM,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own (Ctrl-C reaches only its parent) that ends with its parent.

    `owner` is the (uid, gid) it runs as; output goes to `log`; descriptors in `keep` stay open in it.
    """
    identity: dict[str, object] = {}
    if owner:
        identity = {"user": owner[0], "group": owner[1], "extra_groups": []}
    return subprocess.Popen(  # type: ignore[call-overload]  # the overloads do not take **identity
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT if log else None,
        env=environment,
        cwd=directory,
        start_new_session=True,
        pass_fds=keep,
        # Runs after the identity has changed: changing it afterwards would undo the arrangement.
        preexec_fn=die_with_parent(end),
        **identity,
    )


def stop(process: subprocess.Popen[bytes], end: signal.Signals = signal.SIGTERM, seconds: float = 10) -> int:
    """Ask `process` to end, kill its whole session after `seconds`. Returns its exit status."""
    if process.poll() is None:
        process.send_signal(end)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def tail(log: Path, lines: int = 20) -> str:
    """The last `lines` of `log`, indented; an empty text when there is none."""
    if not log.exists():
        return ""
    text = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"  | {line}" for line in text)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether something listens on `port` of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
