# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Things that people are to be told, and how they are put into words for e-mail and chat. Pure.

A source (alerts, hand-overs, whatever comes later) makes `News` of its rows; everything from here on is the same for
all. Nothing of a customer is passed on, except what a hand-over is for.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

SEVERITIES = ("info", "warning", "critical")

#: Kind of alert → severity, what is the matter. What to do about it: docs/operations.md, under the same words.
KINDS: dict[str, tuple[str, str]] = {
    "channel_failing": ("warning", "A channel for alerts does not work"),
    "crawl_failed": ("warning", "A web site could not be read into the knowledge"),
    "embedding_failed": ("warning", "Questions and documents are not embedded: search by words alone"),
    "handover_not_told": ("critical", "A customer waits for a person and nobody could be told"),
    "ingestion_failed": ("warning", "A document could not be taken into the knowledge"),
    "message_not_stored": ("critical", "Messages could not be stored"),
    "message_unreadable": ("warning", "Messages came without an id, nobody answers them"),
    "message_unrouted": ("warning", "Messages to a number that belongs to nobody"),
    "message_without_outcome": ("critical", "Messages without an outcome after three minutes"),
    "model_denied": ("critical", "A provider of models refuses a key or an account"),
    "model_failed": ("warning", "No model answered, customers got the fallback text"),
    "number_needs_operator": ("critical", "WhatsApp refuses to send from a number"),
    "quota_of_contact_reached": ("info", "A customer has reached the daily limit"),
    "quota_warning": ("warning", "A monthly quota is nearly or wholly used up"),
    "reply_failed": ("warning", "Replies could not be sent"),
    "reply_not_delivered": ("info", "WhatsApp could not deliver a reply"),
    "reply_uncertain": ("warning", "Nobody knows whether a reply was sent"),
    "reranking_failed": ("info", "Passages are ordered without the re-ranker that a chatbot wants"),
    "run_given_up": ("critical", "A failed run was repeated in vain"),
    "run_not_readable": ("warning", "The sweep cannot read a failed run"),
    "tool_failed": ("warning", "A tool does not work"),
    "tools_not_listed": ("warning", "A tool server does not answer"),
    "tools_not_sound": ("warning", "A tool server offers tools that cannot be used"),
    "turn_failed": ("critical", "Messages that could not be answered"),
}
HANDOVER = "handover"

#: What of an alert's details may leave the system, and which values: names, codes and counts, no sentences.
DETAILS = ("step", "error", "code", "provider", "model", "used", "limit", "path")
DETAIL = re.compile(r"[A-Za-z0-9_./:-]{1,80}")
#: A long run of digits may be somebody's number.
DIGITS = re.compile(r"\d{6}")
SUBJECT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[fu]/[A-Za-z0-9_./-]{1,120}")
NAME = re.compile(r"[a-z][a-z0-9._-]{0,60}")
#: Kinds whose subject is one of the business's own numbers, by Meta's id, a count, or a quota with its month.
OPEN_SUBJECTS = {
    "message_unreadable",
    "message_unrouted",
    "number_needs_operator",
    "message_without_outcome",
    "quota_warning",
}

#: Items of one kind that are listed; the rest is counted.
MOST_LISTED = 5


@dataclass(frozen=True)
class News:
    """One thing to be told. `state` is "open" (also when it is told again) or "resolved"."""

    source: str
    id: str
    kind: str
    severity: str
    title: str
    organization: str
    state: str
    since: datetime
    last: datetime
    times: int = 1
    facts: dict[str, str] = field(default_factory=dict)
    #: Words of a person, passed on on purpose.
    words: dict[str, str] = field(default_factory=dict)


def severity_numbers() -> dict[str, int]:
    """Severity of each kind as the database compares it: 1 is info."""
    return {kind: SEVERITIES.index(severity) + 1 for kind, (severity, _) in KINDS.items()}


