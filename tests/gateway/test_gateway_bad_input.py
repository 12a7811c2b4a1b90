"""What is wrong in a request, each with its answer, and nothing of it queued."""

import json
import socket
import time

import pytest
from gateway_fakes import FakeWindmill, GatewayProcess, signed, text_messages

BODY = json.dumps(text_messages("hello")).encode()
LIMIT = 4 * 1024 * 1024
GOOD = signed(BODY)["X-Hub-Signature-256"]


@pytest.mark.parametrize(
    "header",
    [
        "sha256=" + "0" * 64,
        signed(BODY, "another secret")["X-Hub-Signature-256"],
        signed(BODY + b" ")["X-Hub-Signature-256"],
        GOOD[:-1],
        GOOD[:40],
        GOOD + "0",
        GOOD.removeprefix("sha256="),
        GOOD.replace("sha256", "sha1"),
        "",
    ],
)
def test_a_wrong_signature_is_401(gateway: GatewayProcess, windmill: FakeWindmill, header: str) -> None:
    response = gateway.deliver(BODY, **{"X-Hub-Signature-256": header})
    assert (response.status_code, response.json()["error"]["code"]) == (401, "bad_signature")
    assert not windmill.calls


def test_a_missing_signature_is_401_whatever_the_old_header_says(
    gateway: GatewayProcess, windmill: FakeWindmill
) -> None:
    assert gateway.client.post("/webhook", content=BODY).status_code == 401
    assert gateway.client.post("/webhook", content=BODY, headers={"X-Hub-Signature": GOOD}).status_code == 401
    assert not windmill.calls


def test_two_signatures_are_none(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    headers = [("X-Hub-Signature-256", "sha256=" + "0" * 64), ("X-Hub-Signature-256", GOOD)]
    assert gateway.client.post("/webhook", content=BODY, headers=headers).status_code == 401


def test_a_body_cut_short_does_not_verify(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    assert gateway.deliver(BODY[:-10], **signed(BODY)).status_code == 401
    assert not windmill.calls


def test_a_body_that_ends_with_its_connection_is_not_used(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    truncated = 'gateway_deliveries_total{result="body_truncated"}'
    before = gateway.metric(truncated)
    with connect(gateway) as connection:
        connection.sendall(head(f"Content-Length: {len(BODY) + 10}") + BODY)
        time.sleep(0.1)
    time.sleep(0.1)
    assert gateway.metric(truncated) == before + 1
    assert not windmill.calls


def test_a_body_that_never_ends_is_given_up(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    with connect(gateway) as connection:
        connection.sendall(head(f"Content-Length: {len(BODY) + 10}") + BODY)
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
    assert not windmill.calls


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        BODY[:-10],
        b"null",
        b"[]",
        b"{}",
        b'{"object":"whatsapp_business_account","entry":7}',
        b'{"object":"whatsapp_business_account","entry":["\xff\xfe"]}',
        b'{"object":"whatsapp_business_account","entry":["\x00"]}',
        b"[" * 200_000,
        b'{"object":"whatsapp_business_account","entry":' + b"[" * 9_000 + b"]" * 9_000 + b"}",
        b'{"object":"whatsapp_business_account","entry":[' + b"9" * 100_000 + b"]}",
    ],
    ids=lambda body: repr(body[:50]),
)
def test_signed_but_malformed_is_400(gateway: GatewayProcess, windmill: FakeWindmill, body: bytes) -> None:
    response = gateway.deliver(body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed")
    assert not windmill.calls


def test_odd_parts_are_stored_and_do_not_hold_up_the_rest(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    delivery = text_messages("hello \x00 \ud800")
    delivery["entry"] += [7, {"id": "1", "changes": [None, {"field": "new", "value": 10**300}]}]
    delivery["entry"][0]["changes"][0]["value"]["messages"].append({"no": "id"})
    assert gateway.deliver(delivery).status_code == 200
    assert windmill.messages[0]["message"]["text"]["body"] == "hello \x00 \ud800"
    assert [item["field"] for item in windmill.stored("events")] == ["messages", "unreadable", "unreadable", "new"]


def test_a_body_of_4_mib_is_read_and_one_byte_more_is_413(gateway: GatewayProcess, windmill: FakeWindmill) -> None:
    assert gateway.deliver(BODY.ljust(LIMIT)).status_code == 200
    response = gateway.deliver(BODY.ljust(LIMIT + 1))
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert gateway.client.post("/webhook", content=BODY.ljust(LIMIT + 1)).status_code == 413
    assert len(windmill.calls) == 1


def test_a_chunked_body_is_measured_while_it_arrives(gateway: GatewayProcess) -> None:
    fits, too_large = BODY.ljust(LIMIT), BODY.ljust(LIMIT + 1)
    for body, status in ((fits, 200), (too_large, 413)):
        chunks = (body[at : at + 65536] for at in range(0, len(body), 65536))
        assert gateway.client.post("/webhook", content=chunks, headers=signed(body)).status_code == status


def test_an_endless_body_is_not_read_on(gateway: GatewayProcess) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with connect(gateway) as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        for _ in range(LIMIT // 65536 + 1):
            connection.sendall(chunk)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
        with pytest.raises(ConnectionError):
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                connection.sendall(chunk)


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "٣", "9" * 30, "5, 6"])
def test_a_nonsensical_length_is_refused(gateway: GatewayProcess, windmill: FakeWindmill, length: str) -> None:
    with connect(gateway) as connection:
        connection.sendall(head(f"Content-Length: {length}") + BODY)
        assert connection.recv(100).split()[1] in (b"400", b"413")
    assert not windmill.calls


def test_a_declared_size_above_the_limit_is_refused_unread(gateway: GatewayProcess) -> None:
    with connect(gateway) as connection:
        connection.sendall(head(f"Content-Length: {10**12}"))
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def connect(gateway: GatewayProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=8)


def head(*lines: str) -> bytes:
    """The head of a delivery whose signature is of the right form."""
    fixed = ("POST /webhook HTTP/1.1", "Host: gateway", f"X-Hub-Signature-256: {GOOD}")
    return "".join(f"{line}\r\n" for line in (*fixed, *lines)).encode() + b"\r\n"
