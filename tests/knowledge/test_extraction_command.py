"""`./dev extract`: Markdown, JSON, and errors a script can read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_documents import Pdf, page_pdf

from local.cli import main

ROOT = Path(__file__).parents[2]
HIDDEN = b"BT /F 12 Tf 50 700 Td (Open) Tj ET BT 3 Tr /F 12 Tf 50 600 Td (secret) Tj ET"


def test_markdown_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(page_pdf(HIDDEN))
    assert main(["extract", str(file)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "Open\n" and "Hidden text" in shown.err
    assert main(["extract", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "pages": [{"number": 1, "markdown": "Open"}],
        "warnings": ["Hidden text was left out (1 places, page 1)."],
    }


def test_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.docx"
    file.write_bytes(Pdf().write("x").bytes())
    assert main(["extract", str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "type_mismatch"
    assert main(["extract", str(tmp_path / "none.pdf")]) == 1


def test_the_measurement_of_the_documentation(tmp_path: Path) -> None:
    line = next(line for line in (ROOT / "docs/knowledge.md").read_text().splitlines() if "measure_extraction" in line)
    (tmp_path / "a.pdf").write_bytes(page_pdf(HIDDEN))
    script = line.split()[-2]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "without tables" in done.stdout and "peak memory" in done.stdout
