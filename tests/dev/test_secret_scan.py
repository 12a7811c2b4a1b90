"""local/secret_scan.py: what `./dev check` calls a secret. No example is written out, so that none is found here."""

import subprocess
from pathlib import Path

import pytest

from local.install import ROOT
from local.secret_scan import find

EXAMPLES = {
    "key of a tenant": "KEY = 'mr_" + "a1B2c3D4" * 4 + "'",
    "token of Meta": "token: EAA" + "Zx9Y" * 12,
    "password": "pass" + "word = 'correct horse 42'",
    "address with a password": "postgres" + "ql://owner:hunter2" + "@db/chatbots",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "AWS key": "AKIA" + "IOSFODNN7EXAMPLX",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_a_secret_is_found_and_not_repeated(repository: Path, text: str) -> None:
    (repository / "notes.py").write_text(f"# harmless\n{text}\n")
    (found,) = find(repository)
    assert found.startswith("notes.py:2: ")
    assert text not in found


def test_a_line_that_is_marked_as_invented_is_none(repository: Path) -> None:
    (repository / "notes.py").write_text(f"{EXAMPLES['password']}  # pragma: allowlist secret\n")
    assert find(repository) == []


def test_what_git_ignores_is_not_looked_at(repository: Path) -> None:
    (repository / ".gitignore").write_text(".env\n")
    (repository / ".env").write_text(EXAMPLES["password"])
    assert find(repository) == []


def test_this_repository_has_none() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git work tree")
    assert find(ROOT) == []
