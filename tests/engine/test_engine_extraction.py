"""Documents are read in a job, warm or fresh, as they are elsewhere."""

import base64
from collections.abc import Callable
from pathlib import Path

import pymupdf
import pytest
from engines import Engine

KNOWLEDGE = Path(__file__).parents[2] / "f" / "knowledge"
FILES = {f"f/knowledge/{path.name}": path.read_text() for path in KNOWLEDGE.glob("*.py")} | {
    "f/a/read.py": """
import base64
from f.knowledge.extraction import extract

def main(data: str):
    return extract(base64.b64decode(data), "a.pdf").as_dict()
""",
}


@pytest.mark.parametrize("options", [(), ("--fresh",)], ids=["warm", "fresh"])
def test_a_job_reads_a_document(make_engine: Callable[..., Engine], options: tuple[str, ...]) -> None:
    document = pymupdf.open()
    document.new_page().insert_text((72, 72), "Read in a job")
    engine = make_engine(FILES, *options)
    result = engine.result("p", "f/a/read", {"data": base64.b64encode(document.tobytes()).decode()})
    assert result == {"pages": [{"number": 1, "markdown": "Read in a job"}], "warnings": []}
