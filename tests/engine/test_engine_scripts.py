"""Scripts: what they get, what they give, and how they fail."""

import time

import pytest
from engines import Engine

FILES = {
    "f/a/add.py": "def main(x: int, y: int = 2): return x + y",
    "f/a/arguments.py": "def main(a, b=5, *more, **rest): return [a, b, rest]",
    "f/a/types.py": """
from datetime import date, datetime
def main(when: datetime, day: date | None, data: bytes, ratio: float, text: str):
    return [type(item).__name__ for item in (when, day, data, ratio, text)]
""",
    "f/a/returns.py": """
import decimal, uuid
def main(kind: str):
    circle = []
    circle.append(circle)
    return {
        "nan": lambda: [float("nan"), float("inf"), 1.5],
        "nul": lambda: {"a\\0b": "c\\0d"},
        "surrogate": lambda: "\\ud800!",
        "bytes": lambda: b"\\x00\\x01",
        "unknown": lambda: [decimal.Decimal("1.5"), uuid.UUID(int=0), {1, 1}],
        "unicode": lambda: "naïve 日本語 👋",
        "none": lambda: None,
        "keys": lambda: {1: "a", None: "b"},
        "large": lambda: "x" * 10_000_000,
        "circle": lambda: circle,
        "deep": lambda: 10**20,
    }[kind]()
""",
    "f/a/coroutine.py": "import asyncio\nasync def main(x): await asyncio.sleep(0); return x * 2",
    "f/a/fails.py": """
class Silent(Exception):
    def __str__(self): raise RuntimeError("no text either")
def main(kind: str):
    if kind == "error": raise LookupError("no such sku: x1")
    if kind == "exit": raise SystemExit(3)
    if kind == "interrupt": raise KeyboardInterrupt
    if kind == "recursion": main_again()
    if kind == "nul": raise ValueError("a\\0b \\ud800")
    if kind == "silent": raise Silent
def main_again(): return main_again()
""",
    "f/a/syntax.py": "def main(:\n",
    "f/a/no_package.py": "import there_is_no_such_package\ndef main(): return 1",
    "f/a/dies.py": "import os\ndef main(): os._exit(7)",
    "f/a/prints.py": "import sys\ndef main(): print('to stdout'); print('to stderr', file=sys.stderr); return 1",
    "f/a/floods.py": """
import sys
def main(megabytes: int):
    for _ in range(megabytes): sys.stdout.write("y" * 1_000_000)
    return "done"
""",
    "f/a/closes.py": """
import os, sys
def main(how: str):
    if how == "stdout": sys.stdout.close()
    if how == "descriptors": os.close(1); os.close(2)
    if how == "replaced": sys.stdout = None
    return how
""",
    "f/a/sleeps.py": "import time\ndef main(seconds: float): time.sleep(seconds); return 'slept'",
    "f/a/sleeps.script.yaml": {"summary": "", "kind": "script", "timeout": 1},
    "f/a/inherits.py": "from f.a.library import DOUBLE\ndef main(x): return DOUBLE(x)",
    "f/a/library.py": "DOUBLE = lambda x: x * 2",
    "f/a/package.py": "import httpx, yaml\ndef main(): return [httpx.codes.OK, yaml.safe_load('a: 1')]",
    "f/a/3_number.py": "def main(): return 'numbered'",
    "f/a/preprocessed.py": """
def preprocessor(event): return {"kind": event["kind"], "body": event["body"], "more": True}
def main(kind, body, more): return [kind, body, more]
""",
}


def test_arguments_reach_main_by_name(engine: Engine) -> None:
    assert engine.result("p", "f/a/add", {"x": 1, "y": 4, "unknown": 3}) == 5


def test_a_default_stands_in_for_what_is_missing_or_null(engine: Engine) -> None:
    assert engine.result("p", "f/a/add", {"x": 1, "y": None}) == 3


def test_a_missing_argument_is_none_and_keywords_take_the_rest(engine: Engine) -> None:
    assert engine.result("p", "f/a/arguments", {"c": 1}) == [None, 5, {"c": 1}]


def test_only_times_and_bytes_are_converted(engine: Engine) -> None:
    args = {"when": "2026-05-01T10:00:00", "day": "2026-05-01", "data": "AAE=", "ratio": "0.25", "text": "t"}
    assert engine.result("p", "f/a/types", args) == ["datetime", "date", "bytes", "str", "str"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("nan", [None, None, 1.5]),
        ("nul", {"ab": "cd"}),
        ("surrogate", "?!"),
        ("bytes", "AAE="),
        ("unknown", ["1.5", "00000000-0000-0000-0000-000000000000", "{1}"]),
        ("unicode", "naïve 日本語 👋"),
        ("none", None),
        ("keys", {"1": "a", "null": "b"}),
        ("deep", 10**20),
    ],
)
def test_results_become_json_that_can_be_stored(engine: Engine, kind: str, expected: object) -> None:
    assert engine.result("p", "f/a/returns", {"kind": kind}) == expected


