"""Signed deliveries through the whole running system, as Meta sends them and as it should not."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest
from systems import RunningStack, until

_people = count(1)


class Person:
    """Somebody who writes to a business: every test has its own."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self.wa_id = f"4477009{next(_people):05}"
        self.number = stack.demo2_phone_number_id

    def message(self, text: Any = "hello", **changes: Any) -> dict[str, Any]:
        plain = {"from": self.wa_id, "id": f"wamid.{uuid4().hex}", "timestamp": str(int(time.time())), "type": "text"}
        return plain | {"text": {"body": text}} | changes

    def body(self, *messages: dict[str, Any], number: str | None = None) -> bytes:
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "441174960102", "phone_number_id": number or self.number},
            "contacts": [{"wa_id": self.wa_id, "profile": {"name": "Ana"}}],
            "messages": list(messages),
        }
        entry = [{"id": "200000000000002", "changes": [{"field": "messages", "value": value}]}]
        return json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()

    def signature(self, body: bytes) -> str:
        return "sha256=" + hmac.new(self._stack.meta_app_secret.encode(), body, hashlib.sha256).hexdigest()

    def post(self, body: bytes, **headers: str) -> int:
        given = {"content-type": "application/json", "x-hub-signature-256": self.signature(body)} | headers
        return httpx.post(f"{self._stack.gateway_url}/webhook", content=body, headers=given, timeout=30).status_code

    def write(self, *texts: str, number: str | None = None) -> list[str]:
        """Deliver each of `texts` as a message of its own; returns their ids."""
        messages = [self.message(text) for text in texts]
        assert self.post(self.body(*messages, number=number)) == 200
        return [message["id"] for message in messages]

    def replies(self, at_least: int = 1) -> list[str]:
        """What the phone shows once `at_least` replies are there; for 0, what it shows after a while."""

        def shown() -> list[str]:
            seen = httpx.get(f"{self._stack.simulator_url}/witness", params={"person": self.wa_id}, timeout=30).json()
            return [message["text"] for message in seen["messages"] if message["direction"] == "out"]

        until(lambda: len(shown()) >= at_least)
        return shown()

    def outcomes(self, *wamids: str, seconds: float = 30) -> list[tuple[str, str]]:
        """How these messages ended; waits until all have."""
        until(lambda: len(self.ended(*wamids)) == len(wamids), seconds)
        return self.ended(*wamids)

    def ended(self, *wamids: str) -> list[tuple[str, str]]:
        with self._stack.connect() as connection:
            rows = connection.execute(
                "select wamid, outcome, outcome_reason from webhook_events where wamid = any(%s)"
                " and outcome is not null",
                [list(wamids)],
            ).fetchall()
        found = {wamid: (outcome, reason) for wamid, outcome, reason in rows}
        return [found[wamid] for wamid in wamids if wamid in found]


@pytest.fixture
def person(stack: RunningStack) -> Person:
    return Person(stack)


def stored(stack: RunningStack) -> int:
    with stack.connect() as connection:
        row = connection.execute("select (select count(*) from webhook_events), (select count(*) from unrouted_events)")
        return sum(row.fetchone() or ())


# A conversation ---------------------------------------------------------------------------------


def test_a_signed_delivery_is_answered_once_and_recorded(stack: RunningStack, person: Person) -> None:
    (wamid,) = person.write("How much is a check-up?")
    assert person.outcomes(wamid) == [("answered", "delivery: sent")]
    (reply,) = person.replies()
    assert "£52" in reply
    with stack.connect() as connection:
        usage = connection.execute(
            "select u.model, u.prompt_tokens > 0 from usage_logs u"
            " join webhook_events e using (organization_id, turn_id) where e.wamid = %s",
            [wamid],
        ).fetchall()
    assert usage == [("demo", True)]


def test_a_burst_gets_one_answer_that_has_seen_all_of_it(person: Person) -> None:
    wamids = person.write("Hi!", "When are you open?", "And how much is a check-up?")
    assert [outcome for outcome, _ in person.outcomes(*wamids)] == ["merged", "merged", "answered"]
    (reply,) = person.replies()
    assert "8:30" in reply and "£52" in reply


def test_the_same_delivery_twenty_times_at_once_is_answered_once(stack: RunningStack, person: Person) -> None:
    message = person.message("Where are you?")
    body = person.body(message)
    with ThreadPoolExecutor(20) as threads:
        statuses = list(threads.map(lambda _: person.post(body), range(20)))
    assert statuses == [200] * 20
    assert person.outcomes(message["id"]) == [("answered", "delivery: sent")]
    assert len(person.replies()) == 1
    assert person.post(body) == 200, "also long after it was answered"
    with stack.connect() as connection:
        row = connection.execute("select count(*) from webhook_events where wamid = %s", [message["id"]]).fetchone()
    assert row == (1,)


def test_what_comes_while_a_turn_is_under_way_is_answered_next(stack: RunningStack, person: Person) -> None:
    """The first send hangs long enough for another message to arrive after the model was asked."""
    fault = {"kind": "delay", "seconds": 2, "times": 1, "on": "send", "to": "harbour-dental"}
    assert httpx.post(f"{stack.simulator_url}/sim/faults", json=fault).is_success
    (first,) = person.write("How much is a check-up?")
    with stack.connect() as connection:
        until(
            lambda: bool(
                connection.execute(
                    "select 1 from outbox o join webhook_events e using (organization_id, turn_id)"
                    " where e.wamid = %s and o.state = 'sending'",
                    [first],
                ).fetchone()
            )
        )
    (second,) = person.write("Is there parking?")
    assert [outcome for outcome, _ in person.outcomes(first, second)] == ["answered", "answered"]
    replies = person.replies(2)
    assert "£52" in replies[0] and "parking" in replies[1]


