"""The Cloud API that we call, with our own client and by hand: answers, statuses, errors."""

import base64
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest
from simulator_systems import BICIS, DENTAL, VERSION, Simulator, Webhook, wait_for

from f.whatsapp.cloud_api import CloudApi, SendError, SendUncertain


def client(simulator: Simulator, number: dict[str, str] = DENTAL, token: str | None = None) -> CloudApi:
    api = {"base_url": simulator.url, "version": VERSION}
    return CloudApi(api, number["phone_number_id"], token or number["access_token"])


def contact(simulator: Simulator) -> dict[str, Any]:
    return {"wa_id": simulator.person, "user_id": None}


def error_of(answer: httpx.Response) -> tuple[int, int]:
    error = answer.json()["error"]
    assert error.keys() - {"error_subcode"} == {"message", "type", "code", "error_data", "fbtrace_id"}
    assert error["error_data"]["details"]
    return answer.status_code, error["code"]


def test_a_reply_is_seen_and_its_statuses_come_back(common: Simulator, webhook: Webhook) -> None:
    common.say()
    with client(common) as api:
        wamid = api.send_text(contact(common), "Good morning", callback_data="row-1")
    wait_for(lambda: len(webhook.statuses(wamid)) == 3)
    statuses = webhook.statuses(wamid)
    assert [status["status"] for status in statuses] == ["sent", "delivered", "read"]
    assert {status["biz_opaque_callback_data"] for status in statuses} == {"row-1"}
    assert {status["recipient_id"] for status in statuses} == {common.person}
    assert "pricing" in statuses[0]
    [_, seen] = common.witness()
    assert seen.pop("at") > 0
    assert seen == {
        "person": common.person,
        "chatbot": "harbour-dental",
        "phone_number_id": DENTAL["phone_number_id"],
        "direction": "out",
        "wamid": wamid,
        "kind": "text",
        "text": "Good morning",
        "status": "read",
        "callback_data": "row-1",
    }


def test_the_answer_to_a_send(common: Simulator) -> None:
    common.say()
    answer = common.send()
    assert answer.status_code == 200
    body = answer.json()
    wamid = body["messages"][0]["id"]
    assert body == {
        "messaging_product": "whatsapp",
        "contacts": [{"input": f"+{common.person}", "wa_id": common.person}],
        "messages": [{"id": wamid}],
    }
    assert common.person.encode() in base64.b64decode(wamid.removeprefix("wamid."))
    assert common.send().json()["messages"][0]["id"] != wamid


def test_a_person_without_a_number_is_sent_to_by_user_id(common: Simulator, webhook: Webhook) -> None:
    common.say(sender="ES.77A", to="bicis-ribera")
    with client(common, BICIS) as api:
        wamid = api.send_text({"wa_id": None, "user_id": "ES.77A"}, "Hola", callback_data="row-2")
    wait_for(lambda: bool(webhook.statuses(wamid)))
    status = webhook.statuses(wamid)[0]
    assert status["recipient_user_id"] == "ES.77A"
    assert "recipient_id" not in status


def test_a_person_with_a_number_also_has_a_user_id(common: Simulator, webhook: Webhook) -> None:
    common.say()
    user_id = webhook.messages()[0]["from_user_id"]
    assert common.send(to=None, recipient=user_id).json()["contacts"] == [{"input": user_id, "user_id": user_id}]


def test_marking_as_read_shows_ticks_and_typing(common: Simulator) -> None:
    first, second = common.say("one")["wamid"], common.say("two")["wamid"]
    with client(common) as api:
        api.mark_read(second)
    assert [(m["wamid"], m["status"]) for m in common.witness()] == [(first, "read"), (second, "read")]
    assert [24 < dots["seconds"] <= 25 for dots in dots_of(common)] == [True]
    common.send()
    assert dots_of(common) == []


