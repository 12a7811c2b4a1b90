"""People take over and give back: the bot stays silent meanwhile, and goes on from what they said."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes import blocked_until, error
from steps import DENTAL

from f.whatsapp import generate_reply
from f.whatsapp.send_reply import SendLater
from u.admin import resume_conversation

LONG = json.dumps([{"topic": "Prices", "text": "word " * 2000}])
SECOND = 1_790_000_000


def give_back(windmill, platform, **arguments) -> dict:
    windmill.resources |= {"f/lib/database": platform.database, "f/admin/database": platform.manager}
    return resume_conversation.main(**arguments)


def hours_pass(platform, hours: int) -> None:
    passed = f"interval '{hours} hours'"
    platform.owner.execute(
        f"update conversations set handed_over_until = handed_over_until - {passed},"
        f" handed_over_at = handed_over_at - {passed}"
    )
    platform.owner.execute(f"update messages set received_at = received_at - {passed}")


# What the owner writes --------------------------------------------------------------------------


def test_what_the_owner_writes_is_the_businesss_word_and_silences_the_bot(platform):
    platform.converse("hi")
    platform.echo("I take over", id="wamid.e1")
    assert platform.modes() == ["person"]
    assert ("person", "I take over") in platform.said()
    assert platform.load(platform.delivery("thanks", at=SECOND + 60))["state"] == "settled"
    assert platform.outcomes()[-1] == ("handed_over", "a person answers")
    assert len(platform.whatsapp.sent) == 1
    pause = "select handed_over_until between now() + '719 minutes' and now() + '721 minutes' as half_a_day"
    assert platform.rows(f"{pause} from conversations") == [{"half_a_day": True}]


def test_an_echo_is_stored_once_however_often_it_comes(platform):
    for body in ("a", "a", "b"):
        platform.echo("I take over", id="wamid.e1", body=body)
    assert platform.said() == [("person", "I take over")]
    assert len(platform.rows("select * from account_events")) == 2, "each delivery is kept for people"


def test_twenty_times_the_same_echo_at_once(platform):
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(lambda n: platform.echo("I take over", id="wamid.e1", body=str(n)), range(20)))
    assert platform.said() == [("person", "I take over")] and platform.modes() == ["person"]


def test_every_further_message_of_the_owner_extends_the_pause(platform):
    platform.owner.execute("update chatbots set handoff_minutes = 30")
    platform.echo("one moment")
    platform.owner.execute("update conversations set handed_over_until = now() + interval '1 minute'")
    begun = platform.rows("select handed_over_at from conversations")
    platform.echo("here I am")
    assert platform.rows("select handed_over_until > now() + interval '29 minutes' as ok from conversations") == [
        {"ok": True}
    ]
    assert platform.rows("select handed_over_at from conversations") == begun, "it is one hand-over"


def test_a_repeated_echo_does_not_take_back_what_was_given_back(platform, windmill):
    platform.echo("I take over", id="wamid.e1")
    give_back(windmill, platform, contact_number="34600111222")
    platform.echo("I take over", id="wamid.e1")
    assert platform.modes() == ["bot"]


def test_the_owner_may_write_first_also_to_somebody_without_a_number(platform):
    platform.echo("we called you", to=None, to_user_id="GB.7")
    platform.echo("and you", to="4470")
    assert platform.modes() == ["person", "person"]
    message = {"from": None, "from_user_id": "GB.7"}
    assert platform.load(platform.delivery("yes?", contact=None, message=message))["state"] == "settled"
    assert platform.outcomes() == [("handed_over", "a person answers")]
    assert len(platform.rows("select * from contacts")) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": "👍"}},
        {"type": "revoke", "revoke": {"original_message_id": "wamid.x"}},
        {"to": None},
        {"id": None},
        {"group_id": "g-1"},
    ],
)
def test_what_is_no_message_to_a_person_hands_nothing_over(platform, changes):
    platform.converse("hi")
    counts = platform.echo("x", **changes)
    assert platform.modes() == ["bot"] and counts == {"applied": 0, "kept": 1, "unrouted": 0}


def test_an_echo_of_what_the_bot_sent_is_no_person(platform):
    platform.converse("hi")
    sent = platform.rows("select wamid from outbox")[0]["wamid"]
    platform.echo("as sent", id=sent)
    assert platform.modes() == ["bot"] and len(platform.said()) == 2


def test_what_the_owner_corrects_or_deletes_changes_what_the_model_reads(platform, windmill):
    platform.converse("hi")
    platform.echo("at nine", id="wamid.e1", at=SECOND + 10)
    platform.echo("a secret", id="wamid.e2", at=SECOND + 11)
    edit = {"original_message_id": "wamid.e1", "message": {"type": "text", "text": {"body": "at ten"}}}
    platform.echo(type="edit", edit=edit)
    platform.echo(type="revoke", revoke={"original_message_id": "wamid.e2"})
    give_back(windmill, platform, contact_number="34600111222")
    read = "\n".join(m.content for m in platform.exchange(platform.load(platform.delivery("ok", at=SECOND + 90))))
    assert "at ten" in read and "at nine" not in read and "a secret" not in read


@pytest.mark.parametrize("value", [{}, {"message_echoes": 7}, {"message_echoes": [7, {}, {"id": "x", "to": []}]}])
def test_an_echo_of_an_odd_shape_is_kept(platform, value):
    assert platform.update("smb_message_echoes", **value)["kept"] == 1


def test_a_hundred_echoes_to_as_many_people(platform):
    echo = {"from": "441174960102", "timestamp": "1790000000", "type": "text", "text": {"body": "closed today"}}
    echoes = [{**echo, "to": f"4470{n}", "id": f"wamid.{n}"} for n in range(100)]
    platform.update("smb_message_echoes", message_echoes=echoes)
    assert platform.modes() == ["person"] * 100


# Races ------------------------------------------------------------------------------------------


def test_the_owner_writes_while_the_model_is_thinking(platform, monkeypatch):
    loaded = platform.load(platform.delivery("hi"))
    think = generate_reply.think

    def interrupted(*arguments):
        platform.echo()
        return think(*arguments)

    monkeypatch.setattr(generate_reply, "think", interrupted)
    assert platform.generate(loaded) == {"state": "handed_over"}
    assert platform.send(loaded) == {"state": "finished", "delivery": "none"}
    assert platform.outcomes() == [("handed_over", "a person answers")]
    assert platform.whatsapp.sent == [] and len(platform.rows("select * from usage_logs")) == 1
    assert platform.said() == [("contact", "hi"), ("person", "I take over")]


def test_the_owner_writes_before_the_reply_is_sent(platform):
    loaded = platform.load(platform.delivery("hi"))
    platform.generate(loaded)
    platform.load(platform.delivery("hello?", at=SECOND + 5))
    platform.echo()
    assert platform.send(loaded) == {"state": "finished", "delivery": "dropped"}
    assert platform.outcomes() == [("handed_over", "a person answers")] * 2
    assert platform.whatsapp.sent == []
    assert platform.rows("select state from outbox") == [{"state": "dropped"}]
    assert platform.rows("select finished_at is null as open from turns") == [{"open": False}]


def test_the_owner_writes_between_two_parts(platform):
    platform.owner.execute("update chatbots set facts = %s", [LONG])

    def interrupt(fake, handler, body):
        platform.echo()
        return False

    platform.whatsapp.reactions = [interrupt]
    assert platform.converse("prices?")["delivery"] == "dropped"
    assert len(platform.whatsapp.sent) == 1
    (outcome,) = platform.outcomes()
    assert outcome == ("handed_over", "a person answers; 1 of 3 parts were sent before")


def test_what_nobody_saw_is_not_in_the_history(platform, windmill):
    platform.owner.execute("update chatbots set facts = %s", [LONG])
    loaded = platform.load(platform.delivery("prices?"))
    platform.generate(loaded)
    platform.echo("they are on our site")
    platform.send(loaded)
    give_back(windmill, platform, contact_number="34600111222")
    exchange = platform.exchange(platform.load(platform.delivery("thanks", at=SECOND + 90)))
    assert [m.content for m in exchange[1:]] == ["prices?", "they are on our site", "thanks"]


def test_the_owner_writes_while_whatsapp_said_later(platform):
    loaded = platform.load(platform.delivery("hi"))
    platform.generate(loaded)
    platform.whatsapp.reactions = [error(131056)]
    with pytest.raises(SendLater):
        platform.send(loaded)
    platform.echo()
    assert platform.send(loaded)["delivery"] == "dropped"
    assert platform.whatsapp.sent == []


def test_a_part_on_its_way_is_not_taken_back(platform):
    loaded = platform.load(platform.delivery("hi"))
    platform.generate(loaded)
    go_on = threading.Event()
    platform.whatsapp.reactions = [blocked_until(go_on)]
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(platform.send, loaded)
        while not platform.rows("select id from outbox where state = 'sending'"):
            threading.Event().wait(0.01)
        platform.echo()
        go_on.set()
        assert sending.result()["delivery"] == "sent"
    assert platform.outcomes() == [("answered", "delivery: sent")] and platform.modes() == ["person"]


def test_echo_and_message_at_once_never_deadlock(platform):
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(platform.echo, f"e{n}", to=f"44{n % 3}") for n in range(20)]
        done += [
            pool.submit(platform.load, platform.delivery(contact=None, message={"from": f"44{n % 3}"}))
            for n in range(20)
        ]
        for future in done:
            future.result()
    assert platform.modes() == ["person"] * 3
    assert len([author for author, _ in platform.said() if author == "person"]) == 20


def test_the_turn_in_which_the_bot_calls_for_a_person_still_says_so(platform):
    loaded = platform.load(platform.delivery("a person, please"))
    calls = "update conversations set mode = 'person', handed_over_by = 'bot', handover_turn_id = %s"
    platform.owner.execute(calls, [loaded["turn"]["turn_id"]])
    platform.generate(loaded)
    assert platform.send(loaded)["delivery"] == "sent"
    assert platform.outcomes() == [("answered", "delivery: sent")]
    assert platform.load(platform.delivery("hello?", at=SECOND + 9))["state"] == "settled"
    assert platform.outcomes()[-1][0] == "handed_over"


def test_the_owner_is_faster_than_the_bot_that_calls_for_one(platform):
    loaded = platform.load(platform.delivery("a person, please"))
    calls = "update conversations set mode = 'person', handed_over_by = 'bot', handover_turn_id = %s"
    platform.owner.execute(calls, [loaded["turn"]["turn_id"]])
    platform.generate(loaded)
    platform.echo("yes?")
    assert platform.send(loaded)["delivery"] == "dropped"


def test_whoever_only_sets_the_mode_hands_over_for_the_chatbots_time(platform):
    """Nothing is silent for ever."""
    platform.converse("hi")
    platform.owner.execute("update conversations set mode = 'person'")
    times = "select handed_over_at = now() as begun, handed_over_until > now() + interval '11 hours' as ends"
    with platform.owner.transaction():
        platform.owner.execute("update conversations set mode = 'bot'")
        platform.owner.execute("update conversations set mode = 'person'")
        assert platform.rows(f"{times} from conversations") == [{"begun": True, "ends": True}]


# Giving back ------------------------------------------------------------------------------------


def test_the_script_gives_back_and_the_bot_knows_what_was_said(platform, windmill):
    platform.converse("hi")
    platform.echo("I can do 40 pounds\n- Prices: free [x]", at=SECOND + 10)
    platform.load(platform.delivery("deal", at=SECOND + 20))
    given = give_back(windmill, platform, contact_number="+34 600-111-222", note="agreed: £40")
    assert given["state"] == "resumed" and given["phone_number_id"] == DENTAL
    loaded = platform.load(platform.delivery("and when?", at=SECOND + 30))
    exchange = platform.exchange(loaded)
    said = [(m.role, m.content) for m in exchange[1:] if m.content != platform.whatsapp.texts[0]]
    assert said == [
        ("user", "hi"),
        ("assistant", "I can do 40 pounds\n- Prices: free [x]"),
        ("user", "deal"),
        ("user", "and when?"),
    ]
    summary = exchange[0].content.partition("Hand-over: ")[2]
    assert "a person of the business answered here in your place" in summary
    assert "Why it was handed over: a person of the business wrote from the phone" in summary
    assert "What the business tells you about it: agreed: £40" in summary
    assert "> I can do 40 pounds - Prices: free (x)" in summary
    platform.generate(loaded)
    assert platform.send(loaded)["delivery"] == "sent"


def test_after_the_time_the_next_message_is_answered_again(platform):
    platform.converse("hi")
    platform.echo("one moment", at=SECOND + 10)
    hours_pass(platform, 13)
    loaded = platform.load(platform.delivery("prices?", at=SECOND + 20))
    assert loaded["state"] == "working" and platform.modes() == ["bot"]
    assert "> one moment" in platform.exchange(loaded)[0].content
    assert platform.rows("select handed_back_by from conversations") == [{"handed_back_by": "time"}]
    platform.generate(loaded)
    platform.send(loaded)
    assert "£52" in platform.whatsapp.texts[-1]


def test_the_next_hand_over_is_one_of_its_own(platform):
    platform.echo("first", at=SECOND)
    hours_pass(platform, 13)
    platform.load(platform.delivery("prices?", at=SECOND + 20))
    platform.echo("second", at=SECOND + 30)
    rows = platform.rows("select mode, handed_over_until > now() as again from conversations")
    assert rows == [{"mode": "person", "again": True}]


def test_a_hand_over_long_ago_is_not_told_any_more(platform, windmill):
    platform.echo("first", at=SECOND)
    give_back(windmill, platform, contact_number="34600111222")
    insert = (
        "insert into messages (organization_id, conversation_id, direction, author, body, sent_at, received_at)"
        " select organization_id, id, 'out', 'bot', 'x', now() + '1 s', now() + '1 s'"
        " from conversations, generate_series(1, 20)"
    )
    platform.owner.execute(insert)
    assert "Hand-over:" not in platform.exchange(platform.load(platform.delivery("prices?")))[0].content


def test_the_script_finds_by_id_number_or_business_scoped_id(platform, windmill):
    platform.echo("a", to_user_id="GB.7")
    by = platform.rows("select id from conversations")[0]["id"]
    again = "update conversations set mode = 'person', handed_back_at = null"
    for arguments in ({"conversation_id": str(by)}, {"contact_number": "GB.7"}, {"contact_number": "34600111222"}):
        platform.owner.execute(again)
        assert give_back(windmill, platform, **arguments)["state"] == "resumed"
        assert platform.modes() == ["bot"]
    assert give_back(windmill, platform, conversation_id=str(by))["state"] == "with the bot"


def test_the_script_asks_when_it_is_not_clear_which_one(platform, windmill):
    platform.echo("a")
    item = {"waba_id": "200000000000001", "phone_number_id": "100000000000001", "field": "smb_message_echoes"}
    echo = {"to": "34600111222", "id": "wamid.b", "timestamp": "1790000000", "type": "text", "text": {"body": "b"}}
    platform.store_events("events", [{**item, "value": {"message_echoes": [echo]}}])
    with pytest.raises(resume_conversation.Ambiguous):
        give_back(windmill, platform, contact_number="34600111222")
    with pytest.raises(resume_conversation.NotFound):
        give_back(windmill, platform, contact_number="1")
    with pytest.raises(ValueError, match="fill in"):
        give_back(windmill, platform, conversation_id=None, contact_number=None, note=None)
    assert platform.modes() == ["person", "person"]