# People take over -------------------------------------------------------------------------------


def run_script(stack: RunningStack, path: str, **arguments: Any) -> Any:
    return stack.windmill("POST", f"jobs/run_wait_result/p/{path}", json=arguments).json()


def test_the_owner_takes_over_and_gives_back(stack: RunningStack, person: Person) -> None:
    (wamid,) = person.write("How much is a check-up?")
    person.outcomes(wamid)
    echo = {
        "from": "441174960102",
        "to": person.wa_id,
        "id": f"wamid.{uuid4().hex}",
        "timestamp": str(int(time.time())),
    }
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "441174960102", "phone_number_id": person.number},
        "message_echoes": [echo | {"type": "text", "text": {"body": "For you 40 pounds"}}],
    }
    entry = [{"id": "200000000000002", "changes": [{"field": "smb_message_echoes", "value": value}]}]
    body = json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()
    assert person.post(body) == 200

    def is_handed_over() -> bool:
        with stack.connect() as connection:
            query = "select mode from conversations v join contacts k on k.id = v.contact_id where k.wa_id = %s"
            return connection.execute(query, [person.wa_id]).fetchall() == [("person",)]

    until(is_handed_over)
    (silent,) = person.write("Deal! Is there parking?")
    assert person.outcomes(silent) == [("handed_over", "a person answers")]
    given = run_script(stack, "u/admin/resume_conversation", contact_number=f"+{person.wa_id}", note="agreed: £40")
    assert given["state"] == "resumed"
    (answered,) = person.write("Where are you?")
    assert person.outcomes(answered) == [("answered", "delivery: sent")]
    assert len(person.replies(2)) == 2 and "Quay Street" in person.replies(2)[1]


@pytest.mark.slow
def test_a_number_without_a_valid_token_waits_until_it_is_released(stack: RunningStack, person: Person) -> None:
    fault = {"kind": "error", "code": 190, "times": 1, "on": "send", "to": "harbour-dental"}
    assert httpx.post(f"{stack.simulator_url}/sim/faults", json=fault).is_success
    (first,) = person.write("How much is a check-up?")

    def is_held() -> bool:
        with stack.connect() as connection:
            query = "select held_since is not null from whatsapp_numbers where phone_number_id = %s"
            return connection.execute(query, [person.number]).fetchall() == [(True,)]

    until(is_held)
    (second,) = person.write("Is there parking?")
    assert person.replies(0) == []
    released = run_script(stack, "u/admin/release_number", phone_number_id=person.number)
    assert released["state"] == "released" and released["waiting_conversations"] >= 1
    ended = person.outcomes(first, second, seconds=100)
    assert [outcome for outcome, _ in ended] == ["answered", "answered"]
    assert len(person.replies(2)) == 2


# Bad input --------------------------------------------------------------------------------------


@pytest.fixture
def tampered(person: Person) -> Iterator[Callable[[str], tuple[bytes, dict[str, str]]]]:
    body = person.body(person.message())
    whole = person.signature(body)

    def make(case: str) -> tuple[bytes, dict[str, str]]:
        cases: dict[str, tuple[bytes, dict[str, str]]] = {
            "wrong signature": (body, {"x-hub-signature-256": "sha256=" + "0" * 64}),
            "missing signature": (body, {"x-hub-signature-256": ""}),
            "truncated signature": (body, {"x-hub-signature-256": whole[:-1]}),
            "truncated body": (body[:-20], {"x-hub-signature-256": whole}),
        }
        return cases[case]

    yield make


@pytest.mark.parametrize("case", ["wrong signature", "missing signature", "truncated signature", "truncated body"])
def test_what_does_not_verify_is_refused_and_leaves_nothing(
    stack: RunningStack, person: Person, tampered: Callable[[str], tuple[bytes, dict[str, str]]], case: str
) -> None:
    before = stored(stack)
    body, headers = tampered(case)
    assert person.post(body, **headers) == 401
    assert stored(stack) == before


@pytest.mark.parametrize("body", [b'{"object": "whatsapp_business_account", "entry": [', b'\xff{"entry": []}', b"[]"])
def test_a_signed_body_that_is_no_delivery_is_400(stack: RunningStack, person: Person, body: bytes) -> None:
    before = stored(stack)
    assert person.post(body) == 400
    assert stored(stack) == before


def test_a_message_to_an_unknown_number_is_kept_for_the_operators(stack: RunningStack, person: Person) -> None:
    number = str(uuid4().int)[:15]
    person.write("hello?", number=number)
    with stack.connect() as connection:
        query = "select reason from unrouted_events where phone_number_id = %s"
        until(lambda: connection.execute(query, [number]).fetchall() == [("unknown number",)])
    assert person.replies(0) == []


def test_a_chatbot_that_is_switched_off_refuses_and_says_nothing(stack: RunningStack, person: Person) -> None:
    switch = "update chatbots set is_active = %s where id = %s"
    with stack.connect() as connection:
        connection.execute(switch, [False, stack.demo2_chatbot_id])
        try:
            (wamid,) = person.write("hello?")
            assert person.outcomes(wamid) == [("refused", "chatbot is not active")]
        finally:
            connection.execute(switch, [True, stack.demo2_chatbot_id])
    assert person.replies(0) == []


@pytest.mark.parametrize(
    "text",
    ["check-up " * 555, "", "🦷🙂", "How much\0is a check-up?", "½\ud83d price"],
    ids=lambda text: repr(text[:10]),
)
def test_odd_texts_are_answered_once(person: Person, text: str) -> None:
    (wamid,) = person.write(text)
    assert person.outcomes(wamid) == [("answered", "delivery: sent")]
    assert len(person.replies()) == 1
