"""Make what Windmill wants beside each script: schema, lock and hashes. And at its top: the lock's pins.

Offline: `wmill generate-metadata` reads signatures itself and asks a server only who it is
talking to, so a stub answers; locks come from uv, with the versions of requirements.lock.

Windmill uses the lock that is pushed only until a module is pushed that the script imports: a quarter of a
minute later it locks the script anew, from the imports at the top of the files and with the newest versions.
It takes a block of PEP 723 instead where there is one, so each file has one, and what it finds is our lock.
"""

import ast
import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

#: Extras that a lock needs although an import does not show them.
EXTRAS = {"psycopg": "psycopg[binary]"}

PYTHON = "3.11"

#: At the top of a file, whoever wrote it.
BLOCK = re.compile(r"\A# /// script\n(?:#.*\n)*?# ///\n")
WIDTH = 120

#: What a secret argument's line in main's docstring begins with.
SECRET_MARK = "(secret) "  # noqa: S105  # a mark, no password


def generate(root: Path, wmill: list[str], uv: str) -> None:
    """Bring every `.script.yaml`, `.script.lock` and `wmill-lock.yaml` below `root` up to date."""
    scripts = sorted(path for folder in ("f", "u") for path in (root / folder).rglob("*.py") if not _inline(path))
    with _identity_stub() as url:
        server = ["--base-url", url, "--workspace", "local", "--token", "none"]
        _run([*wmill, "generate-metadata", "--schema-only", "--yes", *server], root)
        for script in scripts:
            _describe(script)
            lock = write_lock(third_party(script, root), root, uv)
            script.with_suffix(".script.lock").write_text(lock)
            script.write_text(with_block(script.read_text(), lock))
        _run([*wmill, "generate-metadata", "rehash", *server], root)
    forget(root)


def forget(root: Path) -> None:
    """Take out of `wmill-lock.yaml` what is not in the workspace any more: the CLI keeps it for ever."""
    file = root / "wmill-lock.yaml"
    known = re.compile(r"  ([fu]/[\w/]+?)(?:\+__flow_hash)?: \S+\n")
    lines = file.read_text().splitlines(keepends=True)

    def is_there(line: str) -> bool:
        found = known.fullmatch(line)
        return not found or (root / found[1]).is_dir() or (root / f"{found[1]}.py").exists()

    file.write_text("".join(line for line in lines if is_there(line)))


def third_party(script: Path, root: Path) -> frozenset[str]:
    """Distributions that `script` imports, itself or through modules of the workspace."""
    found: set[str] = set()
    seen: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in _imports(path):
            top = module.split(".")[0]
            if top in ("f", "u"):
                waiting += [p for p in _module_files(module, root) if p.exists()]
            elif top not in sys.stdlib_module_names:
                found.add(_distribution(top))
    return frozenset(found)


@cache
def write_lock(distributions: frozenset[str], root: Path, uv: str) -> str:
    """The pins of `distributions` and what they need, as Windmill writes them: no line feed after the last one."""
    if not distributions:
        return f"# py: {PYTHON}\n"
    command = [uv, "pip", "compile", "-", "--no-header", "--strip-extras", "--no-annotate", "--quiet"]
    command += [
        "--python-version",
        PYTHON,
        "--python-platform",
        "linux",
        "--constraint",
        str(root / "requirements.lock"),
    ]
    wanted = "\n".join(EXTRAS.get(name, name) for name in sorted(distributions))
    pins = subprocess.run(command, input=wanted, text=True, capture_output=True, check=False)
    if pins.returncode:
        raise SystemExit(f"uv could not resolve {sorted(distributions)}:\n{pins.stderr}")
    return f"# py: {PYTHON}\n{pins.stdout.strip()}"


def with_block(source: str, lock: str) -> str:
    """`source` with the pins of `lock` in a block at its top: all that Windmill locks the script from."""
    lines = ["# /// script", f'# requires-python = "=={PYTHON}.*"']
    pins = [json.dumps(line) for line in lock.splitlines() if not line.startswith("#")]
    if pins:
        lines.append("# dependencies = [")
        row = "#  "
        for pin in pins:
            if len(f"{row} {pin},") > WIDTH:
                lines.append(row)
                row = "#  "
            row += f" {pin},"
        lines += [row, "# ]"]
    else:
        lines.append("# dependencies = []")
    return "\n".join([*lines, "# ///", BLOCK.sub("", source)])


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_files(module: str, root: Path) -> list[Path]:
    return [root.joinpath(*module.split(".")).with_suffix(".py")]


@cache
def _distribution(top: str) -> str:
    try:
        return packages_distributions()[top][0].lower()
    except KeyError:
        raise SystemExit(f"no installed package provides `import {top}`: add it to pyproject.toml") from None


def _describe(script: Path) -> None:
    """Show the first line of the module's docstring in Windmill's list of scripts, and main's as description."""
    tree = ast.parse(script.read_text())
    summary = (ast.get_docstring(tree) or "").split("\n")[0].rstrip(".")
    main = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "main"), None)
    path = script.with_suffix(".script.yaml")
    metadata = yaml.safe_load(path.read_text())
    metadata["summary"] = summary
    metadata["description"] = (ast.get_docstring(main) or "") if main else "Shared module: imported by scripts."
    documented = _argument_lines(metadata["description"])
    if main and documented:
        metadata["schema"]["order"] = [argument.arg for argument in main.args.args]
    for name, text in documented:
        if argument := metadata["schema"]["properties"].get(name):
            argument["description"] = text.removeprefix(SECRET_MARK)
            if text.startswith(SECRET_MARK):
                argument["password"] = True  # the form keeps it as a variable and passes on its name
    path.write_text(yaml.dump(metadata, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000))


def _argument_lines(docstring: str) -> list[tuple[str, str]]:
    """Lines `name: what it is` of a docstring, which the form shows beside the arguments."""
    return re.findall(r"^([a-z_]+): (.+)$", docstring, re.MULTILINE)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, lists indented: as the `wmill` CLI writes them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def _inline(path: Path) -> bool:
    return any(part.endswith("__flow") for part in path.parts)


def _run(command: list[str], root: Path) -> None:
    done = subprocess.run(command, cwd=root, text=True, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def _identity_stub() -> Iterator[str]:
    """A server that only says who the user is: all that the CLI asks for when it works on files."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/api/users/whoami"
            body = json.dumps({"username": "admin", "email": "admin@localhost", "is_admin": True}).encode()
            self.send_response(200 if known else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Not of interest."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
