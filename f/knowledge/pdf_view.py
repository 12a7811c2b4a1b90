# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""What a reader sees of a page of a PDF: text may be invisible, covered, outside, or of the colour of its ground."""

from collections import Counter
from typing import Any

from f.knowledge.pdf_tables import Box

#: Bits of a span's char_flags.
FILLED, STROKED, CLIPPING = 16, 32, 64

SMALLEST = 3.0
#: Differences of a colour, of 255, that can hardly be seen.
UNSEEN = 16
#: A page with more texts on more grounds is drawn, and all of its text looked at.
MOST_COMPARISONS = 500_000


class View:
    """What can be seen on a page; asked only about text that is suspicious."""

    def __init__(self, page: Any, box: Box, vectors: list[dict[str, Any]]) -> None:
        self.page = page
        self.box = box
        self.width, self.height = box[2] - box[0], box[3] - box[1]
        self.vectors = vectors
        self.hidden: list[Box] = []
        self.recognised = False
        self.unreadable = 0
        self.directions: Counter[tuple[int, int]] = Counter()
        #: One picture is the whole page, so all invisible text on it is what a scanner recognised.
        self._recognised_everywhere = False
        self._pixels: Any = None
        self._pictures: list[Box] | None = None
        #: What may cover text or be its ground: where in the order of drawing, and what colour; by strips of the page.
        self.fills: dict[int, list[tuple[int, Box, tuple[int, int, int]]]] = {}
        self._comparisons = 0
        self._strip = max(self.height / 50, 1.0)
        for vector in vectors:
            if not vector["stroked"] and vector["alpha"] > 128:
                fill = (vector["number"], vector["bbox"], _channels(vector["color"]))
                first, last = (int(min(max(y, 0), self.height) / self._strip) for y in fill[1][1::2])
                for strip in range(first, last + 1):
                    self.fills.setdefault(strip, []).append(fill)

    def shows(self, span: dict[str, Any], block: int) -> bool:
        """Whether a reader sees `span`, the spans of which block `block` are."""
        box = span["bbox"]
        if self._recognised_everywhere and not span["char_flags"] & (FILLED | STROKED | CLIPPING):
            return True
        if box[2] <= self.box[0] or box[0] >= self.box[2] or box[3] <= self.box[1] or box[1] >= self.box[3]:
            return False
        if not span["char_flags"] & (FILLED | STROKED | CLIPPING):
            # Neither filled nor stroked: the text under a scan, or text that hides.
            on_picture = any(mostly_inside(box, picture) for picture in self.pictures())
            self._recognised_everywhere = any(_covers(picture, self.box) for picture in self.pictures())
            self.recognised = self.recognised or on_picture
            return on_picture
        if span["size"] < SMALLEST or span["alpha"] < UNSEEN:
            return False
        return not self._is_suspicious(span, box, block) or self._is_drawn(box)

    def _is_suspicious(self, span: dict[str, Any], box: Box, block: int) -> bool:
        colour = _channels(span["color"])
        if min(colour) >= 200:
            return True
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        near = self.fills.get(int(y / self._strip), ())
        self._comparisons += len(near)
        if self._comparisons > MOST_COMPARISONS:
            return True
        for number, (x0, y0, x1, y1), fill in near:
            if x0 <= x <= x1 and y0 <= y <= y1:
                if number > block:
                    return True
                if max(abs(a - b) for a, b in zip(colour, fill, strict=True)) < 48:
                    return True
        return False

    def pictures(self) -> list[Box]:
        """Pictures that are not mere decoration."""
        if self._pictures is None:
            boxes = [tuple(image["bbox"]) for image in self.page.get_image_info()]
            self._pictures = [b for b in boxes if (b[2] - b[0]) * (b[3] - b[1]) > 0.05 * self.width * self.height]
        return self._pictures

    def is_picture(self) -> bool:
        area = sum((b[2] - b[0]) * (b[3] - b[1]) for b in self.pictures())
        return area > 0.25 * self.width * self.height

    def _is_drawn(self, box: Box) -> bool:
        """Whether the page, drawn, is anything but one colour within `box`."""
        if self._pixels is None:
            zoom = min(2.0, (3_000_000 / max(1.0, self.width * self.height)) ** 0.5)
            try:
                self._pixels = (self.page.get_pixmap(matrix=(zoom, 0, 0, zoom, 0, 0), alpha=False), zoom)
            except (RuntimeError, ValueError, MemoryError):
                self._pixels = (None, zoom)
        pixels, zoom = self._pixels
        if pixels is None:
            return False
        left = max(0, round((box[0] - self.box[0]) * zoom) + 1)
        right = min(pixels.width, round((box[2] - self.box[0]) * zoom) - 1)
        top = max(0, round((box[1] - self.box[1]) * zoom) + 1)
        bottom = min(pixels.height, round((box[3] - self.box[1]) * zoom) - 1)
        if right <= left or bottom <= top:
            return False
        view = pixels.samples_mv
        rows = [bytes(view[y * pixels.stride + left * 3 : y * pixels.stride + right * 3]) for y in range(top, bottom)]
        return any(max(max(row[c::3]) for row in rows) - min(min(row[c::3]) for row in rows) > UNSEEN for c in range(3))


def _channels(colour: int) -> tuple[int, int, int]:
    return colour >> 16 & 255, colour >> 8 & 255, colour & 255


def mostly_inside(box: Box, other: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]


def _covers(box: Box, page: Box) -> bool:
    return box[0] <= page[0] + 2 and box[1] <= page[1] + 2 and box[2] >= page[2] - 2 and box[3] >= page[3] - 2
