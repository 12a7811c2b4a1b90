"""A person stays one contact with one history, whatever number or id Meta knows them by from now on."""

import pytest
from steps import DENTAL

from f.whatsapp.contacts import ContactBusy

SECOND = 1_790_000_000


def write(platform, text="hi", *, user_id=None, wa_id=None, at=SECOND, answered=True):
    contact = {key: value for key, value in (("user_id", user_id), ("wa_id", wa_id)) if value}
    message = {"from": wa_id, "from_user_id": user_id}
    loaded = platform.load(platform.delivery(text, contact=contact, message=message, at=at))
    if answered and loaded["state"] == "working":
        platform.generate(loaded)
        platform.send(loaded)
    return loaded


def system(platform, told, sender=None):
    message = {"from": sender, "type": "system", "system": told, "text": None}
    return platform.load(platform.delivery(contact=None, message=message))


def update(platform, previous, current, wa_id=None):
    change = {"wa_id": wa_id, "user_id": {"previous": previous, "current": current}, "timestamp": "1790000001"}
    return platform.update("user_id_update", user_id_update=[change])


def contacts(platform):
    rows = platform.rows("select user_id, wa_id from contacts where merged_into is null order by created_at")
    return [(row["user_id"], row["wa_id"]) for row in rows]


def conversations(platform):
    """How many conversations have something in them."""
    return platform.rows("select count(distinct conversation_id) as n from messages")[0]["n"]


NUMBER = {"type": "user_changed_number", "wa_id": "4471", "body": "User Ana changed from 4470 to 4471"}
USER_ID = {"type": "user_changed_user_id", "user_id": "GB.2", "body": "User Ana changed from GB.1 to GB.2"}


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({"wa_id": "4470"}, {"sender": "4470", **NUMBER}, {"wa_id": "4471"}),
        ({"wa_id": "4470"}, {"sender": "4470", "type": "customer_changed_number", "new_wa_id": "4471"},
         {"wa_id": "4471"}),
        ({"wa_id": "4470"}, {**NUMBER}, {"wa_id": "4471"}),
        ({"wa_id": "4470", "user_id": "GB.1"}, {"sender": "4470", **NUMBER, "user_id": "GB.2"},
         {"wa_id": "4471", "user_id": "GB.2"}),
        ({"wa_id": "4470", "user_id": "GB.1"}, {"sender": "4470", **NUMBER}, {"wa_id": "4471", "user_id": "GB.2"}),
        ({"user_id": "GB.1"}, {**USER_ID, "body": "new id", "previous_user_id": "GB.1"}, {"user_id": "GB.2"}),
        ({"user_id": "GB.1"}, {**USER_ID}, {"user_id": "GB.2"}),
        ({"user_id": "GB.1", "wa_id": "4470"}, {**USER_ID}, {"user_id": "GB.2", "wa_id": "4470"}),
    ],
)  # fmt: skip
def test_a_system_message_is_followed(platform, before, change, after):
    write(platform, **before)
    told = {key: value for key, value in change.items() if key != "sender"}
    assert system(platform, told, change.get("sender"))["state"] == "settled"
    write(platform, "it is me", **after, at=SECOND + 60)
    assert contacts(platform) == [(after.get("user_id"), after.get("wa_id"))]
    assert conversations(platform) == 1
    outcomes = [outcome for outcome, _ in platform.outcomes()]
    assert outcomes == ["answered", "refused", "answered"]
    assert platform.outcomes()[1][1] == f"no answer to: system ({told['type']})"


def test_a_message_that_names_both_ids_tells_that_two_are_one(platform):
    write(platform, wa_id="4470")
    write(platform, user_id="GB.1", at=SECOND + 1)
    assert contacts(platform) == [(None, "4470"), ("GB.1", None)]
    platform.rows("update conversations set mode = 'person' where contact_id ="
                  " (select id from contacts where wa_id = '4470') returning id")  # fmt: skip
    loaded = write(platform, "me again", user_id="GB.1", wa_id="4470", at=SECOND + 2, answered=False)
    assert loaded["state"] == "settled"  # a person has the conversation, whichever of the two it was
    assert contacts(platform) == [("GB.1", "4470")]
    assert conversations(platform) == 1
    query = "select d.messages from contact_days d join contacts c on c.id = d.contact_id where c.merged_into is null"
    assert platform.rows(query) == [{"messages": 2}]


def test_while_a_turn_of_the_other_is_under_way_two_stay_two(platform):
    write(platform, wa_id="4470", answered=False)
    write(platform, user_id="GB.1", at=SECOND + 1)
    write(platform, user_id="GB.1", wa_id="4470", at=SECOND + 2)
    assert contacts(platform) == [(None, "4470"), ("GB.1", None)]