def test_reading_does_not_need_to_show_typing(common: Simulator) -> None:
    call = {"messaging_product": "whatsapp", "status": "read", "message_id": common.say()["wamid"]}
    assert common.call(call).json() == {"success": True}
    assert dots_of(common) == []
    assert error_of(common.call(call, BICIS)) == (400, 131009)
    assert common.call(call | {"message_id": "wamid.none"}).json() == {"success": True}
    assert error_of(common.call(call | {"typing_indicator": "text"})) == (400, 100)
    assert error_of(common.call(call | {"status": "unread"})) == (400, 100)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"messaging_product": None}, 100),
        ({"type": "telegram"}, 100),
        ({"text": None}, 131008),
        ({"text": {"body": " "}}, 131008),
        ({"text": {"body": "x" * 4097}}, 100),
        ({"text": "x"}, 131008),
        ({"to": None}, 131008),
        ({"to": "not a number"}, 131009),
        ({"to": None, "recipient": "nobody"}, 131026),
        ({"recipient_type": "crowd"}, 100),
        ({"biz_opaque_callback_data": "x" * 513}, 100),
        ({"type": "image", "text": None, "image": {"id": "1", "caption": "x" * 1025}}, 100),
    ],
)
def test_what_meta_refuses(common: Simulator, fields: dict[str, Any], expected: int) -> None:
    common.say()
    assert error_of(common.send(**fields)) == (400, expected)
    assert len(common.witness()) == 1


def test_what_is_just_allowed(common: Simulator) -> None:
    common.say()
    assert common.send("x" * 4096).status_code == 200
    image = {"type": "image", "text": None, "image": {"id": "1", "caption": "A map"}}
    assert common.send(**image).status_code == 200
    buttons = {"type": "button", "body": {"text": "Which day?"}, "action": {"buttons": []}}
    assert common.send(type="interactive", text=None, interactive=buttons).status_code == 200
    assert [m["text"] for m in common.witness()][2:] == ["[image] A map", "[interactive] Which day?"]


def test_a_person_who_has_not_written_within_a_day_gets_templates_only(common: Simulator) -> None:
    common.say()
    with closing(sqlite3.connect(json.loads(common.config.read_text())["state"])) as state, state:
        state.execute("update messages set at = at - 90000 where person = ?", [common.person])
    assert error_of(common.send()) == (400, 131047)
    template = {"name": "hello", "language": {"code": "en"}}
    assert common.send(type="template", text=None, template=template).status_code == 200


def test_whoever_is_written_to_has_a_phone(common: Simulator) -> None:
    """Deliveries may come from elsewhere: a test's own, signed by itself."""
    assert common.send(to="+15550109999").status_code == 200
    assert common.send(to=None, recipient="US.somebody").status_code == 200


def test_tokens_and_numbers(common: Simulator) -> None:
    common.say()
    body = {"messaging_product": "whatsapp", "to": common.person, "text": {"body": "Hi"}}
    assert error_of(common.call(body, token="guessed")) == (401, 190)
    assert error_of(common.http.post(f"/{VERSION}/{DENTAL['phone_number_id']}/messages", json=body)) == (401, 190)
    assert error_of(common.call(body, DENTAL, token=BICIS["access_token"])) == (400, 100)
    assert error_of(common.call(body, path=f"/{VERSION}/999/messages")) == (400, 100)
    assert error_of(common.call(body, path=f"/{VERSION}/100000000000002/media")) == (400, 2500)
    assert error_of(common.call("text")) == (400, 100)
    headers = {"authorization": f"Bearer {DENTAL['access_token']}"}
    path = f"/{VERSION}/{DENTAL['phone_number_id']}/messages"
    assert error_of(common.http.post(path, content=b"{", headers=headers)) == (400, 100)
    assert common.call(body, path="/v99.1/100000000000002/messages").status_code == 200