def alert_news(row: dict[str, Any]) -> News:
    severity, title = KINDS.get(row["kind"], ("warning", row["kind"].replace("_", " ").capitalize()))
    facts = {"about": row["subject"]} if _may_leave(row["kind"], row["subject"]) else {}
    for name in DETAILS:
        value = str(row["details"].get(name, ""))
        if DETAIL.fullmatch(value) and not DIGITS.search(value):
            facts[name] = value
    return News(
        "alert",
        str(row["id"]),
        row["kind"],
        severity,
        title,
        row["organization"] or "the installation",
        "open" if row["resolved_at"] is None else "resolved",
        row["first_at"],
        row["resolved_at"] or row["last_at"],
        row["occurrences"],
        facts,
    )


def handover_news(row: dict[str, Any]) -> News:
    words = {"chatbot": row["chatbot"], "customer": row["customer"] or "without a name", "needs": row["reason"]}
    return News(
        HANDOVER,
        str(row["id"]),
        HANDOVER,
        "critical",
        "A customer needs a person, urgently" if row["is_urgent"] else "A customer needs a person",
        row["organization"],
        "open",
        row["created_at"],
        row["created_at"],
        facts={"conversation": str(row["conversation_id"])},
        words={name: " ".join(text.split())[:500] for name, text in words.items()},
    )


def subject_line(news: Sequence[News]) -> str:
    """One line for all: the gravest, and how many others."""
    first, *others = _ordered(news)
    mark = "resolved" if first.state == "resolved" else first.severity
    more = f" and {len(others)} more" if others else ""
    return f"[Millrace] {mark}: {first.title} ({first.organization}){more}"


def as_text(news: Sequence[News]) -> str:
    """The text of an e-mail."""
    return "\n\n".join("\n".join([f"{head}", *(f"  {line}" for line in lines)]) for head, lines in _blocks(news)) + "\n"


def as_chat(news: Sequence[News]) -> dict[str, Any]:
    """The body that Slack's incoming webhooks take, and those of servers that imitate them."""
    blocks = ("\n".join([f"*{_escaped(head)}*", *map(_escaped, lines)]) for head, lines in _blocks(news))
    return {"text": "\n\n".join(blocks)}


def _may_leave(kind: str, subject: str) -> bool:
    if kind in OPEN_SUBJECTS:
        return bool(re.fullmatch(r"[A-Za-z0-9 %-]{1,60}", subject))
    return bool(SUBJECT.fullmatch(subject) or (NAME.fullmatch(subject) and not DIGITS.search(subject)))


def _ordered(news: Iterable[News]) -> list[News]:
    return sorted(
        news,
        key=lambda item: (
            item.state == "resolved",
            -SEVERITIES.index(item.severity),
            item.title,
            item.organization,
            item.since,
        ),
    )


def _blocks(news: Sequence[News]) -> Iterator[tuple[str, list[str]]]:
    """A heading and lines for each kind of each organisation."""
    for (state, severity, title, organization), group in groupby(
        _ordered(news), key=lambda item: (item.state, item.severity, item.title, item.organization)
    ):
        items = list(group)
        mark = "RESOLVED" if state == "resolved" else severity.upper()
        count = f", {len(items)} of them" if len(items) > 1 else ""
        lines = [_line(item) for item in items[:MOST_LISTED]]
        if len(items) > MOST_LISTED:
            lines.append(f"… and {len(items) - MOST_LISTED} more")
        yield f"{mark}: {title} ({organization}{count})", lines


def _line(item: News) -> str:
    parts = [f"{name}: {value}" for name, value in {**item.words, **item.facts}.items()]
    if item.times > 1:
        parts.append(f"{item.times} times")
    parts.append(f"since {_moment(item.since)}")
    if item.last != item.since:
        parts.append(f"{'until' if item.state == 'resolved' else 'last'} {_moment(item.last)}")
    return "; ".join([*parts, f"{item.source} {item.id}"])


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _escaped(text: str) -> str:
    """What a customer's name or words hold must not mention everybody or look like a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