def test_the_reply_goes_where_the_person_is_now(platform):
    write(platform, wa_id="4470", user_id="GB.1")
    system(platform, {**NUMBER, "user_id": "GB.2"}, "4470")
    write(platform, "it is me", wa_id="4471", user_id="GB.2", at=SECOND + 60)
    assert [sent["to"] for sent in platform.whatsapp.sent] == ["+4470", "+4471"]


def test_whoever_shows_no_number_any_more_is_answered_by_id(platform):
    """The number may be somebody else's by now."""
    write(platform, wa_id="4470", user_id="GB.1")
    update(platform, "GB.1", "GB.2")
    write(platform, "it is me", user_id="GB.2", at=SECOND + 60)
    assert "to" not in platform.whatsapp.sent[1] and platform.whatsapp.sent[1]["recipient"] == "GB.2"
    assert conversations(platform) == 1


def test_an_update_of_the_id_is_followed(platform):
    write(platform, user_id="GB.1")
    assert update(platform, "GB.1", "GB.2") == {"applied": 0, "kept": 1, "unrouted": 0}
    update(platform, "GB.1", "GB.2")
    write(platform, user_id="GB.2", at=SECOND + 60)
    assert contacts(platform) == [("GB.2", None)] and conversations(platform) == 1


def test_an_update_tells_the_number_of_a_person_who_had_none(platform):
    write(platform, wa_id="4470")
    update(platform, None, "GB.2", wa_id="4470")
    write(platform, user_id="GB.2", at=SECOND + 60)
    assert contacts(platform) == [("GB.2", "4470")] and conversations(platform) == 1


def test_a_change_that_comes_after_the_first_message_under_the_new_name(platform):
    """Meta's deliveries arrive in any order: what looked like two people was one."""
    write(platform, "first", user_id="GB.1", wa_id="4470")
    write(platform, "second", user_id="GB.2", wa_id="4471", at=SECOND + 60)
    assert conversations(platform) == 2
    system(platform, {**NUMBER, "user_id": "GB.2"}, "4470")
    assert contacts(platform) == [("GB.2", "4471")] and conversations(platform) == 1
    exchange = platform.exchange(write(platform, "third", user_id="GB.2", at=SECOND + 90, answered=False))
    assert [m.content for m in exchange if m.role == "user"] == ["first", "second", "third"]


def test_a_change_waits_for_a_turn_that_is_under_way(platform):
    write(platform, "first", user_id="GB.1")
    loaded = write(platform, "second", user_id="GB.2", at=SECOND + 60, answered=False)
    with pytest.raises(ContactBusy):
        update(platform, "GB.1", "GB.2")
    platform.generate(loaded)
    platform.send(loaded)
    update(platform, "GB.1", "GB.2")
    assert contacts(platform) == [("GB.2", None)] and conversations(platform) == 1
    assert [outcome for outcome, _ in platform.outcomes()] == ["answered", "answered"]


def test_a_hand_over_is_not_lost_when_two_become_one(platform):
    write(platform, "first", user_id="GB.1")
    platform.echo("hello", to=None, to_user_id="GB.2")
    update(platform, "GB.1", "GB.2")
    write(platform, "still there?", user_id="GB.2", at=SECOND + 90)
    assert platform.outcomes()[-1] == ("handed_over", "a person answers")


def test_a_change_of_somebody_unknown_is_kept(platform):
    update(platform, "GB.8", "GB.9")
    assert contacts(platform) == []
    assert system(platform, {**USER_ID, "body": "new"})["state"] == "settled"
    assert contacts(platform) == [("GB.2", None)]


@pytest.mark.parametrize(
    "change", [7, {}, {"user_id": 7}, {"user_id": {"previous": "a"}}, {"user_id": {"current": []}}]
)
def test_an_update_of_an_odd_shape_is_kept(platform, change):
    assert platform.update("user_id_update", user_id_update=[change])["kept"] == 1
    assert platform.update("user_id_update", user_id_update=change)["kept"] == 1


def test_a_number_that_did_not_change_is_left_alone(platform):
    write(platform, wa_id="4470")
    told = {"type": "customer_identity_changed", "customer": "4470", "identity": "x"}
    system(platform, told, "4470")
    assert contacts(platform) == [(None, "4470")]
    assert platform.rows("select count(*) as n from webhook_events where phone_number_id = %s", DENTAL) == [{"n": 2}]
