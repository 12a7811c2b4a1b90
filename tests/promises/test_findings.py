"""That the examination sees what is wrong: a test that cannot fail proves nothing."""

from types import SimpleNamespace
from typing import Any

import pytest

from local.chaos import findings
from local.chaos.echo import Asked
from local.chaos.findings import Findings, examine
from local.chaos.world import Case, Message

PERSON = "447900000001"


class Told:
    """A world that tells what a test says: by default one message, answered as it should be."""

    def __init__(self) -> None:
        self.events = [self.event("w1", "t1")]
        self.turns = [self.turn("t1", 10, 12)]
        self.outbox = [self.part("p1", "t1", "sent")]
        self.alerts: list[dict[str, Any]] = []
        self.tools: list[dict[str, Any]] = []
        self.shown = [self.reply("p1", "tk1")]
        self.planned: set[str] = set()
        self.installation = SimpleNamespace(echo=SimpleNamespace(asked=[]))
        self.case = Case("a case", PERSON, "n", "w", lambda case: None)
        self.write("tk1", "w1")

    def write(self, token: str, wamid: str) -> None:
        self.case.messages.append(Message(token, wamid, 9.0, token, accepted_at=10.0))

    def rows(self, query: str, *_: object) -> list[dict[str, Any]]:
        names = {"EVENTS": "events", "TURNS": "turns", "OUTBOX": "outbox", "ALERTS": "alerts", "TOOLS": "tools"}
        return next(list(getattr(self, ours)) for name, ours in names.items() if getattr(findings, name) == query)

    def witnessed(self) -> list[dict[str, Any]]:
        return self.shown

    def sprung(self) -> list[dict[str, Any]]:
        return []

    def examine(self) -> Findings:
        return examine(self, [self.case])  # type: ignore[arg-type]

    @staticmethod
    def event(wamid: str, turn_id: str | None, outcome: str | None = "answered", settled_at: float = 12.0) -> dict:
        ids = {"wa_id": PERSON, "wamid": wamid, "turn_id": turn_id, "conversation_id": "c"}
        return ids | {"outcome": outcome, "outcome_reason": "", "settled_at": settled_at}

    @staticmethod
    def turn(turn_id: str, begin: float, end: float | None, paid: int = 1) -> dict[str, Any]:
        usage = {"calls": 1, "good": 1, "paid": paid, "prompt_tokens": 11, "paid_tokens": 11 * paid}
        return {"wa_id": PERSON, "id": turn_id, "begin": begin, "end": end, "generated": True} | usage

    @staticmethod
    def part(part_id: str, turn_id: str, state: str) -> dict[str, Any]:
        return {"wa_id": PERSON, "id": part_id, "turn_id": turn_id, "state": state, "conversation_id": "c"}

    @staticmethod
    def reply(part_id: str, *tokens: str) -> dict[str, Any]:
        words = " ".join(tokens)
        return {"person": PERSON, "callback_data": part_id, "text": f"answers {words} | saw {words}"}


@pytest.fixture
def told() -> Told:
    return Told()


def test_what_is_right_is_found_right(told: Told) -> None:
    assert told.examine().broken == []


def test_a_message_without_event_or_outcome_is_lost(told: Told) -> None:
    told.events = []
    assert told.examine().lost == 1
    told.events = [told.event("w1", None, None)]
    assert told.examine().lost == 1


def test_a_reply_that_nobody_saw_is_lost(told: Told) -> None:
    told.shown = []
    assert told.examine().lost == 1


@pytest.mark.parametrize("parts", [("p1", "p2"), ("p1", "p1")])
def test_a_reply_that_comes_twice_is_doubled(told: Told, parts: tuple[str, str]) -> None:
    told.shown = [told.reply(part, "tk1") for part in parts]
    assert told.examine().doubled >= 1


def test_answers_against_the_order_of_messages(told: Told) -> None:
    told.write("tk2", "w2")
    told.events.append(told.event("w2", "t1"))
    told.shown = [told.reply("p1", "tk2", "tk1")]
    assert told.examine().disordered == 1


@pytest.mark.parametrize(("second", "disordered"), [(9.9, 0), (10.0, 1)])
def test_messages_side_by_side_have_an_order_only_from_second_to_second(
    told: Told, second: float, disordered: int
) -> None:
    told.write("tk2", "w2")
    told.case.messages[1].sent_at = second
    told.case.side_by_side = True
    told.events.append(told.event("w2", "t1"))
    told.shown = [told.reply("p1", "tk2", "tk1")]
    assert told.examine().disordered == disordered


def test_turns_and_calls_that_overlap(told: Told) -> None:
    told.turns = [told.turn("t1", 10, 20), told.turn("t2", 15, 25)]
    assert told.examine().overlapping == 1
    told.turns = [told.turn("t1", 10, 12)]
    told.case.one_call_at_a_time = True
    told.installation.echo.asked = [Asked(("tk1",), 1, 3), Asked(("tk1",), 2, 4)]
    assert told.examine().overlapping == 1


def test_usage_that_is_missing_or_doubled(told: Told) -> None:
    for paid in (0, 2):
        told.turns = [told.turn("t1", 10, 12, paid)]
        assert told.examine().usage_wrong == 1


@pytest.mark.parametrize("results", [[], ["true", "true"], ["false"]])
def test_a_tool_whose_effect_is_missing_or_doubled(told: Told, results: list[str]) -> None:
    told.case.tool = True
    call = {"wa_id": PERSON, "state": "succeeded", "effects": 1}
    told.tools = [call | {"result": f'{{"is_new": {result}}}'} for result in results]
    assert told.examine().tool_wrong == 1
    told.tools = [call | {"result": '{"is_new": true}'}]
    assert told.examine().tool_wrong == 0


def test_a_burst_that_gets_two_replies(told: Told) -> None:
    told.case.burst = True
    told.write("tk2", "w2")
    told.events.append(told.event("w2", "t1"))
    told.shown = [told.reply("p1", "tk1"), told.reply("p2", "tk2")]
    assert told.examine().unseen == 1


def test_what_is_uncertain_or_failed_needs_an_alert(told: Told) -> None:
    told.outbox = [told.part("p1", "t1", "uncertain")]
    told.shown = []
    assert told.examine().silent == 1
    told.alerts = [{"kind": "reply_uncertain", "subject": "p1"}]
    assert told.examine().broken == []
    told.case.ends = frozenset({"failed"})
    told.events = [told.event("w1", "t1", "failed")]
    assert told.examine().silent == 1


def test_a_status_settles_what_is_uncertain(told: Told) -> None:
    told.outbox = [told.part("p1", "t1", "uncertain")]
    told.alerts = [{"kind": "reply_uncertain", "subject": "p1"}]
    assert told.examine().silent == 1
    told.case.statuses = False
    assert told.examine().broken == []


def test_an_outcome_that_takes_longer_than_three_minutes(told: Told) -> None:
    told.events = [told.event("w1", "t1", settled_at=10 + 181)]
    found = told.examine()
    assert (found.late, found.slowest) == (1, 181)
