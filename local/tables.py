"""Answers for people: tables, and fields line by line."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

#: What lists within an answer are shown without.
MINOR = ("updated_at", "refresh_error")


def fields(answer: Mapping[str, Any]) -> str:
    """A field a line; a list of objects as a table of its own."""
    lines = []
    for name, value in answer.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            columns = tuple(column for column in value[0] if column not in MINOR)
            lines.append(f"\n{name}\n{table(value, columns)}")
        else:
            lines.append(f"{name:24}{_cell(value)}")
    return "\n".join(lines).strip("\n")


def table(rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...]) -> str:
    cells = [list(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines if len(lines) > 1 else ["none"])


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_cell(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    # A moment to the second is enough for people.
    text = "" if value is None else str(value)
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\S*$", r"\1 \2", text)
