"""The process: how it stops, and what its log says."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
from gateway_fakes import SECRET, TOKEN, FakeWindmill, GatewayProcess, signed, start, text_messages

from f.lib.ids import message_job_id


def test_sigterm_under_load_finishes_what_is_in_flight(
    windmill: FakeWindmill, start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway()
    windmill.delay = 0.3

    def deliver(number: int) -> tuple[str, int | None]:
        body = json.dumps(text_messages(f"message {number}", prefix=f"wamid.L{number}-")).encode()
        try:
            return f"message {number}", httpx.post(
                f"{gateway.url}/webhook", content=body, headers=signed(body)
            ).status_code
        except httpx.TransportError:
            return f"message {number}", None

    with ThreadPoolExecutor(10) as pool:
        answers = pool.map(deliver, range(30))
        deadline = time.monotonic() + 20
        while len(windmill.queued) < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        started = time.monotonic()
        status, log = gateway.stop()
        stopped_after = time.monotonic() - started
        outcomes = dict(answers)
    queued = {delivery["message"]["text"]["body"] for delivery in windmill.messages}
    answered = {text for text, code in outcomes.items() if code == 200}
    assert status == 0
    assert stopped_after < 5
    assert set(outcomes.values()) <= {200, None}
    assert answered == queued
    assert len(answered) >= 10
    assert sum(line["event"] == "delivery" for line in log) == len(answered)


def test_sigterm_waits_for_a_hanging_windmill_no_longer_than_for_any_answer(
    windmill: FakeWindmill, start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway()
    windmill.fail("hang")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(gateway.deliver, text_messages("hello"))
        time.sleep(0.3)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(5) == 0
        assert answer.result().status_code == 503


def test_the_log_has_job_ids_and_no_words_numbers_or_secrets(
    windmill: FakeWindmill, start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway()
    gateway.deliver(text_messages("very private words"))
    gateway.deliver(b'{"very private": words')
    gateway.deliver({}, **{"X-Hub-Signature-256": "sha256=" + "0" * 64})
    gateway.client.get(
        "/webhook", params={"hub.mode": "subscribe", "hub.verify_token": "verify-me", "hub.challenge": "1"}
    )
    gateway.client.get("/webhook", params={"hub.verify_token": "a guess"})
    windmill.fail(500)
    gateway.deliver(text_messages("very private words", prefix="wamid.F"))
    status, log = gateway.stop()
    assert status == 0
    deliveries = [line for line in log if line["event"] == "delivery"]
    assert [line["result"] for line in deliveries] == ["queued", "malformed", "bad_signature", "not_queued"]
    assert deliveries[0]["queued"] == [str(message_job_id("700100200300400", "wamid.T0"))]
    assert deliveries[0]["messages"] == [{"wamid": "wamid.T0", "job_id": deliveries[0]["queued"][0]}]
    assert deliveries[3]["failed"] == [str(message_job_id("700100200300400", "wamid.F0"))]
    assert deliveries[3]["failed_calls"] == {"status 500": 2}
    assert [line["result"] for line in log if line["event"] == "verification"] == ["verified", "bad_verify_token"]
    assert not re.search(f"private|4915200000017|verify-me|guess|{SECRET}|{TOKEN}", json.dumps(log))


def test_a_port_that_is_taken_is_a_failed_start(gateway: GatewayProcess) -> None:
    second = start(subprocess.PIPE, GATEWAY_PORT=str(gateway.port))
    _, log = second.communicate(timeout=10)
    assert second.returncode == 3
    assert all(json.loads(line) for line in log.splitlines())
