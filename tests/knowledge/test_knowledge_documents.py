"""Documents on the running system: from a PDF or a Word file to a cited answer, and what goes wrong on the way."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from made_documents import Pdf, docx, paragraph
from routes import Call, settled, upload
from systems import ON_WINDMILL, RunningStack, until

from local.running import find_running
from local.settings import load

PDF = "application/pdf"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HEADING = '<w:pStyle w:val="Heading1"/>'


def price_list(word: str) -> bytes:
    pdf = Pdf()
    pdf.write("Price list", 22).gap().write("Prices are in pounds and hold until the end of the year.")
    pdf.new_page()
    pdf.write("Retainers", 18).gap().write(f"A {word} retainer costs 145 pounds and is replaced after two years.")
    return pdf.bytes()


def leaflet(word: str) -> bytes:
    text = f"After {word} whitening you should not drink coffee for forty-eight hours."
    return docx(paragraph("Whitening", properties=HEADING) + paragraph(text))


@pytest.mark.parametrize(
    ("name", "kind", "make", "question", "answer", "place"),
    [
        ("prices.pdf", PDF, price_list, "What does a {} retainer cost?", "145 pounds", "prices.pdf, p. 2"),
        ("leaflet.docx", WORD, leaflet, "May I drink coffee after {} whitening?", "forty-eight hours", "leaflet.docx"),
    ],
    ids=["pdf", "docx"],
)
def test_a_document_is_uploaded_and_answered_from(
    stack: RunningStack,
    call: Call,
    name: str,
    kind: str,
    make: Callable[[str], bytes],
    question: str,
    answer: str,
    place: str,
):
    word = f"q{uuid4().hex[:6]}"
    taken = upload(call, make(word), f"{word}-{name}", kind)
    assert taken.status_code == 202, taken.text
    source = settled(call, taken.json()["id"])
    assert (source["state"], source["error"], source["is_searchable"]) == ("ready", None, True)
    assert source["pages"] == (2 if kind == PDF else 1)
    said = stack.dev("say", question.format(word), "--to", "harbour-dental").stdout
    assert answer in said and f"Sources: {word}-{place}" in said
    call("DELETE", f"sources/{source['id']}")


@pytest.mark.parametrize(
    ("data", "name", "code"),
    [
        (b"%PDF-1.7 broken", "a.pdf", "invalid"),
        (Pdf().write("secret").bytes(encryption=5, user_pw="x", owner_pw="y"), "b.pdf", "password_required"),
        (leaflet("x"), "c.pdf", "type_mismatch"),
        (Pdf().bytes(), "d.pdf", "no_text_layer"),
    ],
    ids=["damaged", "encrypted", "renamed", "blank"],
)
def test_a_document_that_cannot_be_read_fails_with_its_reason(call: Call, data: bytes, name: str, code: str):
    taken = upload(call, data + f"%{uuid4()}".encode(), name, PDF)
    source = settled(call, taken.json()["id"])
    assert (source["state"], source["error"]["code"], source["is_searchable"]) == ("failed", code, False)
    assert source["chunks"] == 0
    call("DELETE", f"sources/{source['id']}")


def test_the_same_file_at_once_is_taken_once(call: Call):
    text = f"Only one of {uuid4()} is kept."
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: upload(call, text, f"copy{n}.txt"), range(6)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 5
    (taken,) = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} <= {"same_content", "conflict"}
    assert settled(call, taken)["state"] == "ready"
    call("DELETE", f"sources/{taken}")


def long_text(sections: int) -> str:
    word = uuid4().hex[:8]
    lines = (f"# Section {n} of {word}\n\nTreatment {n} of {word} takes {n} minutes." for n in range(sections))
    return "\n\n".join(lines)


def rows(stack: RunningStack, source_id: str) -> dict[str, int]:
    with stack.connect() as database:
        tables = ("staged_chunks", "document_chunks", "source_versions")
        return {
            table: database.execute(f"select count(*) from {table} where source_id = %s", [source_id]).fetchone()[0]
            for table in tables
        }


def test_deleting_while_it_is_read_leaves_nothing(stack: RunningStack, call: Call):
    before = call("GET", "quota").json()["used"]
    source_id = upload(call, long_text(150)).json()["id"]
    until(lambda: rows(stack, source_id)["staged_chunks"])
    assert call("DELETE", f"sources/{source_id}").status_code == 200
    assert call("GET", f"sources/{source_id}").status_code == 404
    until(lambda: not stack.due_runs("f/knowledge/ingest_source"))
    assert set(rows(stack, source_id).values()) == {0}
    used = call("GET", "quota").json()["used"]
    assert {**used, "ingestions": 0} == {**before, "ingestions": 0}


@pytest.mark.slow
@pytest.mark.skipif(ON_WINDMILL, reason="kills processes of the local engine")
@pytest.mark.parametrize("moment", ["reading", "staged", "embedding", "nearly embedded"])
def test_killed_it_goes_on_and_is_never_half_there(stack: RunningStack, call: Call, moment: str):
    sections = 150
    source_id = upload(call, long_text(sections)).json()["id"]

    def source() -> dict[str, Any]:
        shown: dict[str, Any] = call("GET", f"sources/{source_id}").json()
        return shown

    reached: dict[str, Callable[[], Any]] = {
        "reading": lambda: source()["state"] != "pending",
        "staged": lambda: rows(stack, source_id)["staged_chunks"],
        "embedding": lambda: source()["progress"]["done"] >= sections // 3,
        "nearly embedded": lambda: source()["progress"]["done"] >= sections - 30,
    }
    until(reached[moment], pause=0.02)
    until(lambda: kill_jobs(stack), pause=0.02)  # there is none between two steps
    seen: set[int] = set()
    deadline = time.monotonic() + 240
    while (shown := source())["state"] not in ("ready", "failed") and time.monotonic() < deadline:
        seen.add(rows(stack, source_id)["document_chunks"])
    assert (shown["state"], shown["chunks"], shown["version"]) == ("ready", sections, 1), shown
    assert seen <= {0, sections} and rows(stack, source_id)["staged_chunks"] == 0
    call("DELETE", f"sources/{source_id}")


def kill_jobs(stack: RunningStack) -> int:
    killed = 0
    for pid in job_processes(stack):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def job_processes(stack: RunningStack) -> list[int]:
    """Processes of runs: what the engine's templates have forked."""
    running = find_running(load(stack.environment).data_dir)
    assert running is not None
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(place.name)] = (place / "cmdline").read_text()
        except OSError:
            continue

    def is_ours(pid: int) -> bool:
        while pid := parents.get(pid, 0):
            if pid == running.pid:
                return True
        return False

    return [
        pid
        for pid, command in commands.items()
        if "--template" in command and "--template" in commands.get(parents[pid], "") and is_ours(pid)
    ]
