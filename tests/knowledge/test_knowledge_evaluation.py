"""`./dev eval`, on a small set of our own."""

import json
from pathlib import Path

import pytest

from local import evaluation
from local.cli import main


def test_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    report = tmp_path / "report.json"
    status = main(["eval", "--json", str(report), "--limit", "5", "--cache", str(tmp_path / "vectors")])
    written = json.loads(report.read_text())
    assert status == (0 if all(target["met"] for target in written["targets"]) else 1)
    assert all(set(target) == {"name", "goal", "value", "met"} for target in written["targets"])
    bikes = written["sets"]["bikes"]
    assert bikes["queries"] == 5 and bikes["ndcg@10"]["fused"] > 0.7
    assert "bm25s" in capsys.readouterr().out


def test_a_missed_target_is_exit_status_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    report = {"sets": {}, "targets": [{"name": "x", "goal": 1, "value": 0, "met": False}]}
    monkeypatch.setattr(evaluation, "run", lambda *_: report)
    assert main(["eval", "--cache", str(tmp_path / "vectors")]) == 1


def test_a_folder_without_sets_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["eval", "--sets", str(tmp_path)]) == 1
    assert "has no sets" in capsys.readouterr().err
