"""The rules for the repository as a whole."""

import argparse
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from local.cli import build_parser
from local.secret_scan import tracked_files

ROOT = Path(__file__).parents[2]

#: Package registries, and folders of whoever wrote a file. Brackets keep this line from finding itself.
FOREIGN = re.compile(r"pypi[.]org|pythonh[o]sted|npmj[s][.]|crates[.]io|deb[.]debian|/ro[o]t/|/wo[r]k/|/ho[m]e/")


def tracked() -> list[Path]:
    try:
        return tracked_files(ROOT)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git work tree")


def verbs() -> list[str]:
    actions = build_parser()._actions
    return next(list(a.choices) for a in actions if isinstance(a, argparse._SubParsersAction))


def test_no_file_names_a_registry_or_somebodys_folder() -> None:
    found = []
    for path in tracked():
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if FOREIGN.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert found == []


@pytest.mark.parametrize("verb", verbs())
def test_the_readme_names_every_verb(verb: str) -> None:
    assert re.search(rf"\./dev {verb}\b", (ROOT / "README.md").read_text())


def test_what_is_run_is_executable() -> None:
    for name in ("dev", "db/manage_db.sh", ".ci/run", ".githooks/pre-commit"):
        assert (ROOT / name).stat().st_mode & stat.S_IXUSR, name


def test_every_variable_of_the_settings_is_in_the_example() -> None:
    from local.settings import PORTS

    example = (ROOT / ".env.example").read_text()
    names = ["DATA_DIR", "DATABASE_URL", *(name for name, _ in PORTS.values())]
    assert [name for name in names if not re.search(rf"^#?{name}=", example, re.MULTILINE)] == []


def test_tests_have_the_same_names_in_every_process(request: pytest.FixtureRequest) -> None:
    """The tests run in several processes at once, which is refused where one of them finds other names."""
    ours = [item.nodeid for item in request.session.items]
    files = sorted({name.split("::")[0] for name in ours})
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", "", *files],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    assert [name for name in ours if name not in set(found)] == []
