"""Limits: who is counted, and that nobody who verifies ever is."""

from collections.abc import Callable
from ipaddress import ip_network

import pytest
from gateway_fakes import FakeWindmill, GatewayProcess, text_messages

from gateway.throttle import client_key

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
FORGED = {"X-Hub-Signature-256": "sha256=" + "0" * 64}


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("1.2.3.4", [], "1.2.3.4"),
        ("1.2.3.4", ["5.6.7.8"], "1.2.3.4"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["5.6.7.8"], "5.6.7.8"),
        ("10.0.0.1", ["9.9.9.9, 5.6.7.8"], "5.6.7.8"),
        ("10.0.0.1", ["9.9.9.9, 5.6.7.8, 10.0.0.2"], "5.6.7.8"),
        ("10.0.0.1", ["9.9.9.9", "5.6.7.8", "10.0.0.2"], "5.6.7.8"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["5.6.7.8, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["::ffff:5.6.7.8"], "5.6.7.8"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("fd00::1", ["2001:db8:1:2::7"], "2001:db8:1:2::/64"),
        ("testclient", ["5.6.7.8"], "testclient"),
    ],
)
def test_the_client_is_the_last_hop_that_is_not_ours(peer: str, forwarded: list[str], client: str) -> None:
    assert client_key(peer, forwarded, TRUSTED) == client


def test_forged_deliveries_are_limited_and_verified_ones_are_not(
    windmill: FakeWindmill, start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway(GATEWAY_UNVERIFIED_LIMIT="3/minute")
    body = text_messages("hello")
    forged = [gateway.deliver(body, **FORGED) for _ in range(5)]
    assert [response.status_code for response in forged] == [401, 401, 401, 429, 429]
    assert forged[-1].headers["retry-after"] == "60"
    assert forged[-1].json()["error"]["code"] == "too_many_failures"

    assert gateway.deliver(body).status_code == 200
    assert len(windmill.messages) == 1
    windmill.fail(500)
    assert gateway.deliver(text_messages("again", prefix="wamid.X")).status_code == 503
    assert gateway.deliver(b"{").status_code == 400
    assert gateway.client.get("/health").status_code == 200

    unsigned = gateway.client.post("/webhook", content=b"{}")
    too_large = gateway.deliver(b" " * (4 * 1024 * 1024 + 1))
    token = gateway.client.get("/webhook", params={"hub.mode": "subscribe", "hub.verify_token": "guess"})
    assert [unsigned.status_code, too_large.status_code, token.status_code] == [429] * 3
    challenge = {"hub.mode": "subscribe", "hub.verify_token": "verify-me", "hub.challenge": "7"}
    assert gateway.client.get("/webhook", params=challenge).text == "7"


def test_a_stranger_cannot_choose_whom_the_limit_hits(
    windmill: FakeWindmill, start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway(GATEWAY_UNVERIFIED_LIMIT="1/minute")
    headers = [FORGED | {"X-Forwarded-For": f"5.6.7.{number}"} for number in (1, 2)]
    assert [gateway.deliver({}, **one).status_code for one in headers] == [401, 429]


def test_behind_a_trusted_proxy_each_client_has_its_own_limit(
    windmill: FakeWindmill, start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway(GATEWAY_UNVERIFIED_LIMIT="1/minute", TRUSTED_PROXIES="127.0.0.0/8")
    hops = ["5.6.7.8", "5.6.7.8", "9.9.9.9, 5.6.7.8", "5.6.7.9"]
    statuses = [gateway.deliver({}, **FORGED, **{"X-Forwarded-For": hop}).status_code for hop in hops]
    assert statuses == [401, 429, 429, 401]
