"""docker/Dockerfile: what it names is there and pinned; and, slow, what it installs is enough to run everything."""

import ast
import fnmatch
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fake_windmill import FakeWindmill
from new_windmill import NewWindmill
from stack_files import copies, services, stages
from systems import PASSWORDS, Database

from db.server import drop_database
from local.install import ROOT
from local.processes import free_port, is_taken

PIN = re.compile(r"^([a-z0-9._-]+==[^ \\;]+)", re.MULTILINE)
#: What stage `app` runs.
APP = ("gateway", "mcp_servers", "exchange", "db", "docker")


def pins(path: Path) -> dict[str, str]:
    """Each pin and the text of its hashes."""
    parts = re.split(r"^(?=[a-z0-9])", path.read_text(), flags=re.MULTILINE)
    return {m[1]: " ".join(re.findall(r"sha256:\w+", part)) for part in parts if (m := PIN.match(part))}


def ignored(name: str) -> bool:
    """Whether .dockerignore keeps a file out of the context; the last rule that fits counts."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        rule, keeps_out = line.lstrip("!"), not line.startswith("!")
        if not rule or rule.startswith("#"):
            continue
        parents = [name, *(str(parent) for parent in Path(name).parents)]
        if any(fnmatch.fnmatch(f"/{parent}", f"/{rule}".replace("/**/", "*/")) for parent in parents):
            verdict = keeps_out
    return verdict


def test_base_images_are_pinned() -> None:
    for stage in stages().values():
        assert stage.base in stages() or re.fullmatch(r"[a-z/]+:\d+\.\d+[\w.-]*", stage.base), stage.base


def test_no_stage_ends_as_root() -> None:
    for name, stage in stages().items():
        assert stage.all("USER")[-1] not in ("root", "0", "0:0"), name
        service = next(s for s in services().values() if s.get("build", {}).get("target") == name)
        assert stage.all("USER")[-1] == service["user"]


def test_what_is_copied_is_in_the_context() -> None:
    for stage in stages().values():
        for sources, _ in copies(stage):
            for source in sources:
                assert (ROOT / source).exists() and not ignored(source), source


@pytest.mark.parametrize("name", [".env", ".git/config", ".data/secrets.json", "local/.env", "f/lib/__pycache__/x.pyc"])
def test_nothing_private_is_in_the_context(name: str) -> None:
    assert ignored(name)


def test_the_images_packages_are_those_that_are_tested() -> None:
    tested, installed = pins(ROOT / "requirements.lock"), pins(ROOT / "docker" / "requirements.lock")
    assert installed and installed.items() <= tested.items()
    assert all(installed.values())


def test_everything_that_is_imported_is_installed() -> None:
    """Of the modules that the stage `app` runs. Those of `manage` are imported by the slow test."""
    installed = {pin.split("==")[0] for pin in pins(ROOT / "docker" / "requirements.lock")}
    distributions = packages_distributions()
    for path in (path for folder in APP for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for top in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"f", "local", *APP}:
                known = {re.sub(r"[-_.]+", "-", d).lower() for d in distributions[top]}
                assert known & installed, f"{path}: {top}"


@dataclass
class Image:
    """What a build leaves, without Docker: the application, and a Python that has the packages."""

    app: Path
    python: Path

    def start(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        """Start a command of the compose file without any capability: what may not be written, root cannot either."""
        assert command[0] == "python"
        dropped = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
        return subprocess.Popen(
            [*(dropped if os.geteuid() == 0 else []), str(self.python), *command[1:]],
            cwd=self.app,
            env=environment | {"PYTHONPATH": str(self.app), "PATH": os.defpath, "HOME": "/nonexistent"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: list[str], environment: dict[str, str]) -> str:
        process = self.start(command, environment)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        return output


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Stages `app` and `manage`: their COPY and Python RUN lines, carried out in a folder and an empty environment."""
    folder = tmp_path_factory.mktemp("image")
    app, python = folder / "app", folder / "python" / "bin" / "python"
    app.mkdir()
    venv.create(folder / "python", with_pip=True)
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {"PYTHONPATH": str(app), "PATH": f"{python.parent}{os.pathsep}{os.defpath}", "HOME": str(folder)}
    shell = 0
    for name in ("app", "manage"):
        for keyword, arguments in stages()[name].instructions:
            if keyword == "COPY":
                *sources, destination = arguments.split()
                for source in sources:
                    place = app / (destination if destination not in (".", "./") else Path(source).name)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    if (ROOT / source).is_dir():
                        skip = shutil.ignore_patterns("__pycache__", "node_modules", ".env")
                        shutil.copytree(ROOT / source, place, dirs_exist_ok=True, ignore=skip)
                    else:
                        shutil.copy(ROOT / source, place)
            elif keyword == "RUN" and arguments.startswith("python "):
                subprocess.run(
                    ["sh", "-c", arguments],
                    cwd=app,
                    env=environment,
                    check=True,
                    timeout=900,
                    stdout=subprocess.DEVNULL,
                )
            elif keyword == "RUN":
                # The user and its folder, which only an image has.
                assert arguments.startswith("groupadd ")
                shell += 1
    assert shell == 1
    subprocess.run(["chmod", "--recursive", "a-w", str(app)], check=True)
    yield Image(app, python)
    subprocess.run(["chmod", "--recursive", "u+w", str(app)], check=True)


