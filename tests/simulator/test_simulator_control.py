"""Control calls: turns, the witness, people, bad input, events."""

import json
from typing import Any

import httpx
import pytest
from simulator_bots import STEPS, TOOLS, record_turn, settle_without_reply
from simulator_systems import BICIS, DENTAL, Simulator, Webhook, new_phone

from local.say import SENDER, say
from local.simulator.phones import FIRST_PEOPLE

NUMBER = DENTAL["phone_number_id"]


def test_turns_are_read_from_the_platform(common: Simulator, webhook: Webhook, shared_database: str) -> None:
    wamid = common.say()["wamid"]
    missing = common.http.get("/sim/turns", params={"wamid": wamid})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    settle_without_reply(shared_database, NUMBER, wamid, None, None)
    assert turn_of(common, wamid=wamid) == {
        "outcome": None, "outcome_reason": None, "reply": [], "parts": [], "turn": None,
    }  # fmt: skip
    second = common.say()["wamid"]
    [row, _] = record_turn(shared_database, NUMBER, {"id": second}, ["One.", "Two."])
    turn = turn_of(common, wamid=second)
    parts = turn.pop("parts")
    assert [(part["text"], part["state"], part["position"]) for part in parts] == [
        ("One.", "sent", 0),
        ("Two.", "sent", 1),
    ]
    assert turn == {
        "outcome": "answered",
        "outcome_reason": "delivery: sent",
        "reply": ["One.", "Two."],
        "turn": {
            "model": "demo",
            "steps": STEPS,
            "tools": TOOLS,
            "prompt_tokens": 412,
            "completion_tokens": 38,
            "error": None,
            "duration_ms": 1234,
        },
    }
    reply = common.send("One.", biz_opaque_callback_data=row).json()["messages"][0]["id"]
    assert turn_of(common, reply=reply)["reply"] == ["One.", "Two."]
    nameless = common.send("No row").json()["messages"][0]["id"]
    assert common.http.get("/sim/turns", params={"reply": nameless}).status_code == 404


def test_say_works_with_it(common: Simulator, webhook: Webhook, shared_database: str) -> None:
    def answer(value: dict[str, Any], message: dict[str, Any]) -> None:
        record_turn(shared_database, NUMBER, message, ["We open at nine."])
        common.send("We open at nine.")

    webhook.on_message = answer
    said = say(common.url, "When?", sender=common.person, chatbot="harbour-dental", seconds=5)
    assert (said["reply"], said["outcome"]) == ("We open at nine.", "answered")
    assert (said["steps"], said["tokens"]) == (STEPS, {"prompt": 412, "completion": 38})


