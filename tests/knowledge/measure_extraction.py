"""How long extraction takes beside pymupdf's bare text, and how much memory: `measure_extraction.py FOLDER`.

Both read every PDF of the folder in this process, the best of several times of processor time; what cannot be read is
left out. Memory is the peak of the processes that `extract` starts, one a file. Pages with a table stand apart: the
target is 4 times the bare text without them.
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pymupdf

from f.knowledge import pdf_text
from f.knowledge.documents import ExtractionError, Limits
from f.knowledge.extraction import extract

TIMES = 9


def milliseconds(run: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(TIMES):
        begin = time.process_time()
        run()
        best = min(best, time.process_time() - begin)
    return best * 1000


def bare(data: bytes) -> None:
    with pymupdf.open(stream=data, filetype="pdf") as document:
        for page in document:
            page.get_text()


def main(folder: Path) -> None:
    print(f"{'':34}{'pages':>6}{'bare ms':>9}{'ours ms':>9}{'times':>7}")
    totals = {False: [0.0, 0.0], True: [0.0, 0.0]}
    for file in sorted(folder.glob("*.pdf")):
        data = file.read_bytes()
        try:
            extraction = extract(data, file.name)
        except ExtractionError:
            continue
        has_table = "| --- |" in extraction.markdown
        theirs = milliseconds(lambda data=data: bare(data))
        ours = milliseconds(lambda data=data: pdf_text.read(data, Limits()))
        totals[has_table][0] += theirs
        totals[has_table][1] += ours
        name = file.name + (" (table)" if has_table else "")
        print(f"{name:34}{len(extraction.pages):6}{theirs:9.1f}{ours:9.1f}{ours / theirs:7.1f}")
    for has_table, (theirs, ours) in totals.items():
        if theirs:
            print(f"{'with' if has_table else 'without'} tables: {ours / theirs:.1f} times the bare text")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of a process that reads: {peak:.0f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