@pytest.fixture
def started(image: Image) -> Iterator[Any]:
    """Starts a service with a command and environment of the compose file; all of them must end when they are told."""
    running: list[subprocess.Popen[str]] = []

    def start(name: str, port_variable: str, **changed: str) -> dict[str, str]:
        port = free_port()
        environment = services()[name]["environment"] | {port_variable: str(port)} | changed
        environment["HEALTH_URL"] = f"http://127.0.0.1:{port}/health"
        running.append(image.start(services()[name]["command"], environment))
        deadline = time.monotonic() + 30
        while not is_taken(port):
            assert running[-1].poll() is None and time.monotonic() < deadline, name
            time.sleep(0.1)
        return environment

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 0, output


@pytest.mark.slow
def test_gateway_tool_servers_and_exchange_start_and_are_healthy(
    image: Image, started: Any, seeded_database: Database
) -> None:
    check = re.findall(r"CMD (\[.*\])", stages()["app"].all("HEALTHCHECK")[0])
    command = ast.literal_eval(check[0])
    with FakeWindmill() as windmill:
        environments = [
            started(
                "gateway", "GATEWAY_PORT", WINDMILL_URL=windmill.url, WINDMILL_TOKEN_FILE="", WINDMILL_TOKEN="a-token"
            )
        ]
        address = urlsplit(seeded_database.app_url)
        url = f"postgresql://app@{address.hostname}:{address.port}{address.path}"
        for name, variable in (
            ("pricing-calculator", "MCP_PRICING_PORT"),
            ("lead-capture", "MCP_LEADS_PORT"),
            ("contact-owner", "MCP_OWNER_PORT"),
            ("exchange", "EXCHANGE_PORT"),
        ):
            # The password by PGPASSWORD, as in the compose file.
            environments.append(started(name, variable, DATABASE_URL=url, PGPASSWORD=address.password or ""))
        for environment in environments:
            image.run(command, environment)
    unhealthy = image.start(command, {"HEALTH_URL": f"http://127.0.0.1:{free_port()}/health"})
    unhealthy.communicate(timeout=20)
    assert unhealthy.returncode == 1


@pytest.mark.slow
def test_push_brings_the_files_to_windmill(image: Image, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With the wmill CLI of the image, of which nothing can be written."""
    folder = tmp_path_factory.mktemp("tokens")
    with NewWindmill() as windmill:
        environment = services()["push"]["environment"]
        environment |= {"WINDMILL_URL": windmill.url, "WINDMILL_TOKEN_FILE": str(folder / "token")}
        said = image.run(services()["push"]["command"], environment)
        assert "create workspace chatbots" in said and re.search(r"push \d+ files", said)
        workspace = windmill.workspaces["chatbots"]
        assert {"f/whatsapp/load_context", "f/ops/sweep"} <= set(workspace.scripts)
        assert "f/whatsapp/webhook_processor" in workspace.flows
        assert "nothing to do" in image.run(services()["push"]["command"], environment)
        assert windmill.unexpected == []


@pytest.mark.slow
def test_manage_does_beside_the_database_what_dev_does(
    image: Image, seeded_database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without a password in the address, as in the compose file; of the image nothing can be written."""
    folder = tmp_path_factory.mktemp("manage")
    address = urlsplit(seeded_database.owner_url)
    place = f"postgresql://owner@{address.hostname}:{address.port}"
    passwords = {f"{role.upper()}_PASSWORD": PASSWORDS[role] for role in ("app", "manager", "backup")}
    environment = services()["manage"]["environment"] | passwords
    environment |= {"PGPASSWORD": PASSWORDS["owner"], "DATA_DIR": str(folder / "data")}

    def manage(name: str, *arguments: str) -> str:
        command = [*services()["manage"]["entrypoint"], *arguments]
        return image.run(command, environment | {"DATABASE_URL": f"{place}/{name}"})

    restored = f"{seeded_database.name}_restored"
    try:
        manage(seeded_database.name, "db", "verify")
        assert "backed up" in manage(seeded_database.name, "db", "backup", str(folder / "chatbots.dump"))
        assert "restored and counted" in manage(restored, "db", "restore", str(folder / "chatbots.dump"))
        manage(restored, "db", "verify")
        assert manage(restored, "admin", "operator-key", "create", "Ada").startswith("mro_")
    finally:
        drop_database(f"{place.replace('owner', 'owner:' + PASSWORDS['owner'])}/{restored}")


@pytest.mark.slow
def test_migrate_says_what_it_lacks(image: Image) -> None:
    process = image.start(services()["migrate"]["command"], {})
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "OWNER_PASSWORD" in output
