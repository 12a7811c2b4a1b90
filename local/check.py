"""The checks that a change must pass before its tests matter; all of them run, whatever fails."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local import metadata, secret_scan
from local.install import ROOT, uv, wmill

#: What `wmill` reads, and what the locks of scripts depend on.
WORKSPACE_FILES = ("f", "u", "wmill.yaml", "wmill-lock.yaml", "requirements.lock")
GENERATED = ("[fu]/**/*.py", "*.script.yaml", "*.script.lock", "wmill-lock.yaml")


@dataclass(frozen=True)
class Check:
    """`run` returns what is wrong as text, an empty one when nothing is."""

    name: str
    run: Callable[[], str]


def checks() -> list[Check]:
    python = sys.executable
    return [
        Check("format", lambda: _command(["ruff", "format", "--check", "--quiet", "--diff", "."])),
        Check("lint", lambda: _command(["ruff", "check", "--quiet", "."])),
        Check("types", lambda: _command(["mypy", "--no-error-summary"])),
        Check("wmill lint", lambda: _run([*wmill(), "lint"])),
        Check("metadata", stale_metadata),
        Check(
            "structure", lambda: _run([python, "-m", "pytest", "-q", "--no-header", "--tb=short", "tests/structure"])
        ),
        Check("secrets", lambda: "\n".join(secret_scan.find(ROOT))),
    ]


def run_all() -> bool:
    """Run every check and print a line for each. Returns whether all passed."""
    passed = True
    for check in checks():
        begin = time.monotonic()
        problem = check.run().strip()
        passed = passed and not problem
        print(f"{check.name:12}{'FAILED' if problem else 'ok'}  ({time.monotonic() - begin:.1f} s)", flush=True)
        if problem:
            print("".join(f"    {line}\n" for line in problem.splitlines()), end="", flush=True)
    return passed


def stale_metadata() -> str:
    """Which files beside the scripts are not what `./dev metadata` would write now."""
    with tempfile.TemporaryDirectory(prefix="millrace-metadata-") as folder:
        copy = Path(folder)
        for name in WORKSPACE_FILES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, copy)
        try:
            metadata.generate(copy, wmill(), uv())
        except SystemExit as error:
            return str(error)
        changed = sorted(
            str(path.relative_to(copy))
            for pattern in GENERATED
            for path in copy.rglob(pattern)
            if not (ROOT / path.relative_to(copy)).exists()
            or path.read_bytes() != (ROOT / path.relative_to(copy)).read_bytes()
        )
    return "".join(f"{name} is stale: run ./dev metadata\n" for name in changed)


def _command(command: list[str]) -> str:
    """Run a program of the environment."""
    return _run([str(Path(sys.executable).parent / command[0]), *command[1:]])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout + f"exit status {done.returncode}" if done.returncode else ""
