# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Turning a model's answer into what WhatsApp shows. Pure."""

import re

#: Longest text of one message, in characters (Cloud API reference, text messages).
MAX_CHARACTERS = 4096

_BOUNDARIES = ("\n\n", "\n", ". ", "! ", "? ", "… ", " ")


def split_reply(text: str, limit: int = MAX_CHARACTERS) -> list[str]:
    """Cut `text` into parts of at most `limit` characters, at the best boundary of each part's second half."""
    parts = []
    rest = text.strip()
    while len(rest) > limit:
        cut = _best_cut(rest, limit)
        parts.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*parts, rest] if rest else parts


def _best_cut(text: str, limit: int) -> int:
    for boundary in _BOUNDARIES:
        at = text.rfind(boundary, limit // 2, limit - len(boundary) + 1)
        if at >= 0:
            return at + len(boundary)
    return limit


def to_markup(markdown: str) -> str:
    """Models write Markdown; WhatsApp knows *bold*, _italic_, ~strike~ and backticks, and no headings or links."""
    text = re.sub(r"^#{1,6}\s+(.+?)\s*#*$", r"*\1*", markdown, flags=re.M)
    text = re.sub(r"\*\*(?=\S)(.+?)(?<=\S)\*\*", r"*\1*", text)
    text = re.sub(r"~~(?=\S)(.+?)(?<=\S)~~", r"~\1~", text)
    return re.sub(r"(?<!!)\[([^\]\n]+)\]\((https?://[^)\s]+)\)", _plain_link, text)


def _plain_link(match: re.Match[str]) -> str:
    label, address = match.groups()
    return address if label == address else f"{label} ({address})"
