"""An operator takes a message up again; whatever happens, the customer gets one answer."""

import pytest
from fakes import error, lost_answer
from steps import DENTAL

from u.admin import replay_message
from u.admin.replay_message import NotFound, NotReplayed

SLUG = "harbour-dental"
NEW = "100000000000077"


def fail(platform, text: str = "prices?", wamid: str = "wamid.f") -> dict:
    """A message that WhatsApp refuses to have answered."""
    platform.whatsapp.reactions = [error(131026)]
    loaded = platform.load(platform.delivery(text, wamid=wamid))
    platform.generate(loaded)
    platform.send(loaded)
    assert platform.outcomes()[-1][0] == "failed"
    return loaded


def run_started(platform, office, before: int = 0) -> None:
    """What Windmill was told to run."""
    for _, arguments in list(office.started.values())[before:]:
        loaded = platform.load(conversation=arguments["conversation"])
        if loaded["state"] == "working":
            platform.generate(loaded)
            platform.send(loaded)


def test_a_failed_message_is_answered_once_however_often_it_is_replayed(platform, office):
    fail(platform)
    done = replay_message.main(SLUG, "wamid.f")
    assert (done["state"], done["messages"]) == ("started", 1)
    assert replay_message.main(SLUG, "wamid.f")["state"] == "waits already"
    run_started(platform, office)
    assert platform.outcomes() == [("answered", "delivery: sent")] and len(platform.whatsapp.sent) == 1
    assert platform.alerts() == []
    with pytest.raises(NotReplayed, match="second one"):
        replay_message.main(SLUG, "wamid.f")
    assert len(office.started) == 1 and len(platform.whatsapp.sent) == 1
    first = platform.audit("replay_message")[0]
    assert first["actor"] == "ada" and first["old"] == {"outcome": "failed"} and first["target"] == "message"


def test_the_number_in_the_ledger_does_as_well_and_what_belongs_together_is_answered_together(platform, office):
    platform.whatsapp.reactions = [error(131026)]
    platform.load(platform.delivery("prices?", at=1_790_000_000), job="00000000-0000-4000-8000-000000000001")
    loaded = platform.load(platform.delivery("and hours?", at=1_790_000_001))
    assert loaded["state"] == "busy"
    again = platform.rows("select id as conversation_id, organization_id, lease_holder from conversations")[0]
    loaded = platform.load(conversation={k: str(v) for k, v in again.items()}, job=str(again["lease_holder"]))
    platform.generate(loaded)
    platform.send(loaded)
    assert [outcome for outcome, _ in platform.outcomes()] == ["failed", "failed"]
    event = platform.rows("select min(id) as id from webhook_events")[0]["id"]
    assert replay_message.main(SLUG, str(event))["messages"] == 2
    run_started(platform, office)
    assert sorted(outcome for outcome, _ in platform.outcomes()) == ["answered", "merged"]
    assert len(platform.whatsapp.sent) == 1


def test_what_may_have_been_seen_is_answered_again_only_when_asked_to(platform, office):
    platform.whatsapp.reactions = [lost_answer]
    platform.converse("prices?")
    event = str(platform.rows("select id from webhook_events")[0]["id"])
    with pytest.raises(NotReplayed):
        replay_message.main(SLUG, event)
    assert replay_message.main(SLUG, event, again=True)["state"] == "started"
    run_started(platform, office)
    assert len(platform.whatsapp.sent) == 2 and platform.outcomes() == [("answered", "delivery: sent")]


def test_a_run_at_work_takes_up_what_is_replayed_meanwhile(platform, office):
    fail(platform)
    loaded = platform.load(platform.delivery("hello?", at=1_790_000_100))
    assert replay_message.main(SLUG, "wamid.f")["state"] == "started"
    assert office.started == {}, "no second run beside it"
    platform.generate(loaded)
    platform.send(loaded)
    assert [outcome for outcome, _ in platform.outcomes()] == ["merged", "answered"]
    assert len(platform.whatsapp.sent) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("update webhook_events set stored_at = now() - interval '25 hours'", "24 hours"),
        ("update conversations set mode = 'person'", "resume_conversation"),
        ("update chatbots set is_active = false", "not active"),
        ("update messages set revoked_at = now() where direction = 'in'", "nothing in it"),
        ("update conversations set erased_at = now()", "erased"),
    ],
)
def test_what_cannot_be_answered_is_left_as_it_is(platform, office, change, why):
    fail(platform)
    platform.owner.execute(change)
    with pytest.raises(NotReplayed, match=why):
        replay_message.main(SLUG, "wamid.f", again=True)
    assert platform.outcomes()[0][0] == "failed" and office.started == {}
    assert platform.audit("replay_message") == []


