"""Deliveries of every kind, taken apart as the gateway does it: each ends as something, and the model can read it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from steps import DENTAL

from gateway import split

SAMPLES = sorted((Path(__file__).parents[1] / "gateway" / "samples").glob("*.json"))
SECOND = 1_790_000_000


def deliver(platform, body: dict, times: int = 1) -> list[dict]:
    """Everything that a delivery becomes, run; what step 1 answered for each message."""
    data = json.dumps(body).encode()
    results = []
    for _ in range(times):
        origin = split.Origin("demo-app", split.digest(data), datetime.now(UTC))
        for run in split.runs(split.read(split.parse(data)), origin):
            if run.kind == "message":
                loaded = platform.load(json.dumps(run.delivery), str(run.job_id))
                results.append(loaded)
                if loaded["state"] == "working":
                    platform.generate(loaded)
                    platform.send(loaded)
            else:
                platform.store_events(run.kind, run.delivery["items"], body=run.delivery["body_sha256"])
    return results


def to_dental(body: dict) -> dict:
    """The same delivery for a number that we have."""
    for entry in body["entry"]:
        entry["id"] = "200000000000002"
        for change in entry["changes"]:
            if "metadata" in change["value"]:
                change["value"]["metadata"]["phone_number_id"] = DENTAL
    return body


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_stored_and_ends(platform, path):
    body = to_dental(json.loads(path.read_text()))
    deliver(platform, body, times=2)
    values = [change["value"] for entry in body["entry"] for change in entry["changes"]]
    fields = [change["field"] for entry in body["entry"] for change in entry["changes"]]
    messages = [m for value, field in zip(values, fields, strict=True) if field == "messages"
                for m in value.get("messages", [])]  # fmt: skip
    assert platform.rows("select * from unrouted_events") == []
    outcomes = platform.outcomes()
    assert len(outcomes) == len({message["id"] for message in messages})
    assert all(outcome in ("answered", "merged", "refused") and reason for outcome, reason in outcomes)
    assert outcomes or len(platform.rows("select * from account_events")) >= 1


def test_a_thousand_updates_in_one_delivery(platform):
    """Statuses of our messages and of others, in any order: each message is where the furthest says, and soon."""
    sent = [platform.converse("hi") and platform.rows("select wamid from outbox")[-1]["wamid"] for _ in range(5)]
    names = ("read", "sent", "delivered")
    statuses = [
        {"id": wamid, "status": names[n % 3], "timestamp": str(SECOND + n)} for n in range(150) for wamid in sent
    ]
    statuses += [{"id": f"wamid.{uuid4()}", "status": "sent", "timestamp": "1"} for _ in range(250)]
    items = [{"waba_id": "w", "phone_number_id": DENTAL, "status": status} for status in statuses]
    begin = datetime.now(UTC)
    counts = platform.store_events("statuses", items)
    seconds = (datetime.now(UTC) - begin).total_seconds()
    assert counts == {"applied": 750, "kept": 250, "unrouted": 0}
    assert platform.rows("select distinct delivery_status from outbox") == [{"delivery_status": "read"}]
    assert seconds < 5


def test_statuses_of_two_organisations_in_one_delivery(platform):
    platform.converse("hi")
    bicis = {"phone_number_id": "100000000000001", "waba_id": "200000000000001"}
    loaded = platform.load(platform.delivery("hola", **bicis))
    platform.generate(loaded)
    platform.send(loaded)
    rows = platform.rows(
        "select o.wamid, c.phone_number_id from outbox o join conversations c on c.id = conversation_id"
    )
    items = [
        {"phone_number_id": row["phone_number_id"], "status": {"id": row["wamid"], "status": "read", "timestamp": "1"}}
        for row in rows
    ]
    # What belongs to the other one is no message of theirs.
    items += [{**items[0], "phone_number_id": items[1]["phone_number_id"]}, {**items[0], "phone_number_id": "9"}]
    assert platform.store_events("statuses", items) == {"applied": 2, "kept": 1, "unrouted": 1}
    assert [row["delivery_status"] for row in platform.rows("select delivery_status from outbox")] == ["read", "read"]


# What the model reads ---------------------------------------------------------------------------


def read(platform, **message) -> str:
    """The last message, as the model reads it."""
    loaded = platform.load(platform.delivery(at=SECOND + 600, message={"text": None, **message}))
    return platform.exchange(loaded)[-1].content


def test_a_reply_shows_what_it_answers(platform):
    platform.converse("how much is a check-up?")
    (sent,) = platform.rows("select wamid, body from outbox")
    context = {"id": sent["wamid"]}
    text = read(platform, type="text", text={"body": "and for [my] child?"}, context=context)
    assert text == f'[about this earlier message: "{" ".join(sent["body"].split())}"]\nand for [my] child?'


def test_a_reply_to_what_we_do_not_have_is_itself(platform):
    assert read(platform, type="text", text={"body": "this one"}, context={"id": "wamid.unknown"}) == "this one"


def test_where_it_came_from_is_said_with_it(platform):
    referral = {"source_type": "ad", "headline": "White teeth"}
    text = read(platform, type="text", text={"body": "How?"}, referral=referral, context={"forwarded": True})
    assert text == "[forwarded] [came from an advertisement: White teeth]\nHow?"


def test_a_reaction_is_in_the_history_with_what_it_is_about(platform):
    platform.converse("how much is a check-up?")
    (sent,) = platform.rows("select wamid, body from outbox")
    for number, emoji in enumerate(({"emoji": "👍"}, {})):
        reaction = {"message_id": sent["wamid"], **emoji}
        platform.load(platform.delivery(at=4_000_000_000 + number, message={"type": "reaction", "reaction": reaction}))
    loaded = platform.load(platform.delivery("thanks", at=4_000_000_010))
    said = [m.content for m in platform.exchange(loaded)][-3:]
    about = f'[about this earlier message: "{" ".join(sent["body"].split())}"]'
    assert said == [f"{about}\n[reaction: 👍]", f"{about}\n[reaction: removed]", "thanks"]
    assert platform.outcomes()[1:3] == [("refused", "no answer to: reaction")] * 2


def test_an_edit_is_answered_with_the_message_that_it_corrects(platform):
    first = platform.load(platform.delivery("at nine?", wamid="wamid.1"))
    inner = {"type": "text", "text": {"body": "when are you open?"}}
    edit = {"type": "edit", "edit": {"original_message_id": "wamid.1", "message": inner}}
    platform.load(platform.delivery(at=SECOND + 5, message=edit))
    assert platform.exchange(first)[-1].content == (
        '[about this earlier message: "at nine?"]\n[corrects an earlier message]\nwhen are you open?'
    )
    platform.generate(first)
    platform.send(first)
    assert [outcome for outcome, _ in platform.outcomes()] == ["merged", "answered"]
    assert len(platform.whatsapp.sent) == 1 and "8:30" in platform.whatsapp.texts[0]


def test_a_message_that_is_deleted_before_it_was_answered_is_not_answered(platform):
    loaded = platform.load(platform.delivery("my secret", wamid="wamid.1"))
    revoke = {"type": "revoke", "revoke": {"original_message_id": "wamid.1"}}
    assert platform.load(platform.delivery(message=revoke))["state"] == "settled"
    assert platform.generate(loaded) == {"state": "nothing waits"}
    assert platform.send(loaded)["delivery"] == "none"
    assert platform.outcomes() == [("refused", "deleted by its author"), ("refused", "no answer to: revoke")]
    assert platform.whatsapp.sent == []
    exchange = platform.exchange(platform.load(platform.delivery("hi", at=SECOND + 60)))
    assert [m.content for m in exchange[1:]] == ["[deleted by its author]", "hi"]


def test_one_person_cannot_delete_what_another_one_wrote(platform):
    platform.load(platform.delivery("mine", wamid="wamid.1"))
    revoke = {"from": "4470", "type": "revoke", "revoke": {"original_message_id": "wamid.1"}}
    platform.load(platform.delivery(contact=None, message=revoke))
    assert platform.rows("select revoked_at from messages") == [{"revoked_at": None}]


def test_what_is_said_in_a_group_is_kept_out_of_the_conversation(platform):
    platform.converse("hi")
    assert platform.load(platform.delivery("hello all", message={"group_id": "g-1"}))["state"] == "settled"
    assert platform.outcomes()[-1] == ("refused", "message in a group")
    assert "hello all" not in [body for _, body in platform.said()]
    assert platform.rows("select payload -> 'text' ->> 'body' as b from webhook_events where payload ? 'group_id'") == [
        {"b": "hello all"}
    ]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("image", {"id": "1"}),
        ("audio", {"id": "1", "voice": True}),
        ("document", {"id": "1", "filename": "a.pdf"}),
        ("sticker", {"id": "1"}),
        ("video", {"id": "1"}),
    ],
)
@pytest.mark.parametrize(
    ("number", "begins"), [(DENTAL, "I am sorry, I cannot look"), ("100000000000001", "Lo siento, no puedo ver")]
)
def test_media_get_a_polite_answer_in_the_chatbots_language(platform, number, begins, kind, content):
    message = {"type": kind, kind: content, "text": None}
    loaded = platform.load(platform.delivery(phone_number_id=number, message=message))
    platform.generate(loaded)
    assert platform.send(loaded)["delivery"] == "sent"
    assert platform.whatsapp.texts[0].startswith(begins)


def test_a_kind_of_next_year_is_kept_and_not_answered(platform):
    loaded = platform.load(platform.delivery(message={"type": "hologram", "hologram": {"id": "h"}}))
    assert loaded["state"] == "settled" and loaded["reason"] == "no answer to: hologram"
    assert platform.said() == [("contact", "[hologram]")]
