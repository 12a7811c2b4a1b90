"""`./dev eval`, on a small set of our own."""

import json
from pathlib import Path

import pytest

from local import evaluation
from local.cli import main
from local.rerank_standin import RerankStandIn
from local.standins import OpenAIStandIn


def test_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    report = tmp_path / "report.json"
    status = main(["eval", "--json", str(report), "--limit", "5", "--cache", str(tmp_path / "vectors")])
    written = json.loads(report.read_text())
    assert status == (0 if all(target["met"] for target in written["targets"]) else 1)
    assert all(set(target) == {"name", "goal", "value", "met"} for target in written["targets"])
    bikes = written["sets"]["bikes"]
    assert bikes["queries"] == 5 and bikes["ndcg@10"]["ranked"] > 0.8
    assert list(bikes["rerankers"]) == ["none", "offline"]
    assert bikes["rerankers"]["offline"]["ndcg@10"] == bikes["ndcg@10"]["ranked"]
    assert len(written["unknown"]["mean"]) == len(written["unknown"]["thresholds"])
    assert written["unknown"]["apart"]["bikes"]["elsewhere"] > 0.9
    shown = capsys.readouterr().out
    assert "were not asked: --reader" in shown and "refused of what is elsewhere" in shown
    assert "bm25s" in shown and "0.82 would be good" in shown


def test_what_a_reranker_brings_and_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    api, openai, report = RerankStandIn(), OpenAIStandIn(), tmp_path / "report.json"
    monkeypatch.setenv("RERANK_API_KEY", api.resource["api_key"])
    monkeypatch.setenv("RERANK_BASE_URL", api.resource["base_url"])
    monkeypatch.setenv("OPENAI_API_KEY", openai.resource["api_key"])
    monkeypatch.setenv("OPENAI_BASE_URL", openai.resource["base_url"])
    openai.enqueue(openai.text("[2, 1]", prompt_tokens=7), openai.text("No."))
    readers = ["--reader", "api:r-1", "--reader", "openai:m-1"]
    main(["eval", "--json", str(report), "--limit", "2", "--cache", str(tmp_path / "vectors"), *readers])
    measured = json.loads(report.read_text())["sets"]["bikes"]["rerankers"]
    assert list(measured) == ["none", "offline", "api:r-1", "openai:m-1"]
    assert len(api.history) == len(openai.history) == 2
    assert measured["api:r-1"]["failed"] == 0 and measured["api:r-1"]["ms_p50"] > 0
    assert measured["openai:m-1"]["failed"] == 1 and measured["openai:m-1"]["tokens"] > 3
    assert "openai:m-1" in (shown := capsys.readouterr().out) and "m-1 answered no order" in shown
    api.close()
    openai.close()


@pytest.mark.parametrize(
    ("reader", "told"), [("api:x", "RERANK_BASE_URL"), ("openai", "api:MODEL"), ("gemini:x", "GEMINI_API_KEY")]
)
def test_a_reader_that_cannot_be_asked_is_said_before_the_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, reader: str, told: str
):
    for name in ("RERANK_API_KEY", "RERANK_BASE_URL", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["eval", "--reader", reader]) == 1
    assert told in capsys.readouterr().err


def test_each_tenant_of_a_set_has_its_own_passages(tmp_path: Path):
    def lines(name: str, rows: list[dict]) -> None:
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))

    said = {"a": "The shop opens at nine.", "b": "The shop opens at ten."}
    lines("corpus.jsonl", [{"_id": f"d{t}", "title": "Hours", "text": text, "tenant": t} for t, text in said.items()])
    lines("queries.jsonl", [{"_id": f"q{t}", "text": "When does the shop open?", "tenant": t} for t in said])
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nqa\tda\t1\nqb\tdb\t1\n")
    report = tmp_path / "report.json"
    assert main(["eval", "--sets", str(tmp_path), "--json", str(report), "--cache", str(tmp_path / "vectors")]) == 0
    (result,) = json.loads(report.read_text())["sets"].values()
    assert result["ndcg@10"]["ranked"] == result["recall@5"]["bm25s"] == 1.0 and result["chunks"] == 2


def result(meaning: float, words: float, ranked: float) -> dict:
    ndcg = {"meaning": meaning, "words": words, "fused": 0.0, "ranked": ranked, "bm25s": words}
    return {"ndcg@10": ndcg, "ms_p50": {"all": 10}}


@pytest.mark.parametrize(
    ("results", "missed"),
    [
        ({"a": result(0.9, 0.5, 0.895), "b": result(0.6, 0.7, 0.7)}, []),
        ({"a": result(0.9, 0.5, 0.885), "b": result(0.6, 0.7, 0.8)}, ["a: nDCG@10, the better leg's less 0.01"]),
        ({"a": result(0.7, 0.5, 0.78)}, ["mean nDCG@10"]),
    ],
)
def test_the_targets(results: dict, missed: list[str]):
    assert [target["name"] for target in evaluation.targets(results) if not target["met"]] == missed


def test_the_scale_in_small(tmp_path: Path):
    report = tmp_path / "report.json"
    assert main(["eval", "--scale", "--tenants", "24", "--rows", "1000", "--json", str(report)]) == 0
    written = json.loads(report.read_text())
    assert written["crowd"] == {"tenants": 24, "rows": 156, "searches": 48, "foreign": 0, "short": 0}
    assert {share: one["rows"] for share, one in written["large"]["tenants"].items()} == {"1 %": 10, "10 %": 100}


def test_a_missed_target_is_exit_status_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    report = {"sets": {}, "targets": [{"name": "x", "goal": 1, "value": 0, "met": False}]}
    monkeypatch.setattr(evaluation, "run", lambda *_: report)
    monkeypatch.setattr(evaluation, "table", lambda _: "")
    assert main(["eval", "--cache", str(tmp_path / "vectors")]) == 1


def test_a_folder_without_sets_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["eval", "--sets", str(tmp_path)]) == 1
    assert "has no sets" in capsys.readouterr().err
