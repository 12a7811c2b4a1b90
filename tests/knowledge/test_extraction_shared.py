"""Real and hostile documents: a folder with an index.json that says what each tests and what must come out."""

import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from f.knowledge.documents import ExtractionError
from f.knowledge.extraction import extract

shared = os.environ.get("SHARED_DOCUMENTS")
CASES = json.loads((Path(shared) / "index.json").read_text()) if shared else []
pytestmark = pytest.mark.skipif(not shared, reason="SHARED_DOCUMENTS names no folder of documents")


def plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["file"]))
def test_a_document_comes_out_as_the_index_says(case: dict[str, Any]) -> None:
    outcome = case["outcome"]
    folder = Path(str(shared))
    try:
        extraction = extract((folder / case["file"]).read_bytes(), case["file"])
    except ExtractionError as error:
        assert outcome in (f"error:{error.code}", error.code, "error_or_bounded", "text_or_error"), error.message
        return
    assert outcome in ("text", "text_flagged", "text_or_error", "error_or_bounded")
    assert bool(extraction.warnings) or outcome != "text_flagged"
    text = plain(extraction.markdown)
    assert [wanted for wanted in case["expect"] if plain(wanted) not in text] == []
    if row := case.get("row"):
        assert any(re.search(".*".join(map(re.escape, row)), line) for line in extraction.markdown.splitlines())
    if path := case.get("must_not_write"):
        assert not Path(path).exists()
    if full := case.get("full_text"):
        file, rows = full.split(":")
        first, last = map(int, rows.split("-"))
        corpus = folder / file.replace("../sets/", "../retrieval/")
        lines = corpus.read_text().splitlines()[first : last + 1]
        words = set(text.split())
        wanted = [word for line in lines for word in plain(json.loads(line)["text"]).split()]
        assert sum(word in words for word in wanted) >= 0.97 * len(wanted)
