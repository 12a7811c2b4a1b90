# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "babel==2.18.0", "beautifulsoup4==4.15.0", "certifi==2026.10.19.post1", "charset-normalizer==3.5.3",
#   "courlan==1.4.0", "dateparser==1.5.0", "htmldate==1.11.0", "justext==3.0.2", "lxml==6.1.3",
#   "lxml-html-clean==0.4.6", "pymupdf==1.28.2", "python-dateutil==2.9.0.post0", "python-docx==1.2.0", "pytz==2026.6",
#   "regex==2026.11.19", "six==1.17.0", "soupsieve==2.10", "tld==0.13.2", "trafilatura==2.3.1",
#   "typing-extensions==4.16.0", "tzlocal==5.4.5", "urllib3==2.8.0",
# ]
# ///
"""Extraction: a file of any kind to Markdown, in a process of its own.

What is read comes from outside, and parsers of documents have faults. So a file is read by a child that is started
anew (exec: the caller may have threads), has limits of memory, processor time and time, sees no secret and writes no
file. What it does not survive becomes an ExtractionError; the caller is unharmed.
"""

import contextlib
import ctypes
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from f.knowledge import docx_text, html_text, pdf_text, plain_text
from f.knowledge.documents import Extraction, ExtractionError, Limits, Page, identify

#: What the child imports. It has no access to Windmill, so it gets the sources that this process was given.
MODULES = (
    *("documents", "charsets", "markup", "plain_text", "html_text"),
    *("docx_package", "docx_styles", "docx_text", "pdf_tables", "pdf_view", "pdf_layout", "pdf_text", "extraction"),
)

#: Of <linux/prctl.h>.
PR_SET_DUMPABLE = 4

#: Limits first, then everything else.
CHILD = """
import json, resource, signal, sys
task = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_AS, (task["memory_bytes"], task["memory_bytes"]))
resource.setrlimit(resource.RLIMIT_CPU, (task["cpu_seconds"], task["cpu_seconds"] + 2))
resource.setrlimit(resource.RLIMIT_FSIZE, (task["output_bytes"], task["output_bytes"]))
signal.alarm(task["seconds"] + 5)
sys.path[:0] = task["path"]
from f.knowledge.extraction import work
work(task)
"""


def extract(
    data: bytes, filename: str = "", content_type: str | None = None, *, limits: Limits | None = None
) -> Extraction:
    """The Markdown of a file, page by page. Blocks for at most `limits.seconds`.

    `filename` and `content_type` are what the sender says; they must agree with what the file is.
    Raises ExtractionError.
    """
    limits = limits or Limits()
    if len(data) > limits.file_bytes:
        most = limits.file_bytes >> 20
        raise ExtractionError("too_large", f"The file is larger than {most} MB.")
    kind = identify(data, filename, content_type)
    charset = re.search(r"charset\s*=\s*\"?([\w.:-]{2,40})", content_type or "", re.IGNORECASE)
    with tempfile.TemporaryDirectory(prefix="extraction-") as folder:
        place = Path(folder)
        _write_sources(place)
        (place / "input").write_bytes(data)
        task = {
            "kind": kind,
            "charset": charset[1] if charset else None,
            "limits": vars(limits),
            "path": [folder, *(entry for entry in sys.path if entry)],
            "memory_bytes": limits.memory_bytes,
            "cpu_seconds": limits.cpu_seconds,
            "seconds": limits.seconds,
            # Of one character at most six bytes of JSON, and something for the pages.
            "output_bytes": 6 * limits.characters + (1 << 20),
        }
        status = _run(task, place, limits.seconds)
        output = (place / "output").read_bytes()
    return _answer(status, output, kind)


def shield() -> None:
    """Keep what this process knows, a token of Windmill's among it, from the processes that it starts.

    They have its user, and could read its environment and memory from /proc. Raises OSError.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _write_sources(place: Path) -> None:
    package = place / "f" / "knowledge"
    package.mkdir(parents=True)
    for name in MODULES:
        full = f"f.knowledge.{name}"
        loader: Any = getattr(importlib.import_module(full).__spec__, "loader", None)
        (package / f"{name}.py").write_text(loader.get_source(full), encoding="utf-8")


def _run(task: dict[str, Any], place: Path, seconds: int) -> int:
    """The status of the child; raises ExtractionError when its time is over."""
    environment = {"LANG": "C.UTF-8", "PATH": os.defpath, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    if libraries := os.environ.get("LD_LIBRARY_PATH"):
        environment["LD_LIBRARY_PATH"] = libraries
    command = [sys.executable, "-I", "-c", CHILD, json.dumps(task)]
    with (place / "input").open("rb") as given, (place / "output").open("wb") as taken:
        child = subprocess.Popen(
            command,
            stdin=given,
            stdout=taken,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=place,
            start_new_session=True,
        )
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise _too_slow() from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _too_slow() -> ExtractionError:
    return ExtractionError("timeout", "Reading the file takes too long.")


def _answer(status: int, output: bytes, kind: str) -> Extraction:
    if status in (-signal.SIGXCPU, -signal.SIGALRM):
        raise _too_slow()
    if status in (-signal.SIGKILL, -signal.SIGXFSZ):
        raise ExtractionError("too_large", "The file needs more memory than one file may take.")
    try:
        answer = json.loads(output) if status == 0 else None
    except ValueError:
        answer = None
    if answer is None:
        raise ExtractionError("invalid", "The file is damaged: it cannot be read.")
    if "error" in answer:
        raise ExtractionError(answer["error"]["code"], answer["error"]["message"])
    pages = [Page(page["number"], page["markdown"]) for page in answer["pages"]]
    return Extraction(pages, answer["warnings"], kind)


def work(task: dict[str, Any]) -> None:
    """What the child does: read the file from its input, write an answer as JSON."""
    output = sys.stdout.buffer
    sys.stdout = sys.stderr  # libraries that print would spoil the answer
    try:
        answer = read(sys.stdin.buffer.read(), task["kind"], Limits(**task["limits"]), task["charset"]).as_dict()
    except ExtractionError as error:
        answer = error.as_dict()
    except MemoryError:
        answer = ExtractionError("too_large", "The file needs more memory than one file may take.").as_dict()
    except RecursionError:
        answer = ExtractionError("invalid", "The file is nested too deeply.").as_dict()
    output.write(json.dumps(answer).encode())
    output.flush()
    os._exit(0)  # what a parser left behind must not keep the answer from being given


def read(data: bytes, kind: str, limits: Limits, charset: str | None = None) -> Extraction:
    """Read `data`, which is a `kind`, in this process: for what is known to be harmless."""
    if kind == "pdf":
        return pdf_text.read(data, limits)
    if kind == "docx":
        return docx_text.read(data, limits)
    if kind == "html":
        return html_text.read(data, limits, charset)
    return plain_text.read(data, limits, charset)
