# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Tables of a PDF page, from its ruled lines and the words between them.

No drawing library and no page: boxes in, rows of cells out. A box is (x0, y0, x1, y1), y grows downwards.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
Word = tuple[float, float, float, float, str]
#: Start and end of a ruled line, and where it lies on the other axis.
Ruling = tuple[float, float, float]

NEAR = 3.0
THIN = 3.0
#: A page with more lines than that holds a drawing.
MOST_RULINGS = 6000


class TooSlow(Exception):
    """The search was given up."""


@dataclass(frozen=True)
class Table:
    box: Box
    rows: list[list[str]]


def rulings(boxes: Iterable[tuple[Box, bool]], page: Box) -> tuple[list[Ruling], list[Ruling]]:
    """Horizontal and vertical lines of what is drawn: thin boxes, and the edges of boxes that are rectangles."""
    across: list[Ruling] = []
    down: list[Ruling] = []
    area = (page[2] - page[0]) * (page[3] - page[1])
    for (x0, y0, x1, y1), is_rectangle in boxes:
        width, height = x1 - x0, y1 - y0
        if height <= THIN and width >= 8:
            across.append((x0, x1, (y0 + y1) / 2))
        elif width <= THIN and height >= 5:
            down.append((y0, y1, (x0 + x1) / 2))
        elif is_rectangle and width >= 12 and height >= 6 and width * height < 0.9 * area:
            across += [(x0, x1, y0), (x0, x1, y1)]
            down += [(y0, y1, x0), (y0, y1, x1)]
    return across, down


def find(across: list[Ruling], down: list[Ruling], words: Callable[[], Sequence[Word]], seconds: float) -> list[Table]:
    """Tables, from top to bottom. `words` is asked for only where lines suggest a table. Raises TooSlow."""
    if len(across) < 2 or len(across) + len(down) < 3:
        return []
    if len(across) + len(down) > MOST_RULINGS:
        raise TooSlow
    deadline = time.monotonic() + seconds
    groups = _groups(_joined(across), _joined(down), deadline)
    found: list[Table] = []
    for lines, posts in groups:
        if time.monotonic() > deadline:
            raise TooSlow
        if len(lines) >= 2 and (len(posts) >= 2 or len(lines) >= 3):
            table = _table(lines, posts, words())
            if table and not any(_overlap(table.box, other.box) for other in found):
                found.append(table)
    return sorted(found, key=lambda table: (table.box[1], table.box[0]))


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _joined(lines: list[Ruling]) -> list[Ruling]:
    """Pieces of one line as one line."""
    joined: list[Ruling] = []
    level: list[Ruling] = []
    for line in sorted(lines, key=lambda item: item[2]):
        if level and line[2] - level[0][2] > 2:
            joined += _merged(level)
            level = []
        level.append(line)
    return joined + _merged(level)


def _merged(level: list[Ruling]) -> list[Ruling]:
    merged: list[Ruling] = []
    for start, end, at in sorted(level):
        if merged and start <= merged[-1][1] + NEAR:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end), merged[-1][2])
        else:
            merged.append((start, end, at))
    return merged


