"""`dev` and local/install.py: from a clean clone to a working environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from local.install import ROOT
from local.secret_scan import tracked_files


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The repository's files and nothing that was installed."""
    for path in tracked_files(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


@pytest.mark.slow
def test_two_first_commands_at_once_install_one_environment(clone: Path) -> None:
    commands = [
        subprocess.Popen([clone / "dev", "--help"], cwd=os.sep, stdout=-1, stderr=-1, text=True) for _ in range(2)
    ]
    outputs = [command.communicate(timeout=300) for command in commands]
    assert [command.returncode for command in commands] == [0, 0], outputs
    assert all("usage: ./dev" in output for output, _ in outputs)
    assert "".join(errors for _, errors in outputs).count("packages installed") == 1
    again = subprocess.run([clone / "dev", "--help"], cwd=os.sep, capture_output=True, text=True, check=True)
    assert again.stderr == ""
