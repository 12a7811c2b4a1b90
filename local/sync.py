"""Brings `f/` and `u/` to a Windmill workspace with the `wmill` CLI, and sees what was changed there by others.

The CLI compares and transfers. It overwrites and deletes what differs, so a resource in the workspace remembers
what the last push left: what is neither that nor on its way here was changed in Windmill, by a person.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.engine.workspace import SPACES, WorkspaceError
from local.engine.workspace import load as load_workspace
from local.windmill import Windmill

#: Remembers the last push. Of Windmill's resource type for states, which its lists and `wmill sync` leave out.
MEMORY = "f/ops/pushed"
#: What the CLI reads besides the files themselves.
CONFIGURATION = ("wmill.yaml", "wmill-lock.yaml")
#: Keys of a script's metadata that Windmill finds out by itself and the CLI does not compare.
DERIVED = ("is_template", "no_main_func", "auto_kind")
SECONDS = 900
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: Of what Node prints with an error, all but the error.
TRACE = re.compile(r"\s+at |file:///|\s+\^|\s+throw |Node\.js v|Using workspace id")


class SyncError(Exception):
    """The files cannot be pushed; the message says why."""


@dataclass(frozen=True)
class FileChange:
    """What a push would do with a file of the workspace: add, edit or delete it there."""

    kind: str
    path: str

    def __str__(self) -> str:
        verb = {"added": "add", "edited": "change", "deleted": "delete"}.get(self.kind, self.kind)
        return f"{verb} {self.path}"


def problems(root: Path) -> list[str]:
    """What is wrong with the files themselves: syntax, unknown keys, things that are named and not there."""
    found = []
    for path in _files(root):
        if path.suffix == ".py":
            name = path.relative_to(root).as_posix()
            try:
                compile(path.read_text(), name, "exec", dont_inherit=True)
            except (SyntaxError, ValueError) as error:
                line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
                found.append(f"{name}{line}: {error.msg if isinstance(error, SyntaxError) else error}")
            # Where they are not there, the CLI makes them of its own accord, with a lock from the server.
            if "__flow" not in name:
                beside = (path.with_suffix(suffix) for suffix in (".script.yaml", ".script.lock"))
                found += [
                    f"{file.relative_to(root)} is not there: ./dev metadata" for file in beside if not file.exists()
                ]
    try:
        load_workspace(root)
    except WorkspaceError as error:
        found.append(str(error))
    return found


class Files:
    """The files of the repository `root` and those of a workspace, whoever has which."""

    def __init__(self, root: Path, windmill: Windmill, command: list[str]) -> None:
        """`command` starts the `wmill` CLI."""
        self._root = root
        self._windmill = windmill
        self._command = command

    def pending(self, *, fresh: bool = False) -> list[FileChange]:
        """What a push would change. `fresh` says that the workspace is not there yet."""
        if fresh:
            return [FileChange("added", path.relative_to(self._root).as_posix()) for path in _files(self._root)]
        output = self._wmill(self._root, "sync", "push", "--dry-run", "--json-output")
        try:
            changes = json.loads(output[output.index("{") :])["changes"]
        except (ValueError, KeyError):
            raise SyncError(f"`wmill sync push --dry-run` said what is no list of changes:\n{output}") from None
        return [FileChange(change["type"], change["path"]) for change in changes]

    def changed_by_others(self, pending: Iterable[FileChange]) -> list[FileChange]:
        """Those of `pending` that would overwrite what somebody did in Windmill since the last push."""
        memory = self._read_memory()
        last, on_the_way = memory["files"], memory["pushing"]
        suspects = []
        there = self._fingerprints_there([c.path for c in pending if c.kind != "added"])
        for change in pending:
            known = last.get(change.path)
            if change.kind == "added":
                # Left out by a push that did not end, it was deleted by that.
                theirs = known is not None and (on_the_way is None or change.path in on_the_way)
            else:
                theirs = there.get(change.path) not in (known, (on_the_way or {}).get(change.path))
            if theirs:
                suspects.append(change)
        return suspects

    def push(self) -> list[str]:
        """Make the workspace's files those of the repository. Returns lines of warning."""
        ours = {path.relative_to(self._root).as_posix(): _fingerprint(path) for path in _files(self._root)}
        memory = self._read_memory()
        self._write_memory({"files": memory["files"], "pushing": ours})
        output = self._wmill(self._root, "sync", "push", "--yes")
        if failed := re.findall(r"^.*server-side lock generation FAILED.*$", output, re.MULTILINE):
            raise SyncError("\n".join(failed))
        warnings = [] if "Stale " not in output else ["schemas, locks or hashes are not up to date: ./dev metadata"]
        different = self.pending()
        # What Windmill gives back is what the next push must recognise.
        there = self._fingerprints_there([change.path for change in different if change.kind != "added"])
        gone = {change.path for change in different if change.kind == "added"}
        self._write_memory({"files": {**{p: f for p, f in ours.items() if p not in gone}, **there}, "pushing": None})
        return warnings + [f"Windmill gives back other than was pushed: {change.path}" for change in different]

    def remember(self) -> None:
        """Nothing differs: whatever way that came about, it is the ground for the next push."""
        ours = {path.relative_to(self._root).as_posix(): _fingerprint(path) for path in _files(self._root)}
        memory = {"files": ours, "pushing": None}
        if self._read_memory() != memory:
            self._write_memory(memory)

    def pull_command(self) -> str:
        """The command line that brings what is in Windmill here."""
        cli = " ".join(os.path.relpath(word, self._root) if word.startswith(str(self._root)) else word
                       for word in self._command)  # fmt: skip
        return (
            f"{cli} sync pull --yes --base-url {self._windmill.url} --workspace {self._windmill.workspace}"
            ' --token "$TOKEN"'
        )

    def _fingerprints_there(self, paths: list[str]) -> dict[str, str]:
        """Fingerprints of files as the workspace has them."""
        if not paths:
            return {}
        with tempfile.TemporaryDirectory(prefix="millrace-pull-") as folder:
            copy = Path(folder)
            for name in (*SPACES, *CONFIGURATION):
                source = self._root / name
                if source.is_dir():
                    shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
                elif source.exists():
                    shutil.copy(source, copy)
            self._wmill(copy, "sync", "pull", "--yes")
            return {path: _fingerprint(copy / path) for path in paths if (copy / path).exists()}

    def _read_memory(self) -> dict[str, Any]:
        windmill = self._windmill
        if windmill.get(windmill.path(f"/resources/exists/{MEMORY}")) is not True:
            return {"files": {}, "pushing": None}
        memory: dict[str, Any] = windmill.get(windmill.path(f"/resources/get_value/{MEMORY}"))
        return memory

    def _write_memory(self, memory: dict[str, Any]) -> None:
        body = {
            "path": MEMORY,
            "value": memory,
            "resource_type": "state",
            "description": "What `./dev push` left here last: fingerprints of the files. Not to be edited.",
        }
        self._windmill.post(self._windmill.path("/resources/create?update_if_exists=true"), body)

    def _wmill(self, folder: Path, *arguments: str) -> str:
        """Run the CLI in `folder` and return what it printed. Nobody is there to answer a question."""
        windmill = self._windmill
        server = ["--base-url", windmill.url, "--workspace", windmill.workspace, "--token", windmill.token]
        # A folder of its own, or profiles of the machine's user would have a say.
        with tempfile.TemporaryDirectory(prefix="millrace-wmill-") as profiles:
            try:
                done = subprocess.run(
                    [*self._command, *arguments, *server, "--config-dir", profiles],
                    cwd=folder,
                    env=os.environ | {"NO_COLOR": "1"},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise SyncError(f"`wmill {' '.join(arguments)}` did not end within {SECONDS} s") from None
        plain, errors = (COLOUR.sub("", text).replace(windmill.token, "***") for text in (done.stdout, done.stderr))
        if done.returncode:
            told = [*plain.splitlines()[-3:], *errors.splitlines()]
            tail = "\n".join(line for line in told if line.strip() and not TRACE.match(line))
            raise SyncError(f"`wmill {' '.join(arguments)}` failed; the next push goes on from there:\n{tail}")
        return plain


def _files(root: Path) -> list[Path]:
    found = (path for space in SPACES for path in (root / space).rglob("*"))
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def _fingerprint(path: Path) -> str:
    """Equal for files that say the same to the CLI: YAML by its meaning, the rest by its text."""
    text = path.read_text()
    if path.suffix == ".yaml":
        document = yaml.safe_load(text)
        if path.name.endswith(".script.yaml") and isinstance(document, dict):
            document = {key: value for key, value in document.items() if key not in DERIVED}
        text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]
