# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""What figures and answers say of the system's health, in words, each with the way out. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from f.ops.news import KINDS

#: The migration that these scripts need; a test compares it with db/migrations.
SCHEMA = 1

#: What must have succeeded within these minutes.
SCHEDULES = {
    "f/ops/sweep": 5,
    "f/ops/notify": 10,
    "f/agent/refresh_tools": 30,
    "f/knowledge/resume_runs": 5,
    "f/knowledge/check_gaps": 5,
}

#: Seconds that a run may wait for a worker.
QUEUE_SECONDS = 60

#: Seconds that a message may be without an outcome: the merging of a burst, a turn, a sweep.
WAITING_SECONDS = 180

#: Alert kind → heading of docs/operations.md. A test compares it with the page.
WAYS_OUT = {
    "channel_failing": "Being told",
    "crawl_failed": "Answers miss what is in the documents",
    "embedding_failed": "Answers miss what is in the documents",
    "handover_not_told": "A customer waits for a person",
    "ingestion_failed": "Answers miss what is in the documents",
    "message_not_stored": "No reply",
    "message_unreadable": "No reply",
    "message_unrouted": "A number that nobody knows",
    "message_without_outcome": "No reply",
    "model_denied": "The fallback text instead of an answer",
    "model_failed": "The fallback text instead of an answer",
    "number_needs_operator": "A number is held",
    "quota_of_contact_reached": "A quota is reached",
    "quota_warning": "A quota is reached",
    "reply_failed": "No reply",
    "reply_not_delivered": "No reply",
    "reply_uncertain": '"uncertain"',
    "reranking_failed": "Answers miss what is in the documents",
    "run_given_up": "Nothing runs",
    "run_not_readable": "Nothing runs",
    "tool_failed": "A tool does not work",
    "tools_not_listed": "A tool does not work",
    "tools_not_sound": "A tool does not work",
    "turn_failed": "No reply",
}

ORDER = ("bad", "look", "ok")


@dataclass(frozen=True)
class Finding:
    """A line of the table. `state`: ok; look, somebody should; bad, customers feel it. `way_out`: a heading of
    docs/operations.md."""

    state: str
    check: str
    found: str
    way_out: str = ""


def table(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """The gravest first."""
    return [asdict(finding) for finding in sorted(findings, key=lambda item: ORDER.index(item.state))]


def schema_finding(version: int | None) -> Finding:
    if version == SCHEMA:
        return Finding("ok", "database: migrations", f"at {version}")
    return Finding("bad", "database: migrations", f"at {version}, these scripts need {SCHEMA}", "The database is away")


def schedule_finding(path: str, schedule: Mapping[str, Any] | None, last: datetime | None, now: datetime) -> Finding:
    check, way_out = f"schedule {path}", "Nothing runs"
    if schedule is None:
        return Finding("bad", check, "there is none: ./dev push", way_out)
    if not schedule.get("enabled"):
        return Finding("bad", check, "it is switched off", way_out)
    if last is None:
        return Finding("bad", check, "it has never succeeded", way_out)
    is_late = now - last > timedelta(minutes=SCHEDULES[path])
    return Finding("bad" if is_late else "ok", check, f"succeeded {ago(last, now)} ago", way_out if is_late else "")


def queue_finding(waiting: Sequence[datetime], now: datetime) -> Finding:
    """`waiting`: since when runs could have begun that have not."""
    if not waiting or now - min(waiting) < timedelta(seconds=QUEUE_SECONDS):
        return Finding("ok", "queue", f"{len(waiting)} runs wait for a worker")
    found = f"a run waits for {ago(min(waiting), now)}, {len(waiting)} runs wait: are there workers?"
    return Finding("bad", "queue", found, "Nothing runs")


def gateway_finding(url: str, status: int | None, error: str | None) -> Finding:
    if not url:
        return Finding("look", "gateway", "its address is not known: variable f/ops/gateway_url (GATEWAY_URL)")
    if status == 200:
        return Finding("ok", "gateway", "ready")
    return Finding("bad", "gateway", error or f"HTTP {status} at /ready", "Meta's deliveries are refused")


def model_finding(provider: str, path: str | None, has_key: bool) -> Finding:
    if provider == "demo":
        return Finding("ok", "model demo", "needs no key")
    if has_key:
        return Finding("ok", f"model {provider}", f"{path} has a key (it was not tried)")
    return Finding("bad", f"model {provider}", f"{path} has no key", "The fallback text instead of an answer")


def figure_findings(figures: Iterable[Mapping[str, Any]], now: datetime) -> list[Finding]:
    """Rows of health_figures()."""
    return [_figure_finding(row["name"], row["amount"], row["since"], now) for row in figures]


def _figure_finding(name: str, amount: int, since: datetime | None, now: datetime) -> Finding:
    found = f"{amount}, since {ago(since, now)}" if since else str(amount)
    if kind := name.removeprefix("alert: ") if name.startswith("alert: ") else "":
        severity, title = KINDS.get(kind, ("warning", kind))
        return Finding("bad" if severity == "critical" else "look", name, f"{title}: {found}", WAYS_OUT.get(kind, ""))
    if name == "channels of operators":
        if amount:
            return Finding("ok", name, str(amount))
        return Finding("look", name, "none: nobody is told of alerts", "Being told")
    if name == "messages waiting":
        is_long = since is not None and now - since > timedelta(seconds=WAITING_SECONDS)
        return Finding("bad" if is_long else "ok", name, found, "No reply" if is_long else "")
    if not amount:
        return Finding("ok", name, "none")
    state, way_out = {
        "numbers held": ("bad", "A number is held"),
        "leases left": ("bad", "Nothing runs"),
        "sends stuck": ("bad", "Nothing runs"),
        "hand-overs untold": ("look", "A customer waits for a person"),
        "messages unrouted": ("look", "A number that nobody knows"),
        "alerts untold": ("look", "Being told"),
    }[name]
    return Finding(state, name, found, way_out)


def ago(at: datetime, now: datetime) -> str:
    seconds = max(0, round((now - at).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
