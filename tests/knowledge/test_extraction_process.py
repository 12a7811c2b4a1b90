"""The process that reads: kinds by content, limits, and a caller that survives all of it."""

import ast
import os
import subprocess
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from made_documents import Pdf, docx, html, packed, page_pdf, paragraph, raw_pdf, stream
from systems import ROOT

from f.knowledge import extraction
from f.knowledge.documents import ExtractionError, Limits, identify
from f.knowledge.extraction import extract

PDF = Pdf().write("Hello from a PDF").bytes()


def refused(data: bytes, filename: str = "", content_type: str | None = None, **limits: int) -> ExtractionError:
    with pytest.raises(ExtractionError) as error:
        extract(data, filename, content_type, limits=Limits(**limits))
    return error.value


@pytest.mark.parametrize(
    ("data", "filename", "content_type", "text"),
    [
        (PDF, "a.PDF", None, "Hello from a PDF"),
        (b"junk before\n" + PDF, "", "application/pdf", "Hello from a PDF"),
        (docx(paragraph("Hello from Word")), "a.docx", "application/octet-stream", "Hello from Word"),
        (html("<p>Hello from a page</p>"), "", "text/html; charset=utf-8", "Hello from a page"),
        (b"<p>Hello from a part</p>", "a.html", None, "Hello from a part"),
        (b"# Hello", "a.md", None, "# Hello"),
        ("Hola, señor".encode("cp1252"), "a.txt", "text/plain", "Hola, señor"),
        (b"Hello from nowhere", "", None, "Hello from nowhere"),
    ],
)
def test_each_kind_in_its_own_process(data: bytes, filename: str, content_type: str | None, text: str) -> None:
    assert extract(data, filename, content_type).markdown == text


@pytest.mark.parametrize(
    ("data", "filename", "content_type", "code"),
    [
        (b"", "a.pdf", None, "invalid"),
        (PDF, "a.docx", None, "type_mismatch"),
        (PDF, "", "text/plain", "type_mismatch"),
        (docx(paragraph("x")), "a.pdf", None, "type_mismatch"),
        (html("<p>x</p>"), "a.txt", None, "type_mismatch"),
        (b"just text", "a.pdf", None, "type_mismatch"),
        (b"\x89PNG\r\n\x1a\n\x00", "a.pdf", None, "type_mismatch"),
        (b"\x89PNG\r\n\x1a\n\x00", "a.png", "image/png", "unsupported"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "a.doc", None, "unsupported"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "a.docx",
            None,
            "password_required",
        ),
        (packed({"[Content_Types].xml": "spreadsheetml"}), "a.xlsx", None, "unsupported"),
        (packed({"[Content_Types].xml": "spreadsheetml"}), "a.docx", None, "type_mismatch"),
        (packed({"x": "y"}), "a.docx", None, "invalid"),
        (packed({"x": "y"}), "a.zip", None, "unsupported"),
        (bytes(5000), "a.txt", None, "invalid"),
        (bytes(range(256)) * 4, "a.pdf", None, "invalid"),
    ],
)
def test_a_file_is_what_its_bytes_say(data: bytes, filename: str, content_type: str | None, code: str) -> None:
    with pytest.raises(ExtractionError) as error:
        identify(data, filename, content_type)
    assert error.value.code == code and error.value.message


def test_21_megabytes_are_refused_unread() -> None:
    assert refused(b"%PDF-1.7" + bytes(21 << 20), "a.pdf").code == "too_large"


def exponential() -> bytes:
    """Ten forms, each of which draws the next ten times."""
    head = b"/Type /XObject /Subtype /Form /BBox [0 0 600 800]"
    head += b" /Resources << /Font << /F 5 0 R >> /XObject << /X %d 0 R >> >>"
    forms = [stream(b"/X Do " * 10, head % (7 + level)) for level in range(10)]
    last = stream(b"BT /F 12 Tf 50 600 Td (lol) Tj ET", head % 5)
    return page_pdf(b"/X Do", *forms, last, resources=b"/XObject << /X 6 0 R >>")


def test_what_takes_too_long_or_too_much_is_ended() -> None:
    assert refused(exponential(), "a.pdf", seconds=3).code in ("timeout", "too_large")
    assert refused(exponential(), "a.pdf", cpu_seconds=1).code in ("timeout", "too_large")
    assert refused(exponential(), "a.pdf", memory_bytes=200 << 20).code in ("too_large", "timeout")


