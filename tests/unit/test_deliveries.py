import json
from datetime import UTC, datetime

import pytest

from f.lib.texts import storable
from f.whatsapp.contents import describe
from f.whatsapp.deliveries import meta_time, parse_message


def envelope(**message) -> str:
    message = {"from": "34600111222", "id": "wamid.1", "timestamp": "1750000000", "type": "text", **message}
    return json.dumps(
        {
            "app_id": "app",
            "waba_id": "w",
            "phone_number_id": "p",
            "contact": {"wa_id": "34600111222", "user_id": "ES.1", "profile": {"name": "Ana"}},
            "message": message,
            "received_at": "2026-11-24T10:00:00+00:00",
            "position": 2,
            "limited": None,
        }
    )


def test_a_text_message():
    inbound = parse_message(envelope(text={"body": "¿Abrís hoy? 🚲"}))
    assert (inbound.wamid, inbound.wa_id, inbound.user_id, inbound.profile_name) == (
        "wamid.1",
        "34600111222",
        "ES.1",
        "Ana",
    )
    assert (inbound.kind, inbound.text, inbound.position) == ("text", "¿Abrís hoy? 🚲", 2)
    assert inbound.sent_at == datetime.fromtimestamp(1750000000, UTC)
    assert inbound.wants_answer


def test_a_person_without_a_phone_number():
    inbound = parse_message(json.dumps({**json.loads(envelope()), "contact": None, "message": {
        "id": "wamid.1", "from_user_id": "ES.9", "type": "text", "text": {"body": "hi"}}}))  # fmt: skip
    assert (inbound.user_id, inbound.wa_id) == ("ES.9", None)
    assert inbound.sent_at == inbound.received_at


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"type": "text", "text": {"body": " \n"}}, "[empty message]"),
        ({"type": "text", "text": "not an object"}, "[empty message]"),
        ({"type": "text"}, "[empty message]"),
        ({"type": "button", "button": {"text": "Yes", "payload": "y"}}, "Yes"),
        (
            {"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"title": "Whitening"}}},
            "Whitening",
        ),
        (
            {"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {"body": "Sent"}}},
            "[filled in a form]",
        ),
        ({"type": "reaction", "reaction": {"message_id": "m"}}, "[reaction: removed]"),
        (
            {"type": "location", "location": {"latitude": 1.5, "longitude": 2, "name": "Home"}},
            "[location: Home 1.5, 2]",
        ),
        ({"type": "image", "image": {"id": "1", "caption": "this one?"}}, "[image: this one?]"),
        ({"type": "audio", "audio": {"id": "1"}}, "[audio]"),
        ({"type": "hologram", "hologram": {}}, "[hologram]"),
        ({}, "[unknown]"),
    ],
)
def test_every_kind_becomes_words(message, text):
    assert describe(message.get("type") or "unknown", message) == text


@pytest.mark.parametrize("kind", ["reaction", "system", "unsupported"])
def test_kinds_that_ask_for_no_answer(kind):
    assert not parse_message(envelope(type=kind)).wants_answer


def test_what_postgresql_cannot_store_is_replaced():
    assert storable({"a\x00": ["b\x00c", 1, None, "\ud83d"]}) == {"a\ufffd": ["b\ufffdc", 1, None, "?"]}
    assert parse_message(envelope(text={"body": "a\x00b"})).text == "a\ufffdb"


@pytest.mark.parametrize("contact", [None, "Ana", [], {"profile": "Ana"}, {"profile": {"name": 7}, "wa_id": 7}])
def test_a_contact_of_another_shape_tells_nothing(contact):
    inbound = parse_message(json.dumps({**json.loads(envelope()), "contact": contact}))
    assert inbound.profile_name is None and inbound.text


@pytest.mark.parametrize("value", [None, "", "soon", "99999999999999999", [], {}])
def test_a_timestamp_that_is_none(value):
    assert meta_time(value) is None
