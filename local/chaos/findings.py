"""What became of every message, told by the people who wrote (the witness) and by the database together."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from typing import Any

from local.chaos.echo import ANSWERS
from local.chaos.world import Case, World

#: Seconds within which a message has its outcome after whatever happened to it.
PROMISED_SECONDS = 180
#: A turn's times are those at which its transactions began, and a transaction may have waited for the one before it.
CLOCK_SECONDS = 1.0

EVENTS = """
select c.wa_id, e.wamid, e.outcome, e.outcome_reason, extract(epoch from e.settled_at)::float as settled_at,
       e.turn_id::text, e.conversation_id::text
from webhook_events e
join conversations v on (v.organization_id, v.id) = (e.organization_id, e.conversation_id)
join contacts c on (c.organization_id, c.id) = (v.organization_id, v.contact_id)
where c.wa_id = any(%s)
"""
TURNS = """
select c.wa_id, t.id::text, extract(epoch from t.started_at)::float as begin,
       extract(epoch from t.finished_at)::float as end, t.generated_at is not null as generated, t.prompt_tokens,
       (select count(*) from jsonb_array_elements(t.steps) s where s ->> 'kind' = 'model') as calls,
       (select count(*) from jsonb_array_elements(t.steps) s where s ->> 'kind' = 'model' and not s ? 'error') as good,
       (select count(*) from usage_logs u where (u.organization_id, u.turn_id) = (t.organization_id, t.id)) as paid,
       (select coalesce(sum(u.prompt_tokens), 0) from usage_logs u
        where (u.organization_id, u.turn_id) = (t.organization_id, t.id)) as paid_tokens
from turns t
join conversations v on (v.organization_id, v.id) = (t.organization_id, t.conversation_id)
join contacts c on (c.organization_id, c.id) = (v.organization_id, v.contact_id)
where c.wa_id = any(%s) order by t.started_at
"""
OUTBOX = """
select c.wa_id, o.id::text, o.turn_id::text, o.state, o.attempts, o.conversation_id::text
from outbox o
join conversations v on (v.organization_id, v.id) = (o.organization_id, o.conversation_id)
join contacts c on (c.organization_id, c.id) = (v.organization_id, v.contact_id)
where c.wa_id = any(%s)
"""
TOOLS = """
select c.wa_id, x.state, x.result, (select count(*) from tool_effects f where (f.organization_id, f.idempotency_key)
                                      = (x.organization_id, x.id)) as effects
from tool_executions x
join turns t on (t.organization_id, t.id) = (x.organization_id, x.turn_id)
join conversations v on (v.organization_id, v.id) = (t.organization_id, t.conversation_id)
join contacts c on (c.organization_id, c.id) = (v.organization_id, v.contact_id)
where c.wa_id = any(%s)
"""
ALERTS = "select kind, subject from system_alerts where resolved_at is null"


@dataclass
class Findings:
    """Counts of one scenario. What breaks a promise is also told in words."""

    conversations: int = 0
    accepted: int = 0
    bursts: int = 0
    runs_broken: int = 0
    #: Faults that never came, since the run did not pass their point; `unmet` names them.
    not_met: int = 0
    uncertain: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    overlapping: int = 0
    unseen: int = 0
    usage_wrong: int = 0
    tools: int = 0
    tool_wrong: int = 0
    silent: int = 0
    late: int = 0
    slowest: float = 0.0
    skipped: str = ""
    unmet: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def add(self, other: "Findings") -> None:
        """Put another wave's beside these."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            setattr(self, item.name, max(mine, theirs) if item.name == "slowest" else mine + theirs)

    def note(self, what: str, case: Case, text: str) -> None:
        setattr(self, what, getattr(self, what) + 1)
        self.broken.append(f"{what}: {case.name} ({case.person}): {text}")


def examine(world: World, cases: Sequence[Case]) -> Findings:
    """Compare what was accepted with what people saw and what the database says."""
    found = Findings(conversations=len(cases), accepted=sum(bool(m.accepted_at) for c in cases for m in c.messages))
    people = [case.person for case in cases]
    events = _by_person(world.rows(EVENTS, people))
    turns = _by_person(world.rows(TURNS, people))
    outbox = _by_person(world.rows(OUTBOX, people))
    tools = _by_person(world.rows(TOOLS, people))
    alerts = {(row["kind"], row["subject"]) for row in world.rows(ALERTS)}
    shown: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in world.witnessed():
        shown[message["person"]].append(message)
    met: dict[str, float] = {}
    for line in world.sprung():
        if line["act"] != "record":
            met[line["person"]] = max(met.get(line["person"], 0), line["at"])
    found.runs_broken = sum(person in met for person in people)
    found.unmet = [case.name for case in cases if case.person in world.planned and case.person not in met]
    found.not_met = len(found.unmet)
    for case in cases:
        trouble = max(met.get(case.person, 0.0), case.trouble_ended_at)
        look = _Look(found, case, alerts, trouble)
        look.at_events(events[case.person], turns[case.person], outbox[case.person], shown[case.person])
        look.at_replies(outbox[case.person], shown[case.person])
        look.at_turns(turns[case.person])
        if case.tool:
            look.at_tools(tools[case.person])
        if case.one_call_at_a_time:
            look.at_calls(world)
    return found


