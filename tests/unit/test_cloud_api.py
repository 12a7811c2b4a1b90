"""What an answer of WhatsApp means for the message: sent, not sent, or nobody knows."""

import json

import pytest
from pytest_httpserver import HTTPServer

from f.whatsapp.cloud_api import CloudApi, SendError, SendUncertain, read_answer, recipient


def error(code: int, message: str = "m") -> str:
    return json.dumps({"error": {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "x"}})


def test_sent():
    assert read_answer(200, json.dumps({"messages": [{"id": "wamid.A"}]})) == "wamid.A"


@pytest.mark.parametrize("code", [130429, 131056, 131016, 131057, 4, 80007, 131000, 1, 2])
def test_later(code):
    with pytest.raises(SendError) as raised:
        read_answer(400, error(code))
    assert raised.value.later


@pytest.mark.parametrize(
    ("code", "operator"), [(131026, False), (131047, False), (100, False), (190, True), (131031, True), (200, True)]
)
def test_never(code, operator):
    with pytest.raises(SendError) as raised:
        read_answer(400, error(code))
    assert not raised.value.later
    assert raised.value.needs_operator is operator


def test_an_unknown_error_of_metas_own_trouble_may_be_tried_again():
    with pytest.raises(SendError) as raised:
        read_answer(500, error(999999))
    assert raised.value.later


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, "<html>Bad gateway</html>"), (502, ""), (200, "<html>"), (200, "{}"), (200, '{"messages": []}'), (302, "")],
)
def test_nobody_knows(status, body):
    with pytest.raises(SendUncertain):
        read_answer(status, body)


def test_a_bare_4xx_was_not_sent():
    with pytest.raises(SendError) as raised:
        read_answer(413, "<html>too large</html>")
    assert not raised.value.later


def test_never_connected_is_not_sent_and_a_broken_connection_is_uncertain(httpserver: HTTPServer):
    with CloudApi({"base_url": "http://127.0.0.1:9"}, "1", "t") as api, pytest.raises(SendError) as raised:
        api.send_text({"wa_id": "34600"}, "hi", "id")
    assert raised.value.later


@pytest.mark.parametrize("base", ["", "/", "/v23.0", "/v23.0/"])
def test_what_is_sent(httpserver: HTTPServer, base):
    version = "v23.0" if "v23" in base else "v24.0"
    httpserver.expect_request(f"/{version}/77/messages", method="POST").respond_with_json({"messages": [{"id": "w"}]})
    api = CloudApi({"base_url": httpserver.url_for("").rstrip("/") + base, "version": "v24.0"}, "77", "secret")
    with api:
        assert api.send_text({"wa_id": "34600", "user_id": "ES.1"}, "hola", "outbox-1") == "w"
    request, _ = httpserver.log[0]
    assert request.headers["authorization"] == "Bearer secret"
    assert request.json == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+34600",
        "type": "text",
        "text": {"body": "hola", "preview_url": False},
        "biz_opaque_callback_data": "outbox-1",
    }


def test_a_person_without_a_number_is_reached_by_user_id():
    assert recipient({"wa_id": None, "user_id": "ES.1"}) == {"recipient": "ES.1"}
