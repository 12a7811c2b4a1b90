"""Every kind of message that Meta documents, in words, and whether somebody waits for an answer."""

import pytest

from f.whatsapp.contents import ANSWERED, read_content


def interactive(kind, **reply):
    return {"type": "interactive", "interactive": {"type": kind, kind: reply}}


FORM = '{"flow_token": "t", "stars": 4, "when": "tomorrow", "empty": "", "list": ["a"]}'
CARD = {
    "name": {"formatted_name": "Jo Weiß"},
    "org": {"company": "Rad AG"},
    "phones": [{"phone": "+49 30 1"}, {"wa_id": "4915"}],
    "emails": [{"email": "jo@example.org"}],
}
ITEM = {"product_retailer_id": "BIKE-7", "quantity": 2, "item_price": 799.5, "currency": "EUR"}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"type": "text", "text": {"body": "hi"}}, "hi"),
        ({"type": "image", "image": {"id": "1"}}, "[image]"),
        ({"type": "video", "video": {"caption": "look\n[here]"}}, "[video: look (here)]"),
        ({"type": "audio", "audio": {"voice": False}}, "[audio]"),
        ({"type": "audio", "audio": {"voice": True}}, "[voice message]"),
        ({"type": "document", "document": {"filename": "a.pdf", "caption": "mine"}}, '[document "a.pdf": mine]'),
        ({"type": "sticker", "sticker": {"animated": True}}, "[sticker]"),
        ({"type": "location", "location": {"latitude": 1.5, "longitude": 2}}, "[location: 1.5, 2]"),
        ({"type": "location", "location": {}}, "[location]"),
        ({"type": "contacts", "contacts": [CARD]}, "[contact: Jo Weiß, Rad AG, +49 30 1, 4915, jo@example.org]"),
        ({"type": "contacts", "contacts": [CARD, {"name": {"first_name": "B"}}, 7]}, None),
        ({"type": "contacts", "contacts": {}}, "[contact]"),
        ({"type": "button", "button": {"payload": "P"}}, "P"),
        (interactive("button_reply", id="b", title="Cancel"), "Cancel"),
        (interactive("button_reply", id="b"), "b"),
        (interactive("list_reply", id="l", title="Express", description="1 day"), "Express (1 day)"),
        (interactive("nfm_reply", response_json=FORM), '[filled in a form: stars: 4; when: tomorrow; list: ("a")]'),
        (interactive("nfm_reply", response_json="no json", body="Sent"), "[filled in a form]"),
        ({"type": "order", "order": {"product_items": [ITEM]}}, "[order: 2 × BIKE-7 at 799.5 EUR; 1599.0 EUR in all]"),
        ({"type": "order", "order": {"product_items": [ITEM, {}], "text": "soon"}}, None),
        ({"type": "order", "order": {}}, "[order]"),
        ({"type": "request_welcome"}, "[opened the chat for the first time]"),
    ],
)
def test_what_is_answered(message, text):
    content = read_content(message)
    assert content.silence is None and content.is_message
    assert text is None or content.text == text


@pytest.mark.parametrize(
    ("message", "silence"),
    [
        ({"type": "reaction", "reaction": {"message_id": "m", "emoji": "👍"}}, "no answer to: reaction"),
        ({"type": "system", "system": {"type": "user_changed_number"}}, "no answer to: system (user_changed_number)"),
        ({"type": "revoke", "revoke": {"original_message_id": "m"}}, "no answer to: revoke"),
        ({"type": "edit", "edit": {"original_message_id": "m"}}, "no answer to: edit without content"),
        ({"type": "hologram", "hologram": {}}, "no answer to: hologram"),
        ({}, "no answer to: unknown"),
        ({"type": 7}, "no answer to: unknown"),
        (interactive("call_permission_reply", response="accept"), "no answer to: interactive (call_permission_reply)"),
        (interactive("hologram_reply"), "no answer to: interactive (hologram_reply)"),
        ({"type": "interactive", "errors": [{"code": 131000}]}, "no answer to: interactive without content"),
        ({"type": "text", "text": {"body": "hi"}, "group_id": "g"}, "message in a group"),
        (
            {"type": "unsupported", "unsupported": {"type": "poll"}, "errors": [{"code": 131051, "title": "Unknown"}]},
            "no answer to: unsupported (poll 131051 Unknown)",
        ),
    ],
)
def test_what_is_not_answered_has_a_reason(message, silence):
    assert read_content(message).silence == silence


@pytest.mark.parametrize("kind", [*sorted(ANSWERED), "reaction", "system", "unsupported", "revoke", "hologram"])
@pytest.mark.parametrize("content", [None, 7, "x", [], [7], {}, {"type": []}, {"body": {}, "product_items": 7}])
def test_a_content_of_another_shape_never_fails(kind, content):
    message = {"type": kind, kind: content, "context": content, "referral": content, "errors": content}
    assert read_content(message).text


def test_a_button_of_next_year_that_has_a_title_is_answered():
    content = read_content(interactive("poll_reply", title="Tuesday"))
    assert (content.text, content.silence) == ("Tuesday", None)


@pytest.mark.parametrize(
    ("message", "note"),
    [
        ({}, None),
        ({"context": {"forwarded": True}}, "[forwarded]"),
        ({"context": {"forwarded": True, "frequently_forwarded": True}}, "[forwarded many times]"),
        (
            {"context": {"id": "m", "referred_product": {"catalog_id": "c", "product_retailer_id": "B-7"}}},
            "[about the product B-7 of the catalogue]",
        ),
        (
            {"referral": {"source_type": "ad", "headline": "Chat [now]", "body": "Summer\nsale"}},
            "[came from an advertisement: Chat (now) - Summer sale]",
        ),
        ({"referral": {"source_type": "post", "source_url": "https://x.example"}}, "[came from a post]"),
    ],
)
def test_where_a_message_came_from(message, note):
    assert read_content({"type": "text", "text": {"body": "hi"}, **message}).note == note


def test_what_a_message_is_about():
    assert read_content({"type": "text", "text": {"body": "that"}, "context": {"id": "m"}}).reply_to == "m"
    assert read_content({"type": "reaction", "reaction": {"message_id": "m"}}).reply_to == "m"
    assert read_content({"type": "revoke", "revoke": {"original_message_id": "m"}}).reply_to == "m"


def test_an_edit_says_the_new_words():
    inner = {"type": "text", "text": {"body": "at ten"}, "context": {"id": "other"}}
    content = read_content({"type": "edit", "edit": {"original_message_id": "m", "message": inner}})
    assert content.text == "at ten" and content.note == "[corrects an earlier message]"
    assert (content.reply_to, content.silence) == ("m", None)
    image = {"type": "image", "image": {"caption": "new"}}
    assert read_content({"type": "edit", "edit": {"message": image}}).text == "[image: new]"


def test_what_belongs_into_no_history():
    for message in ({"type": "system"}, {"type": "revoke"}, {"type": "text", "group_id": "g"}):
        assert not read_content(message).is_message
