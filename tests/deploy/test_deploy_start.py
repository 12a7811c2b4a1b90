"""docker/start: from an empty .env to one with which the stack starts."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from stack_files import SECRETS, compose_text, resolve

import gateway.config
from local.install import ROOT
from local.settings import read_env_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docker").mkdir()
    shutil.copy(ROOT / "docker" / "start", tmp_path / "docker")
    shutil.copy(ROOT / ".env.example", tmp_path)
    return tmp_path


def start(folder: Path, *arguments: str, path: str = os.defpath) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "docker" / "start"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": path})


def test_it_makes_every_secret_and_compose_is_content(folder: Path) -> None:
    done = start(folder, "--env")
    assert done.returncode == 0, done.stderr
    values = read_env_file(folder / ".env")
    assert set(values) == set(SECRETS) and len(set(values.values())) == len(SECRETS)
    assert all(re.fullmatch(r"(demo-app:)?[0-9a-f]{48}", value) for value in values.values())
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    services = resolve(yaml.safe_load(compose_text()), values)["services"]
    gateway.config.load(services["gateway"]["environment"] | {"WINDMILL_TOKEN_FILE": "", "WINDMILL_TOKEN": "x"})
    # Said are names; values are in the file.
    assert not any(value in done.stdout + done.stderr for value in values.values())
    assert "META_APP_SECRETS is invented" in done.stderr


def test_what_is_there_stays(folder: Path) -> None:
    given = "APP_PASSWORD='mine'\nMETA_APP_SECRETS=1:x\nexport OWNER_PASSWORD=own\nMCP_SIGNING_KEY=\nDOMAIN=a.example"
    (folder / ".env").write_text(given)
    done = start(folder, "--env")
    first = (folder / ".env").read_text()
    assert first.startswith(given + "\n") and "invented" not in done.stderr
    values = read_env_file(folder / ".env")
    assert (values["APP_PASSWORD"], values["OWNER_PASSWORD"], values["META_APP_SECRETS"]) == ("mine", "own", "1:x")
    assert len(values["MCP_SIGNING_KEY"]) == 48
    assert start(folder, "--env").stdout == "" and (folder / ".env").read_text() == first


@pytest.mark.parametrize("nothing", ["", '""', "''", " ", "   # comment"])
def test_what_is_no_value_is_made(folder: Path, nothing: str) -> None:
    (folder / ".env").write_text(f"APP_PASSWORD={nothing}\nMETA_APP_SECRETS={nothing}\n")
    assert "META_APP_SECRETS is invented" in start(folder, "--env").stderr
    values = read_env_file(folder / ".env")
    assert len(values["APP_PASSWORD"]) == 48 and values["META_APP_SECRETS"].startswith("demo-app:")


def test_it_builds_and_waits_for_all(folder: Path) -> None:
    tools = folder / "tools"
    tools.mkdir()
    (tools / "docker").write_text('#!/bin/sh\npwd\necho "$@"\n')
    (tools / "docker").chmod(0o755)
    done = start(folder, path=f"{tools}{os.pathsep}{os.defpath}")
    assert done.stdout.splitlines()[-2:] == [str(folder), "compose up --detach --build --wait"]


def test_only_docker_start_is_needed() -> None:
    assert (ROOT / "docker" / "start").stat().st_mode & stat.S_IXUSR
    subprocess.run(["sh", "-n", str(ROOT / "docker" / "start")], check=True)