def test_a_database_that_is_down(simulator: Simulator) -> None:
    answer = simulator.http.get("/sim/turns", params={"wamid": "wamid.x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")


def test_the_witness_knows_whom_and_where(common: Simulator) -> None:
    other = new_phone()
    common.say("one", to="Bicis Ribera")
    common.say("two", to="harbour-dental")
    common.say("three", sender=f"+{other[:2]} {other[2:]}")
    common.send("four")
    assert texts(common, person=common.person) == ["one", "two", "four"]
    assert texts(common, person=f"+{common.person}") == ["one", "two", "four"]
    assert texts(common, person=common.person, chatbot="harbour-dental") == ["two", "four"]
    assert texts(common, person=other) == ["three"]
    assert texts(common, person="15550100000") == []
    assert [text for text in texts(common, chatbot=BICIS["chatbot_id"]) if text in ("one", "two")] == ["one"]
    assert texts(common, person=common.person, limit="2") == ["two", "four"]


def test_people(common: Simulator, webhook: Webhook) -> None:
    phone = new_phone()
    made = common.http.post("/sim/people", json={"name": "Ana", "phone": f"+{phone}"})
    assert (made.status_code, made.json()) == (201, {"key": phone, "name": "Ana", "wa_id": phone, "user_id": None})
    common.say(sender=phone, user_id="US.41", profile_name="Ana M.")
    assert webhook.messages()[0]["from_user_id"] == "US.41"
    people = common.http.get("/sim/page").json()["people"]
    assert {"key": phone, "name": "Ana M.", "wa_id": phone, "user_id": "US.41"} in people
    taken = common.http.post("/sim/people", json={"phone": new_phone(), "user_id": "US.41"})
    assert taken.status_code == 400
    assert "access_token" not in common.http.get("/sim/page").text


def test_a_person_may_show_a_number_later(common: Simulator, webhook: Webhook) -> None:
    phone = new_phone()
    common.say("one", sender="US.42")
    common.say("two", sender=phone, user_id="US.42")
    assert [message.get("from") for message in webhook.messages()] == [None, phone]
    assert {message["from_user_id"] for message in webhook.messages()} == {"US.42"}
    assert texts(common, person=phone) == ["one", "two"]
    assert common.http.post("/sim/people", json={"phone": new_phone(), "user_id": "US.42"}).status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"to": "harbour-dental", "text": "Hi"}, 400, "bad_person"),
        ({"from": "abc", "to": "harbour-dental", "text": "Hi"}, 400, "bad_person"),
        ({"from": "447700900123", "text": "Hi"}, 400, "bad_request"),
        ({"from": "447700900123", "to": "nobody", "text": "Hi"}, 404, "unknown_chatbot"),
        ({"from": "447700900123", "to": "harbour-dental"}, 400, "bad_request"),
        ({"from": "447700900123", "to": "harbour-dental", "text": ""}, 400, "bad_request"),
        ({"from": "447700900123", "to": "harbour-dental", "text": 7}, 400, "bad_request"),
        (
            {"from": "447700900123", "to": "harbour-dental", "text": "Hi", "message": {"type": "text"}},
            400,
            "bad_request",
        ),
        ({"from": "447700900123", "to": "harbour-dental", "message": {"kind": "text"}}, 400, "bad_request"),
        ({"from": "447700900123", "to": "harbour-dental", "message": {"type": "text", "id": ""}}, 400, "bad_request"),
        ({"from": 447700900123, "to": "harbour-dental", "text": "Hi"}, 400, "bad_request"),
        (["Hi"], 400, "bad_request"),
    ],
)
def test_bad_messages(common: Simulator, webhook: Webhook, body: object, status: int, code: str) -> None:
    answer = common.http.post("/sim/messages", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert webhook.bodies == []


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"kind": "earthquake"},
        {"kind": "error", "times": 0},
        {"kind": "error", "times": True},
        {"kind": "error", "code": "190"},
        {"kind": "error", "code": 12345},
        {"kind": "delay", "seconds": 1000},
        {"kind": "html", "status": 200},
        {"kind": "reset", "on": "sunday"},
        {"kind": "reset", "colour": "red"},
    ],
)
def test_bad_faults(common: Simulator, fault: dict[str, Any]) -> None:
    answer = common.http.post("/sim/faults", json=fault)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_fault")
    assert common.http.get("/sim/faults").json() == {"faults": []}


def test_other_bad_calls(common: Simulator) -> None:
    http = common.http
    assert http.post("/sim/messages", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert http.post("/sim/messages", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert http.get("/sim/turns").status_code == 400
    assert http.get("/witness", params={"chatbot": "nobody"}).status_code == 404
    assert http.get("/witness", params={"limit": "-1"}).status_code == 400
    for path in ("/nothing", "/static/none.js", "/static/..%2fapp.py", "/static/%2e%2e/app.py"):
        answer = http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path
    assert http.put("/health").status_code == 405


def test_faults_can_be_taken_back(common: Simulator) -> None:
    common.say()
    common.fault(kind="reset", times=5)
    assert common.http.delete("/sim/faults").json() == {"faults": []}
    assert common.send().status_code == 200


def test_the_page_may_load_nothing_from_elsewhere(common: Simulator) -> None:
    page = common.http.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "http" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"


def test_events_tell_everything_that_a_page_shows(common: Simulator) -> None:
    with httpx.stream("GET", f"{common.url}/sim/events", timeout=5) as stream:
        lines = (line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: "))
        assert next(lines) == "{}"
        wamid = common.say("Hello")["wamid"]
        read = {"messaging_product": "whatsapp", "status": "read", "message_id": wamid}
        common.call(read | {"typing_indicator": {"type": "text"}})
        common.send("Good morning")
        news = [event for event in map(json.loads, (next(lines) for _ in range(6)))]
    assert [event["kind"] for event in news] == ["person", "message", "status", "status", "typing", "message"]
    assert [event["status"] for event in news[2:4]] == ["delivered", "read"]
    assert news[1]["message"]["text"] == "Hello"
    assert news[5]["message"]["text"] == "Good morning"


def turn_of(simulator: Simulator, **query: str) -> dict[str, Any]:
    answer = simulator.http.get("/sim/turns", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def texts(simulator: Simulator, **filters: str) -> list[str]:
    return [message["text"] for message in simulator.witness(**filters)]


def test_who_says_something_is_whom_the_page_shows_first() -> None:
    assert FIRST_PEOPLE[0].wa_id == SENDER