def test_the_client_reads_our_errors_as_it_reads_metas(common: Simulator) -> None:
    common.say()
    with client(common, token="guessed") as api, pytest.raises(SendError) as caught:
        api.send_text(contact(common), "Hi", callback_data="row")
    assert (caught.value.code, caught.value.needs_operator, caught.value.later) == (190, True, False)
    common.fault(kind="error", code=130429)
    with client(common) as api, pytest.raises(SendError) as caught:
        api.send_text(contact(common), "Hi", callback_data="row")
    assert (caught.value.code, caught.value.later) == (130429, True)


@pytest.mark.parametrize(("kind", "shown"), [("html", []), ("reset", []), ("lost", ["Hi"])])
def test_ambiguous_answers(common: Simulator, webhook: Webhook, kind: str, shown: list[str]) -> None:
    common.say()
    common.fault(kind=kind)
    with client(common) as api:
        with pytest.raises(SendUncertain):
            api.send_text(contact(common), "Hi", callback_data=f"row-{kind}")
        assert [m["text"] for m in common.witness()][1:] == shown
        assert api.send_text(contact(common), "Again", callback_data="row-2")
    if shown:
        lost = common.witness()[1]["wamid"]
        wait_for(lambda: bool(webhook.statuses(lost)))
        assert webhook.statuses(lost)[0]["biz_opaque_callback_data"] == f"row-{kind}"


def test_faults_come_in_order_and_are_counted(common: Simulator) -> None:
    common.say()
    common.fault(kind="error", code=131056, times=2)
    common.fault(kind="error", code=190)
    common.fault(kind="html", status=503)
    assert [error_of(common.send()) for _ in range(3)] == [(400, 131056), (400, 131056), (401, 190)]
    page = common.send()
    assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert common.send().status_code == 200


def test_a_fault_of_one_number_or_of_reading_leaves_the_rest_alone(common: Simulator) -> None:
    wamid = common.say()["wamid"]
    common.fault(kind="error", code=131000, to="bicis-ribera")
    common.fault(kind="error", code=131000, on="read")
    assert common.send().status_code == 200
    call = {"messaging_product": "whatsapp", "status": "read", "message_id": wamid}
    assert error_of(common.call(call)) == (500, 131000)
    assert common.call(call).status_code == 200


def test_a_fault_of_one_person_after_some_sends(common: Simulator) -> None:
    common.say()
    common.fault(kind="error", code=131000, person="15550109998", skip=1)
    assert common.send().status_code == 200
    sent = [common.send(to="+15550109998").status_code for _ in range(3)]
    assert sent == [200, 500, 200]


def test_an_answer_that_is_later_than_the_message(common: Simulator) -> None:
    common.say()
    common.fault(kind="late", seconds=0.5)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(common.send)
        wait_for(lambda: len(common.witness()) == 2)
        assert not answer.done()
        assert answer.result().status_code == 200


def test_a_late_answer(common: Simulator) -> None:
    common.say()
    common.fault(kind="delay", seconds=0.3)
    answer = common.send()
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() >= 0.3


def test_a_message_that_is_taken_and_then_fails(common: Simulator, webhook: Webhook) -> None:
    common.say()
    common.fault(kind="failed", code=131026)
    wamid = common.send(biz_opaque_callback_data="row").json()["messages"][0]["id"]
    wait_for(lambda: bool(webhook.statuses(wamid)))
    [status] = webhook.statuses(wamid)
    assert (status["status"], status["errors"][0]["code"]) == ("failed", 131026)
    assert len(common.witness()) == 1


def test_statuses_may_stay_away(common: Simulator, webhook: Webhook) -> None:
    common.say()
    common.fault(kind="lost", statuses=False)
    with pytest.raises(httpx.TransportError):
        common.send("silent")
    spoken = common.send("told").json()["messages"][0]["id"]
    wait_for(lambda: len(webhook.statuses(spoken)) == 3)
    assert webhook.statuses(common.witness()[1]["wamid"]) == []


def dots_of(simulator: Simulator) -> list[dict[str, Any]]:
    typing = simulator.http.get("/sim/page").json()["typing"]
    return [dots for dots in typing if dots["person"] == simulator.person]
