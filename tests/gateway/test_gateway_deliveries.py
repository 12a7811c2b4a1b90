"""From a signed POST to runs of Windmill, over real HTTP: nothing lost, nothing doubled, always an answer."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from gateway_fakes import NUMBER, OTHER_ID, OTHER_SECRET, FakeWindmill, GatewayProcess, signed, text_messages, text_of

from f.lib.ids import events_job_id, message_job_id
from gateway.split import digest


def test_a_message_becomes_one_run_with_its_own_id(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    response = gateway.deliver(text_messages("hello 🙂"))
    assert (response.status_code, response.json()) == (200, {"queued": 1, "already_queued": 0})
    [(job_id, (path, delivery))] = windmill.queued.items()
    assert (job_id, path) == (str(message_job_id(NUMBER, "wamid.T0")), "f/f/whatsapp/webhook_processor")
    assert text_of(delivery) == "hello 🙂"
    assert delivery["app_id"] == "app-1"


def test_the_app_whose_secret_fits_is_passed_on(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    body = json.dumps(text_messages("hello")).encode()
    assert gateway.deliver(body, **signed(body, OTHER_SECRET)).status_code == 200
    assert windmill.messages[0]["app_id"] == "app-2"


def test_statuses_and_events_become_a_run_each(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    delivery = text_messages("hello")
    value = delivery["entry"][0]["changes"][0]["value"]
    value |= {"statuses": [{"id": "a", "status": "sent"}, {"id": "b", "status": "read"}], "errors": [{"code": 1}]}
    body = json.dumps(delivery).encode()
    assert gateway.deliver(body).json() == {"queued": 3, "already_queued": 0}
    assert windmill.queued.keys() == {
        str(message_job_id(NUMBER, "wamid.T0")),
        str(events_job_id("statuses", digest(body))),
        str(events_job_id("events", digest(body))),
    }
    assert [item["status"]["id"] for item in windmill.stored("statuses")] == ["a", "b"]
    assert windmill.stored("events")[0]["value"]["errors"] == [{"code": 1}]


def test_messages_of_one_sender_are_queued_in_their_order(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    texts = [str(number) for number in range(40)]
    assert gateway.deliver(text_messages(*texts)).status_code == 200
    assert [text_of(delivery) for delivery in windmill.messages] == texts
    assert [delivery["position"] for delivery in windmill.messages] == list(range(40))


def test_a_delivery_without_entries_is_answered(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    assert gateway.deliver({"object": "whatsapp_business_account", "entry": []}).status_code == 200
    assert not windmill.calls


def test_a_delivery_about_something_else_is_ignored_for_a_reason(
    gateway: GatewayProcess, windmill: FakeWindmill
) -> None:
    before = gateway.metric('gateway_deliveries_total{result="ignored"}')
    response = gateway.deliver({"object": "page", "entry": [{"id": "1", "messaging": []}]})
    assert (response.status_code, response.json()) == (200, {"ignored": "not about WhatsApp"})
    assert gateway.metric('gateway_deliveries_total{result="ignored"}') == before + 1
    assert not windmill.calls


def test_a_repeated_delivery_is_answered_and_queued_once(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    delivery = text_messages("hello")
    assert gateway.deliver(delivery).json() == {"queued": 1, "already_queued": 0}
    assert gateway.deliver(delivery).json() == {"queued": 0, "already_queued": 1}
    assert len(windmill.queued) == 1


def test_the_same_delivery_twenty_times_at_once(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    windmill.delay = 0.05
    delivery = text_messages("a", "b", "c")
    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(lambda _: gateway.deliver(delivery), range(20)))
    assert [response.status_code for response in responses] == [200] * 20
    assert [text_of(delivery) for delivery in windmill.messages] == ["a", "b", "c"]


def test_when_the_second_of_three_is_not_queued_a_retry_completes(
    gateway: GatewayProcess, windmill: FakeWindmill
) -> None:
    windmill.fail(500, times=2, only=lambda delivery: text_of(delivery) == "second")
    delivery = text_messages("first", "second", "third", sender=None)
    response = gateway.deliver(delivery)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "not_queued")
    assert sorted(map(text_of, windmill.messages)) == ["first", "third"]

    retry = gateway.deliver(delivery)
    assert (retry.status_code, retry.json()) == (200, {"queued": 1, "already_queued": 2})
    assert sorted(map(text_of, windmill.messages)) == ["first", "second", "third"]
    assert len(windmill.calls) == 4 + 3


@pytest.mark.parametrize("how", [500, 502, 429, 404, 401, 302, 200, 202, OTHER_ID, "reset", "reset after"])
def test_any_other_answer_is_tried_once_more(gateway: GatewayProcess, windmill: FakeWindmill, how: str | int) -> None:
    windmill.fail(how, times=1)
    assert gateway.deliver(text_messages("hello")).status_code == 200
    assert len(windmill.calls) == 2
    assert len(windmill.messages) == 1


@pytest.mark.parametrize("how", [500, 404, 302, 200, OTHER_ID, "Job with id already exists", "reset"])
def test_twice_any_other_answer_is_not_queued(gateway: GatewayProcess, windmill: FakeWindmill, how: str | int) -> None:
    windmill.fail(how)
    assert gateway.deliver(text_messages("hello")).status_code == 503
    assert len(windmill.calls) == 2
    assert not windmill.messages


def test_a_message_that_is_always_refused_does_not_hold_up_the_next(
    gateway: GatewayProcess, windmill: FakeWindmill
) -> None:
    windmill.fail(500, only=lambda delivery: text_of(delivery) == "poison")
    assert gateway.deliver(text_messages("poison", "later")).status_code == 503
    assert [text_of(delivery) for delivery in windmill.messages] == ["later"]


def test_when_windmill_hangs_the_answer_comes_within_three_seconds(
    gateway: GatewayProcess, windmill: FakeWindmill
) -> None:
    windmill.fail("hang", only=lambda delivery: text_of(delivery) != "quick")
    started = time.monotonic()
    response = gateway.deliver(text_messages(*["slow"] * 100, "quick", sender=None))
    assert response.status_code == 503
    assert time.monotonic() - started < 3
    windmill.clear()
    assert gateway.deliver(text_messages(*["slow"] * 100, "quick", sender=None)).status_code == 200
    assert len(windmill.messages) == 101


def test_a_batch_of_a_thousand_is_answered_at_once(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    response = gateway.deliver(text_messages(*["hello"] * 1000, sender=None))
    assert (response.status_code, response.json()) == (200, {"queued": 1000, "already_queued": 0})
    assert len(windmill.messages) == 1000


def test_a_batch_that_is_too_much_for_windmill_converges(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    windmill.delay = 0.15
    delivery = text_messages(*["hello"] * 800, sender=None)
    started = time.monotonic()
    assert gateway.deliver(delivery).status_code == 503
    assert time.monotonic() - started < 3
    progress = len(windmill.messages)
    assert progress > 200
    assert gateway.deliver(delivery).status_code == 200
    assert len(windmill.messages) == 800

    windmill.clear()
    assert gateway.deliver(delivery).json() == {"queued": 800, "already_queued": 0}, "answered without asking"


def test_small_deliveries_are_served_while_a_large_one_waits(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    windmill.delay = 0.1
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(gateway.deliver, text_messages(*["large"] * 500, sender=None))
        time.sleep(0.3)
        started = time.monotonic()
        assert gateway.deliver(text_messages("small", prefix="wamid.S")).status_code == 200
        assert time.monotonic() - started < 1
        assert not large.done()
        large.result()


def test_meta_s_verification(gateway: GatewayProcess) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "verify-me", "hub.challenge": "<b>1158201444</b>"}
    response = gateway.client.get("/webhook", params=query)
    assert (response.status_code, response.text) == (200, "<b>1158201444</b>")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    changes: list[dict[str, Any]] = [
        {"hub.verify_token": "guess"},
        {"hub.verify_token": "vérifié"},
        {"hub.verify_token": ""},
        {"hub.mode": "unsubscribe"},
        {"hub.mode": None},
        {"hub.challenge": None},
    ]
    for change in changes:
        wrong = {name: value for name, value in (query | change).items() if value is not None}
        assert gateway.client.get("/webhook", params=wrong).status_code == 403
    assert gateway.client.get("/webhook").status_code == 403


def test_ready_follows_windmill(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    time.sleep(1.05)  # an earlier answer is valid for a second
    assert gateway.client.get("/ready").status_code == 200
    windmill.fail(503)
    assert gateway.client.get("/ready").status_code == 200
    time.sleep(1.05)
    assert gateway.client.get("/ready").json()["error"]["code"] == "windmill_unreachable"
    assert gateway.client.get("/health").status_code == 200


def test_metrics_count_and_name_nobody(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    queued = 'gateway_runs_total{kind="message",result="queued"}'
    repeated = 'gateway_runs_total{kind="message",result="already_queued"}'
    before = gateway.metric(queued), gateway.metric(repeated), gateway.metric("gateway_upstream_seconds_count")
    gateway.deliver(text_messages("a", "b"))
    gateway.deliver(text_messages("a", "b"))
    after = gateway.metric(queued), gateway.metric(repeated), gateway.metric("gateway_upstream_seconds_count")
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 2, 4]
    text = gateway.client.get("/metrics").text
    assert NUMBER not in text
    assert "4915200000017" not in text


def test_other_paths_and_methods_are_refused_in_the_same_form(gateway: GatewayProcess) -> None:
    responses: list[httpx.Response] = [gateway.client.get("/"), gateway.client.put("/webhook", content=b"")]
    assert [response.status_code for response in responses] == [404, 405]
    assert [response.json()["error"]["code"] for response in responses] == ["not_found", "method_not_allowed"]
