# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "charset-normalizer==3.5.3",
# ]
# ///
"""Plain text and Markdown: bytes of an unknown encoding to clean text."""

import re

from f.knowledge.charsets import codec
from f.knowledge.documents import Extraction, ExtractionError, Limits, Page
from f.knowledge.markup import tidy

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
#: What Western European texts hold besides ASCII: letters with accents, quotes, dashes, currencies.
_WESTERN = re.compile("[\x00-\x7fÀ-ÖØ-öø-ÿŒœŠšŽžŸ¡¿«»ºª°·§©®€£¥‚„“”‘’–—…•´¨½¼¾²³±×÷\u00a0\u00ad™]*")


def read(data: bytes, limits: Limits, charset: str | None = None) -> Extraction:
    """Text and Markdown as they are, in one page."""
    text, warnings = decode(data, charset)
    markdown = tidy(text)
    if len(markdown) > limits.characters:
        raise ExtractionError("too_large", "The file has too much text.")
    if not markdown:
        raise ExtractionError("invalid", "The file has no text.")
    return Extraction([Page(1, markdown)], warnings)


def decode(data: bytes, charset: str | None = None) -> tuple[str, list[str]]:
    """The text of `data`, and what is to be said about it. `charset` is a claim: UTF-8 that is valid beats it."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace"), []
    if zeros := data[:4096].count(0):
        encoding = "utf-16-le" if data[1:4096:2].count(0) * 2 > zeros else "utf-16-be"
        return data.decode(encoding, errors="replace"), []
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError as error:
        cut_off = error.reason == "unexpected end of data"
    if cut_off:
        return data.decode("utf-8", errors="ignore"), ["The text ends in the middle of a character."]
    text = _claimed(data, charset)
    if text is not None:
        return text, []
    western = data.decode("cp1252", errors="replace")
    if _is_western(western):
        return western, []
    import charset_normalizer  # a tenth of a second that UTF-8 does not need

    best = charset_normalizer.from_bytes(data[: 1 << 18]).best()
    encoding = best.encoding if best else "cp1252"
    return data.decode(encoding, errors="replace"), [f"The encoding is not stated; it was read as {encoding}."]


def _claimed(data: bytes, charset: str | None) -> str | None:
    if not charset or charset.lower().replace("_", "-") in ("utf-8", "utf8", "us-ascii", "ascii"):
        return None
    name = codec(charset)
    try:
        return data.decode(name) if name else None
    except UnicodeDecodeError:
        return None


def _is_western(text: str) -> bool:
    """Whether `text`, read as Windows-1252, makes sense: accents stand in words of plain letters."""
    if not _WESTERN.fullmatch(text):
        return False
    letters = [letter for letter in text if letter > "\x7f" and letter.isalpha()]
    plain = sum(letter.isascii() and letter.isalpha() for letter in text)
    odd = len(re.findall("[À-ÖØ-Þ][à-öø-ÿ]|[à-öø-ÿa-z][À-ÖØ-Þ]|[À-ÿ]{3,}", text))
    return plain >= 3 * len(letters) and odd * 8 <= len(letters)
