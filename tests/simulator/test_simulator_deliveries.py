"""What the gateway gets: signed messages and statuses in Meta's shape, again until it answers 200."""

import json
from pathlib import Path

import httpx
import pytest
from pytest_httpserver import HTTPServer
from simulator_systems import DENTAL, SECRET, Simulator, Webhook, running, wait_for

from f.whatsapp.deliveries import parse_message
from gateway import split
from local.processes import free_port


def test_a_text_arrives_as_meta_sends_it(common: Simulator, webhook: Webhook) -> None:
    answer = common.say("Is the café at 7/9 open? 🦷", profile_name="Zoë")
    assert answer["status"] == 200
    [body] = webhook.bodies
    assert body.isascii() and b"7\\/9" in body
    assert json.loads(body)["entry"][0]["id"] == DENTAL["waba_id"]
    value = webhook.values[0]
    assert value["metadata"] == {"display_phone_number": "441174960102", "phone_number_id": DENTAL["phone_number_id"]}
    [message] = value["messages"]
    [contact] = value["contacts"]
    assert message.pop("timestamp").isdecimal()
    user_id = contact["user_id"]
    assert user_id.startswith("GB.")
    assert contact == {"profile": {"name": "Zoë"}, "wa_id": common.person, "user_id": user_id}
    assert message == {
        "from": common.person,
        "from_user_id": user_id,
        "id": answer["wamid"],
        "type": "text",
        "text": {"body": "Is the café at 7/9 open? 🦷"},
    }


def test_the_gateway_and_the_flow_can_read_it(common: Simulator, webhook: Webhook) -> None:
    common.say("Hi", sender="US.9F31", profile_name="Kim")
    parts = split.read(split.parse(webhook.bodies[0]))
    assert (len(parts.messages), parts.statuses, parts.events) == (1, [], [])
    envelope = {"app_id": SECRET.app_id, "received_at": "2026-11-25T10:00:00+00:00", **parts.messages[0]}
    inbound = parse_message(json.dumps(envelope))
    assert (inbound.user_id, inbound.wa_id, inbound.profile_name, inbound.text) == ("US.9F31", None, "Kim", "Hi")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ({"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": "👍"}}, "👍"),
        ({"type": "image", "image": {"id": "1", "mime_type": "image/jpeg", "caption": "my tooth"}}, "[image] my tooth"),
        ({"type": "location", "location": {"latitude": 1.5, "longitude": 2, "name": "Quay"}}, "[location] Quay"),
        ({"type": "hologram", "hologram": {"id": 1}}, "[hologram]"),
    ],
)
def test_messages_of_any_kind(common: Simulator, webhook: Webhook, message: dict, shown: str) -> None:
    answer = common.say(message=message)
    [sent] = webhook.messages()
    assert sent == {**sent, **message, "from": common.person, "id": answer["wamid"]}
    assert common.witness()[0]["text"] == shown


def test_the_same_message_may_be_delivered_twice(common: Simulator, webhook: Webhook) -> None:
    message = {"type": "text", "text": {"body": "once"}, "id": "wamid.mine", "timestamp": "1790000000"}
    assert [common.say(message=message)["wamid"] for _ in range(2)] == ["wamid.mine"] * 2
    assert webhook.bodies[0] == webhook.bodies[1]
    assert len(common.witness()) == 1


def test_a_person_has_another_user_id_for_each_business(common: Simulator, webhook: Webhook) -> None:
    for chatbot in ("Bicis Ribera", "100000000000002", DENTAL["chatbot_id"]):
        common.say(to=chatbot)
    ids = [message["from_user_id"] for message in webhook.messages()]
    assert ids[0] != ids[1] == ids[2]


def test_retries_until_the_gateway_takes_it(common: Simulator, webhook: Webhook) -> None:
    webhook.answers = [503, 500]
    answer = common.say()
    assert answer["status"] == 503
    wait_for(lambda: common.witness()[0]["status"] == "delivered")
    [message] = common.witness()
    assert message["gateway"] == {"status": 200, "attempts": 3, "error": None}
    assert [sent["id"] for sent in webhook.messages()] == [answer["wamid"]]


def test_a_gateway_that_is_down_gets_it_later(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, f"http://127.0.0.1:{port}") as simulator:
        answer = simulator.say()
        assert answer["status"] == 0
        assert "does not answer" in answer["error"]
        assert simulator.witness()[0]["status"] == "sent"
        with HTTPServer(port=port) as server:
            webhook = Webhook(server)
            wait_for(lambda: bool(webhook.messages()))


def test_a_killed_simulator_goes_on_where_it_was(simulator: Simulator, webhook: Webhook) -> None:
    webhook.answers = [503] * 4
    wamid = simulator.say("remember me")["wamid"]
    wait_for(lambda: len(webhook.answers) <= 2)
    simulator.kill()
    webhook.answers.clear()
    simulator.start()
    wait_for(lambda: [sent["id"] for sent in webhook.messages()] == [wamid])
    wait_for(lambda: simulator.pending() == [])
    assert [message["text"] for message in simulator.witness()] == ["remember me"]


def test_statuses_survive_a_restart(simulator: Simulator, webhook: Webhook) -> None:
    simulator.say()
    wamid = simulator.send().json()["messages"][0]["id"]
    simulator.kill()
    simulator.start()
    wait_for(lambda: [s["status"] for s in webhook.statuses(wamid)][-1:] == ["read"])


def test_it_stops_at_once_with_a_page_open(simulator: Simulator) -> None:
    with httpx.stream("GET", f"{simulator.url}/sim/events") as events:
        assert next(events.iter_lines())
        assert simulator.stop() == 0