def test_what_needs_too_much_memory_is_refused() -> None:
    words = "".join(paragraph(f"word {number}") for number in range(60_000))
    assert refused(docx(words), "a.docx", memory_bytes=100 << 20).code == "too_large"


def test_a_stream_that_inflates_is_bounded() -> None:
    bomb = zlib.compress(b"BT /F 12 Tf 50 700 Td (Small) Tj ET" + b" " * 60_000_000, 9)
    assert len(bomb) < 100_000
    assert extract(page_pdf(bomb, entries=b"/Filter /FlateDecode"), "a.pdf").markdown == "Small"


def test_pages_that_contain_themselves_are_refused() -> None:
    loop = raw_pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>")
    assert refused(loop, "a.pdf").code in ("invalid", "no_text_layer")


def test_nothing_is_left_behind() -> None:
    before = set(Path(tempfile.gettempdir()).glob("extraction-*"))
    extract(b"text", "a.txt")
    refused(exponential(), "a.pdf", seconds=1)
    assert set(Path(tempfile.gettempdir()).glob("extraction-*")) <= before


def test_threads_may_extract_at_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: extract(f"text {n}".encode(), "a.txt").markdown, range(8)))
    assert found == [f"text {number}" for number in range(8)]


def test_the_reader_sees_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child has of the environment, shown by a module that is put before the others."""
    from f.knowledge import extraction

    monkeypatch.setenv("WM_TOKEN", "token-of-this-test")
    seen = extraction.CHILD.replace("work(task)", "import os; print(dict(os.environ), flush=True); os._exit(7)")
    monkeypatch.setattr(extraction, "CHILD", seen)
    outputs: list[bytes] = []
    monkeypatch.setattr(extraction, "_answer", lambda status, output, kind: outputs.append(output))
    extract(b"text", "a.txt")
    assert b"LANG" in outputs[0] and b"token-of-this-test" not in outputs[0]


#: Finds modules as Windmill's own loader does: below the job's folder, without a place in the module's spec.
LOADER = """
import os, sys
from importlib.machinery import ModuleSpec, SourceFileLoader
class Package:
    def create_module(self, spec): return None
    def exec_module(self, module): module.__path__ = module.__name__
class Finder:
    @classmethod
    def find_spec(cls, name, path, target=None):
        parts = name.split(".")
        if parts[0] not in ("f", "u"): return None
        if len(parts) <= 2: return ModuleSpec(name, Package())
        return ModuleSpec(name, SourceFileLoader(name, os.path.join(sys.argv[1], *parts) + ".py"))
sys.meta_path.insert(0, Finder)
from f.knowledge.extraction import extract
assert "pymupdf" not in sys.modules and "lxml" not in sys.modules
print(extract(open(sys.argv[2], "rb").read(), "a.pdf").markdown)
"""


def test_it_works_in_a_windmill_job(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    environment = {"PATH": os.defpath}
    command = [sys.executable, "-c", LOADER, str(ROOT), str(tmp_path / "a.pdf")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "Hello from a PDF\n", done.stderr


#: Becomes a user without rights, as which workers run, and starts a process that looks at where it came from.
PARENT = """
import ctypes, os, subprocess, sys
from f.knowledge.extraction import PR_SET_DUMPABLE, shield
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # as a process has it that was started by this user
if sys.argv[1] == "shielded":
    shield()
done = subprocess.run(["/bin/cat", f"/proc/{os.getpid()}/environ"], env={}, capture_output=True)
print("seen" if b"the-token" in done.stdout else done.stderr.decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("state", "answer"), [("open", "seen"), ("shielded", "Permission denied")])
def test_a_process_cannot_look_into_the_one_that_started_it(state: str, answer: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WM_TOKEN": "the-token"}
    command = [sys.executable, "-c", PARENT, state]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer in done.stdout, done.stderr


def test_the_child_gets_every_module_that_it_imports():
    """In Windmill it has no other way to them, while here it also finds the repository's."""
    seen: set[str] = set()
    waiting = ["extraction"]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            for node in ast.walk(ast.parse((ROOT / "f" / "knowledge" / f"{name}.py").read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("f."):
                    path = str(node.module).split(".")
                    assert path[1] == "knowledge", f"{name} imports {node.module}"
                    waiting += path[2:] or [alias.name for alias in node.names]
    assert set(extraction.MODULES) == seen