def test_a_reaction_wants_no_answer(platform, office):
    message = {"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": "👍"}}
    platform.load(platform.delivery(None, wamid="wamid.r", message=message))
    with pytest.raises(NotReplayed, match="no answer"):
        replay_message.main(SLUG, "wamid.r")


def test_what_a_quota_or_a_switched_off_chatbot_refused_is_answered_once_it_may_be(platform, office):
    platform.owner.execute("update chatbots set is_active = false")
    platform.load(platform.delivery("prices?", wamid="wamid.q"))
    assert platform.outcomes() == [("refused", "chatbot is not active")]
    platform.owner.execute("update chatbots set is_active = true")
    assert replay_message.main(SLUG, "wamid.q")["state"] == "started"
    run_started(platform, office)
    assert platform.outcomes() == [("answered", "delivery: sent")]


@pytest.mark.parametrize("message", ["wamid.f", "7", "999999999999999999999999"])
def test_another_organisations_message_is_not_known(platform, office, message):
    fail(platform)
    with pytest.raises(NotFound):
        replay_message.main("bicis-ribera", message)


@pytest.mark.parametrize("arguments", [{}, {"message": "wamid.f", "phone_number_id": DENTAL}])
def test_it_says_what_is_to_be_filled_in(platform, office, arguments):
    with pytest.raises(ValueError, match="fill in"):
        replay_message.main(**arguments)


def came_too_early(platform, *texts: str) -> None:
    for number, text in enumerate(texts):
        delivery = platform.delivery(text, wamid=f"wamid.{number}", at=1_790_000_000 + number, phone_number_id=NEW)
        assert platform.load(delivery)["state"] == "unrouted"
    platform.owner.execute("update unrouted_events set received_at = now() - interval '1 hour'")


def connect_number(platform, app_id: str = "demo-app") -> None:
    platform.owner.execute(
        "insert into whatsapp_numbers (phone_number_id, organization_id, chatbot_id, app_id, waba_id,"
        " display_phone_number, access_token_path) select %s, organization_id, chatbot_id, %s, waba_id, '+44',"
        " access_token_path from whatsapp_numbers where phone_number_id = %s",
        [NEW, app_id, DENTAL],
    )


def test_what_came_before_a_number_was_connected_is_answered_once_it_is(platform, office):
    came_too_early(platform, "prices?", "hours?")
    with pytest.raises(NotFound):
        replay_message.main(phone_number_id=NEW)
    connect_number(platform)
    done = replay_message.main(phone_number_id=NEW)
    assert (done["state"], done["messages"], done["more"]) == ("started", 2, False)
    assert replay_message.main(phone_number_id=NEW)["state"] == "nothing to replay"
    run_started(platform, office)
    assert sorted(outcome for outcome, _ in platform.outcomes()) == ["answered", "merged"]
    assert len(platform.whatsapp.sent) == 1 and platform.alerts() == []
    assert platform.rows("select * from unrouted_events") == [], "its words are in one place"


def test_what_another_app_has_signed_for_stays_where_it_is(platform, office):
    came_too_early(platform, "prices?")
    connect_number(platform, app_id="another-app")
    assert replay_message.main(phone_number_id=NEW)["state"] == "nothing to replay"
    assert len(platform.rows("select * from unrouted_events")) == 1


def test_what_has_waited_for_a_day_fails_with_an_alert(platform, office):
    came_too_early(platform, "prices?")
    platform.owner.execute("update unrouted_events set received_at = now() - interval '30 hours'")
    connect_number(platform)
    replay_message.main(phone_number_id=NEW)
    run_started(platform, office)
    assert platform.outcomes()[0][0] == "failed" and platform.alerts() == ["reply_failed"]
    assert platform.whatsapp.sent == []


def test_nothing_is_lost_when_windmill_does_not_take_the_run(platform, office):
    fail(platform)
    office.refusals["jobs/run/f/"] = 503
    with pytest.raises(Exception, match="503"):
        replay_message.main(SLUG, "wamid.f")
    assert platform.outcomes() == [(None, None)], "the sweep takes it up"
    stranded = "select * from stranded_conversations('20 seconds', 10)"
    platform.owner.execute("update conversations set resumed_at = resumed_at - interval '2 minutes'")
    platform.owner.execute("update webhook_events set stored_at = stored_at - interval '2 minutes'")
    assert len(platform.rows(stranded)) == 1