def test_a_result_of_ten_megabytes_arrives_whole(engine: Engine) -> None:
    assert len(engine.result("p", "f/a/returns", {"kind": "large"})) == 10_000_000


def test_a_result_that_is_no_json_fails_the_script(engine: Engine) -> None:
    assert engine.error("p", "f/a/returns", {"kind": "circle"})["name"] == "ValueError"


def test_main_may_be_a_coroutine(engine: Engine) -> None:
    assert engine.result("p", "f/a/coroutine", {"x": 4}) == 8


def test_an_exception_is_the_result(engine: Engine) -> None:
    error = engine.error("p", "f/a/fails", {"kind": "error"})
    assert (error["name"], error["message"]) == ("LookupError", "no such sku: x1")
    assert "main" in error["stack"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("exit", "SystemExit"), ("interrupt", "KeyboardInterrupt"), ("recursion", "RecursionError"), ("silent", "Silent")],
)
def test_every_way_out_of_main_is_an_error_with_a_name(engine: Engine, kind: str, name: str) -> None:
    assert engine.error("p", "f/a/fails", {"kind": kind})["name"] == name


def test_an_error_with_characters_that_cannot_be_stored_is_told_without_them(engine: Engine) -> None:
    assert engine.error("p", "f/a/fails", {"kind": "nul"})["message"] == "ab ?"


def test_a_syntax_error_fails_the_run_and_names_the_place(engine: Engine) -> None:
    error = engine.error("p", "f/a/syntax")
    assert error["name"] == "SyntaxError"
    assert "f/a/syntax.py" in error["stack"]


def test_a_package_that_is_not_there_fails_the_run(engine: Engine) -> None:
    assert "there_is_no_such_package" in engine.error("p", "f/a/no_package")["message"]


def test_a_process_that_dies_is_tried_three_times(engine: Engine) -> None:
    job_id = engine.queue("p", "f/a/dies")
    job = engine.finished(job_id)
    assert job["result"]["error"]["message"] == "the job's process died 3 times"
    assert job["logs"].count("the job's process died: it runs again") == 2


def test_what_is_printed_is_in_the_logs(engine: Engine) -> None:
    job_id = engine.queue("p", "f/a/prints")
    engine.finished(job_id)
    logs = engine.api("GET", f"jobs_u/get_logs/{job_id}").text
    assert "to stdout\n" in logs
    assert "to stderr\n" in logs


def test_a_flood_of_output_neither_blocks_nor_fills_the_database(engine: Engine) -> None:
    job_id = engine.queue("p", "f/a/floods", {"megabytes": 100})
    job = engine.finished(job_id)
    assert job["result"] == "done"
    assert 100_000 < len(job["logs"]) < 500_000


@pytest.mark.parametrize("how", ["stdout", "descriptors", "replaced"])
def test_a_script_may_close_its_output(engine: Engine, how: str) -> None:
    assert engine.result("p", "f/a/closes", {"how": how}) == how


def test_the_timeout_of_a_script_ends_it(engine: Engine) -> None:
    start = time.monotonic()
    error = engine.error("p", "f/a/sleeps", {"seconds": 20})
    assert "longer than its 1 s" in error["message"]
    assert time.monotonic() - start < 5


def test_a_script_imports_what_lies_beside_it(engine: Engine) -> None:
    assert engine.result("p", "f/a/inherits", {"x": 4}) == 8


def test_a_script_imports_packages(engine: Engine) -> None:
    assert engine.result("p", "f/a/package") == [200, {"a": 1}]


def test_a_script_whose_name_is_no_identifier_runs(engine: Engine) -> None:
    assert engine.result("p", "f/a/3_number") == "numbered"


def test_a_module_without_main_is_not_a_script(engine: Engine) -> None:
    answer = engine.call("p", "f/a/library")
    assert (answer.status_code, answer.text) == (404, "Not found: script not found at name f/a/library")


def test_a_preprocessor_makes_the_arguments_of_main(engine: Engine) -> None:
    assert engine.result("p", "f/a/preprocessed", {"x": 1}) == ["webhook", {"x": 1}, True]