def _groups(across: list[Ruling], down: list[Ruling], deadline: float) -> list[tuple[list[Ruling], list[Ruling]]]:
    """Lines that meet; and lines one above the other, of one length, that no line down joins."""
    parent = list(range(len(across)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    post_of: list[int] = []
    for top, bottom, x in down:
        if time.monotonic() > deadline:
            raise TooSlow
        met = [
            index
            for index, (x0, x1, y) in enumerate(across)
            if x0 - NEAR <= x <= x1 + NEAR and top - NEAR <= y <= bottom + NEAR
        ]
        post_of.append(met[0] if met else -1)
        for index in met[1:]:
            parent[root(index)] = root(met[0])
    posts: dict[int, list[Ruling]] = {}
    for post, met_first in zip(down, post_of, strict=True):
        if met_first >= 0:
            posts.setdefault(root(met_first), []).append(post)
    lines: dict[object, list[Ruling]] = {}
    for index, line in enumerate(across):
        key: object = root(index)
        if key not in posts:
            key = (round(line[0] / 8), round(line[1] / 8))
        lines.setdefault(key, []).append(line)
    return [(group, posts.get(key, []) if isinstance(key, int) else []) for key, group in lines.items()]


def _table(lines: list[Ruling], posts: list[Ruling], words: Sequence[Word]) -> Table | None:
    x0, x1 = min(line[0] for line in lines), max(line[1] for line in lines)
    y0, y1 = min(line[2] for line in lines), max(line[2] for line in lines)
    if posts:
        y0, y1 = min(y0, *(post[0] for post in posts)), max(y1, *(post[1] for post in posts))
    inside = [w for w in words if x0 - 1 <= (w[0] + w[2]) / 2 <= x1 + 1 and y0 - 1 <= (w[1] + w[3]) / 2 <= y1 + 1]
    if len(inside) < 4:
        return None
    levels = _cuts(lines, 0.4 * (x1 - x0), [y0, y1])
    edges = _cuts(posts, 0, [x0, x1])
    ruled = len(edges) > 2
    if not ruled:
        edges = _columns_by_gaps(inside, x0, x1)
        if len(edges) < 3:
            return None
    rows: list[list[str]] = []
    for top, bottom in itertools.pairwise(levels):
        band = [word for word in inside if top <= (word[1] + word[3]) / 2 < bottom]
        if band:
            crossing = {x for x in edges[1:-1] if not ruled or _crosses(posts, x, top, bottom)}
            rows += _rows(_baselines(band), edges, crossing)
    return Table((x0, y0, x1, y1), rows) if _looks_like_a_table(rows, ruled) else None


def _cuts(lines: list[Ruling], least: float, ends: list[float]) -> list[float]:
    """Where lines lie, those together at least `least` long."""
    length: dict[float, float] = {}
    for start, end, at in sorted(lines, key=lambda line: line[2]):
        near = next((known for known in length if abs(known - at) <= NEAR), None)
        length[at if near is None else near] = length.get(at if near is None else near, 0) + end - start
    cuts = [at for at, total in length.items() if total >= least]
    for end in ends:
        if not any(abs(cut - end) <= NEAR for cut in cuts):
            cuts.append(end)
    cuts.sort()
    cuts[0] -= 1
    cuts[-1] += 1
    return cuts


def _crosses(posts: list[Ruling], x: float, top: float, bottom: float) -> bool:
    covered = sum(max(0.0, min(post[1], bottom) - max(post[0], top)) for post in posts if abs(post[2] - x) <= NEAR)
    return covered >= 0.5 * (bottom - top)


def _baselines(words: list[Word]) -> list[list[Word]]:
    """Words of one line together, each line from left to right."""
    found: list[list[Word]] = []
    for word in sorted(words, key=lambda item: (item[1] + item[3]) / 2):
        middle, height = (word[1] + word[3]) / 2, word[3] - word[1]
        last = found[-1][0] if found else None
        if last and middle - (last[1] + last[3]) / 2 < 0.5 * min(height, last[3] - last[1]):
            found[-1].append(word)
        else:
            found.append([word])
    return [sorted(line, key=lambda item: item[0]) for line in found]


def _columns_by_gaps(words: list[Word], x0: float, x1: float) -> list[float]:
    """Edges of columns where no line down shows them: what nearly all lines leave free."""
    lines = [line for line in _baselines(words) if len(_pieces(line)) > 1]
    if len(lines) < 2:
        return [x0, x1]
    pieces = [piece for line in lines for piece in _pieces(line)]
    step = 2.0
    free = [0] * (int((x1 - x0) / step) + 1)
    for line in lines:
        taken: set[int] = set()
        for piece in _pieces(line):
            taken.update(range(int((piece[0][0] - x0) / step), int((piece[-1][2] - x0) / step) + 1))
        for index in range(len(free)):
            free[index] += index not in taken
    edges = [x0]
    start = None
    for index, count in enumerate([*free, 0]):
        if count >= 0.95 * len(lines):
            start = index if start is None else start
        elif start is not None:
            middle = x0 + (start + index) / 2 * step
            left = any(piece[-1][2] <= x0 + (start + 1) * step and piece[0][0] >= edges[-1] - 1 for piece in pieces)
            right = any(piece[0][0] >= x0 + (index - 1) * step for piece in pieces)
            if index - start >= 3 and left and right:
                edges.append(middle)
            start = None
    return [*edges, x1]


def _pieces(line: list[Word]) -> list[list[Word]]:
    """Words of a line that stand together: a wider gap begins another cell."""
    pieces: list[list[Word]] = []
    for word in line:
        if pieces and word[0] - pieces[-1][-1][2] < 0.75 * (word[3] - word[1]):
            pieces[-1].append(word)
        else:
            pieces.append([word])
    return pieces


def _rows(lines: list[list[Word]], edges: list[float], crossing: set[float]) -> list[list[str]]:
    """What stands between two lines across: one row, or several where the columns are lists of short entries."""
    cells = [_cells(line, edges, crossing) for line in lines]
    texts = [[" ".join(word[4] for word in cell) for cell in row] for row in cells]
    if len(texts) > 1 and _is_several(cells, edges):
        return _with_continuations(texts)
    return [[" ".join(row[column] for row in texts if row[column]) for column in range(len(edges) - 1)]]


def _with_continuations(texts: list[list[str]]) -> list[list[str]]:
    """A line with nothing but more of one cell belongs to the row above."""
    rows: list[list[str]] = []
    for text in texts:
        filled = [column for column, cell in enumerate(text) if cell]
        if rows and len(filled) == 1 and filled[0] > 0 and rows[-1][filled[0]]:
            rows[-1][filled[0]] += " " + text[filled[0]]
        else:
            rows.append(text)
    return rows


def _cells(line: list[Word], edges: list[float], crossing: set[float]) -> list[list[Word]]:
    row: list[list[Word]] = [[] for _ in edges[1:]]
    for piece in _pieces(line):
        cut = any(piece[0][0] + 2 < x < piece[-1][2] - 2 for x in crossing)
        if cut:
            for word in piece:
                row[_column(edges, (word[0] + word[2]) / 2)].append(word)
        elif any(piece[0][0] + 2 < x < piece[-1][2] - 2 for x in edges[1:-1]):
            row[_column(edges, piece[0][0] + 2)] += piece
        else:
            row[_column(edges, (piece[0][0] + piece[-1][2]) / 2)] += piece
    return row


def _column(edges: list[float], x: float) -> int:
    return max(0, min(len(edges) - 2, sum(edge <= x for edge in edges) - 1))


def _is_several(cells: list[list[list[Word]]], edges: list[float]) -> bool:
    shared = sum(sum(bool(cell) for cell in row) > 1 for row in cells)
    if shared < 2 or shared < 0.35 * len(cells):
        return False
    tall = wrapped = 0
    for column, (left, right) in enumerate(itertools.pairwise(edges)):
        filled = [row[column] for row in cells if row[column]]
        if len(filled) > 1:
            tall += 1
            full = sum(len(cell) > 1 and cell[-1][2] - cell[0][0] >= 0.7 * (right - left) for cell in filled[:-1])
            wrapped += full >= 0.6 * (len(filled) - 1)
    return wrapped * 2 < tall


def _looks_like_a_table(rows: list[list[str]], ruled: bool) -> bool:
    """Neither a frame around text nor a drawing with labels nor lines between paragraphs."""
    filled = [[cell for cell in row if cell] for row in rows]
    shared = sum(len(row) > 1 for row in filled)
    if len(filled) < 2 or (shared < 2 and not (ruled and shared)):
        return False
    sizes = [len(cell) for row in filled for cell in row]
    if len(sizes) < 3 or sum(sizes) / len(sizes) > 250:
        return False
    return ruled or shared >= 0.6 * len(filled)
