"""local/say.py: one message to a chatbot and the reply, by way of the simulator's control calls."""

import json

import pytest
from pytest_httpserver import HTTPServer

from local.processes import free_port
from local.say import SayError, as_text, say

SENDER = "447700900001"


def simulate(server: HTTPServer, turn: dict[str, object], shown: list[str], status: int = 200) -> None:
    """A simulator that has taken `wamid.new` after an older exchange, with `turn` and what the phone shows since."""
    server.expect_request("/sim/messages", method="POST").respond_with_json({"wamid": "wamid.new", "status": status})
    server.expect_request("/sim/turns", query_string={"wamid": "wamid.new"}).respond_with_json(turn)
    messages = [
        {"direction": "in", "wamid": "wamid.old", "text": "hello"},
        {"direction": "out", "wamid": "wamid.1", "text": "An older answer"},
        {"direction": "in", "wamid": "wamid.new", "text": "hello"},
        *({"direction": "out", "wamid": f"wamid.{text}", "text": text} for text in shown),
    ]
    server.expect_request("/witness").respond_with_json({"messages": messages})


def answered(*reply: str) -> dict[str, object]:
    details = {"steps": [{"kind": "model"}], "tools": [], "prompt_tokens": 7, "completion_tokens": 3}
    return {"outcome": "answered", "outcome_reason": None, "reply": list(reply), "turn": details}


def ask(server: HTTPServer, seconds: float = 1) -> dict[str, object]:
    return say(server.url_for(""), "hello", sender=SENDER, chatbot="bicis-ribera", seconds=seconds)


def test_the_reply_is_what_the_phone_shows(httpserver: HTTPServer) -> None:
    simulate(httpserver, answered("One.", "Two."), ["One.", "Two."])
    answer = ask(httpserver)
    assert answer["reply"] == "One.\nTwo."
    assert set(answer) == {"reply", "outcome", "wamid", "steps", "tools", "tokens", "ms"}
    assert answer["tokens"] == {"prompt": 7, "completion": 3}
    assert as_text(answer, as_json=False) == "One.\nTwo."
    assert json.loads(as_text(answer, as_json=True)) == answer


def test_an_older_answer_with_the_same_words_does_not_count(httpserver: HTTPServer) -> None:
    simulate(httpserver, answered("An older answer"), [])
    with pytest.raises(SayError, match="1 of 1 parts of the reply did not arrive"):
        ask(httpserver, seconds=0.3)


def test_a_refused_message_is_told_with_its_reason(httpserver: HTTPServer) -> None:
    simulate(httpserver, {"outcome": "refused", "outcome_reason": "limit: sender", "reply": [], "turn": None}, [])
    with pytest.raises(SayError, match=r"no reply: the message was refused \(limit: sender\)"):
        ask(httpserver)


def test_no_outcome_in_time(httpserver: HTTPServer) -> None:
    simulate(httpserver, {"outcome": None}, [])
    with pytest.raises(SayError, match=r"no reply in time: wamid\.new has no outcome yet"):
        ask(httpserver, seconds=0.3)


def test_a_delivery_that_the_gateway_does_not_take(httpserver: HTTPServer) -> None:
    simulate(httpserver, answered(), [], status=503)
    with pytest.raises(SayError, match="the gateway answered 503"):
        ask(httpserver)


def test_without_a_simulator_it_says_what_to_run() -> None:
    with pytest.raises(SayError, match=r"run \./dev up first"):
        say(f"http://127.0.0.1:{free_port()}", "hello", sender=SENDER, chatbot="x", seconds=1)