class _Look:
    """At one case."""

    def __init__(self, found: Findings, case: Case, alerts: set[tuple[str, str]], trouble: float) -> None:
        self.found = found
        self.case = case
        self.alerts = alerts
        self.trouble = trouble

    def note(self, what: str, text: str) -> None:
        self.found.note(what, self.case, text)

    def at_events(
        self, events: list[dict[str, Any]], turns: list[dict[str, Any]], outbox: list[dict[str, Any]],
        shown: list[dict[str, Any]],
    ) -> None:  # fmt: skip
        """Each accepted message once, with one right end, in time, and one that people saw."""
        answered = [token for message in shown for token in answered_by(message)]
        states = defaultdict(set)
        for part in outbox:
            states[part["turn_id"]].add(part["state"])
        for message in (m for m in self.case.messages if m.accepted_at):
            rows = [event for event in events if event["wamid"] == message.wamid]
            if len(rows) != 1 or rows[0]["outcome"] is None:
                self.note("lost", f"{message.token} has {len(rows)} events, none with an outcome")
                continue
            (event,) = rows
            if event["outcome"] not in self.case.ends:
                self.note("silent", f"{message.token} ended as {event['outcome']}: {event['outcome_reason']}")
            seconds = event["settled_at"] - max(message.accepted_at, self.trouble)
            self.found.slowest = max(self.found.slowest, seconds)
            if seconds > PROMISED_SECONDS:
                self.note("late", f"{message.token} took {seconds:.0f} s")
            if event["outcome"] == "failed" and not self._is_alerted(event, outbox):
                self.note("silent", f"{message.token} failed without an alert")
            times = answered.count(message.token)
            is_sent = event["outcome"] in ("answered", "merged") and states[event["turn_id"]] == {"sent"}
            if times > 1:
                self.note("doubled", f"{message.token} was answered {times} times")
            elif times == 0 and is_sent and not self.case.fallback and not self._is_told_failed(event, outbox):
                self.note("lost", f"{message.token} counts as answered, but nobody saw it")

    def _is_alerted(self, event: dict[str, Any], outbox: list[dict[str, Any]]) -> bool:
        subjects = {event["conversation_id"], event["turn_id"], self.case.phone_number_id}
        return any(subject in subjects for _, subject in self.alerts)

    def _is_told_failed(self, event: dict[str, Any], outbox: list[dict[str, Any]]) -> bool:
        """Whether Meta said afterwards that it could not deliver a part, and operators know."""
        parts = [part["id"] for part in outbox if part["turn_id"] == event["turn_id"]]
        return any(("reply_not_delivered", part) in self.alerts for part in parts)

    def at_replies(self, outbox: list[dict[str, Any]], shown: list[dict[str, Any]]) -> None:
        """Each part at most once, what is uncertain alerted and settled, messages answered in their order."""
        seen: dict[str, int] = defaultdict(int)
        for message in shown:
            seen[message["callback_data"]] += 1
        for outbox_id, times in seen.items():
            if times > 1:
                self.note("doubled", f"part {outbox_id} arrived {times} times")
        for part in outbox:
            if part["state"] == "uncertain":
                self.found.uncertain += 1
                if ("reply_uncertain", part["id"]) not in self.alerts:
                    self.note("silent", f"part {part['id']} is uncertain without an alert")
                if seen[part["id"]] and self.case.statuses:
                    self.note("silent", f"part {part['id']} is uncertain although a status told of it")
            elif part["state"] in ("pending", "sending"):
                self.note("silent", f"part {part['id']} is still {part['state']}")
        order = {message.token: place for place, message in enumerate(self.case.messages)}
        places = [order[token] for message in shown for token in answered_by(message) if token in order]
        if self.case.ordered and any(self.comes_before(b, a) for a, b in pairwise(places)):
            self.note("disordered", f"answered in the order {places}")
        if self.case.burst:
            self.found.bursts += 1
            wanted = {message.token for message in self.case.messages}
            replies = [set(answered_by(message)) for message in shown if answered_by(message)]
            if replies != [wanted]:
                self.note("unseen", f"{len(replies)} replies to {len(wanted)} messages: {replies}")

    def comes_before(self, place: int, other: int) -> bool:
        """Whether the message at `place` was certainly written before the one at `other`."""
        first, second = self.case.messages[place], self.case.messages[other]
        return place < other and not (self.case.side_by_side and int(first.sent_at) == int(second.sent_at))

    def at_turns(self, turns: list[dict[str, Any]]) -> None:
        for before, after in pairwise(turns):
            if before["end"] is None or after["begin"] < before["end"] - CLOCK_SECONDS:
                self.note("overlapping", f"turns {before['id']} and {after['id']}")
        for turn in turns:
            in_bounds = turn["good"] <= turn["paid"] <= turn["calls"] and turn["paid_tokens"] == turn["prompt_tokens"]
            if turn["generated"] and not in_bounds:
                self.note("usage_wrong", f"turn {turn['id']}: {turn['paid']} rows for {turn['calls']} calls")

    def at_tools(self, calls: list[dict[str, Any]]) -> None:
        """One call, one effect: the lead was new when the call that is recorded made it."""
        self.found.tools += 1
        is_once = [(call["state"], call["effects"]) for call in calls] == [("succeeded", 1)]
        if not is_once or '"is_new": true' not in calls[0]["result"]:
            self.note("tool_wrong", f"calls of its tool: {calls}")

    def at_calls(self, world: World) -> None:
        mine = {message.token for message in self.case.messages}
        calls = sorted((c for c in world.installation.echo.asked if mine & set(c.tokens)), key=lambda call: call.begin)
        for before, after in pairwise(calls):
            if after.begin < before.end:
                self.note("overlapping", f"the model was asked for {after.tokens} while {before.tokens} was under way")


def answered_by(message: dict[str, Any]) -> list[str]:
    """Tokens of the messages that a reply answers."""
    match = ANSWERS.search(message["text"])
    return match[1].split() if match else []


def _by_person(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["wa_id"]].append(row)
    return found
