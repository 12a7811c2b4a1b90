"""A person says what became of a reply of which nobody knew."""

import json
from uuid import uuid4

import pytest
from fakes import error, lost_answer

from f.lib.http import ApiError
from u.admin import settle_reply
from u.admin.settle_reply import NotFound, NotSettled

SLUG = "harbour-dental"
LONG = json.dumps([{"topic": "Prices", "text": "word " * 2000}])


@pytest.fixture
def reply_id(platform):
    """Of a reply whose call was cut off after WhatsApp had taken it."""
    platform.whatsapp.reactions = [lost_answer]
    platform.converse("prices?")
    (row,) = platform.rows("select id, state from outbox")
    assert row["state"] == "uncertain" and platform.alerts() == ["reply_uncertain"]
    return str(row["id"])


def states(platform) -> list[str]:
    return [row["state"] for row in platform.rows("select state from outbox order by created_at, position")]


def run_started(platform, office) -> None:
    (run,) = office.started.values()
    loaded = platform.load(conversation=run[1]["conversation"])
    assert platform.generate(loaded) == {"state": "generated"}
    platform.send(loaded)


def test_it_was_sent(platform, office, reply_id):
    for _ in range(2):
        assert settle_reply.main(SLUG, reply_id, "sent") == {"state": "sent", "outcome": "answered"}
    assert states(platform) == ["sent"] and platform.alerts() == []
    assert platform.outcomes() == [("answered", "delivery: sent")] and office.started == {}
    first, second = platform.audit("settle_reply")
    assert first["old"] == {"state": "uncertain"} and first["target_id"] == reply_id and first["actor"] == "ada"
    assert second["old"] == {"state": "sent"}
    with pytest.raises(NotSettled, match="it is sent"):
        settle_reply.main(SLUG, reply_id, "failed")


def test_it_was_not_sent_and_is_left_so(platform, office, reply_id):
    assert settle_reply.main(SLUG, reply_id, "failed") == {"state": "failed", "outcome": "failed"}
    assert platform.outcomes() == [("failed", "not sent: a person says that it was not sent")]
    assert platform.alerts() == [] and office.started == {} and len(platform.whatsapp.sent) == 1
    with pytest.raises(NotSettled):
        settle_reply.main(SLUG, reply_id, "sent")


@pytest.mark.parametrize("at_once", [True, False])
def test_it_is_sent_again_by_choice_and_under_its_id(platform, office, reply_id, at_once):
    if not at_once:
        settle_reply.main(SLUG, reply_id, "failed")
    assert settle_reply.main(SLUG, reply_id, "failed", send_again=True) == {"state": "pending", "outcome": None}
    with pytest.raises(NotSettled):
        settle_reply.main(SLUG, reply_id, "failed", send_again=True)
    run_started(platform, office)
    first, second = platform.whatsapp.sent
    assert first["biz_opaque_callback_data"] == second["biz_opaque_callback_data"] == reply_id
    assert states(platform) == ["sent"] and platform.outcomes() == [("answered", "delivery: sent")]
    assert len(platform.rows("select * from turns")) == 1 and len(platform.rows("select * from usage_logs")) == 1


def test_a_status_of_the_first_one_keeps_the_second_from_going_out(platform, office, reply_id):
    settle_reply.main(SLUG, reply_id, "failed", send_again=True)
    platform.status("delivered", id="wamid.first", biz_opaque_callback_data=reply_id)
    run_started(platform, office)
    assert len(platform.whatsapp.sent) == 1 and states(platform) == ["sent"]
    assert platform.outcomes() == [("answered", "delivery: sent")]


def test_the_parts_after_it_are_sent_with_it(platform, office):
    platform.owner.execute("update chatbots set facts = %s", [LONG])
    platform.whatsapp.reactions = [error(131026)]
    platform.converse("prices?")
    assert states(platform) == ["failed"] * 3
    first = platform.rows("select id from outbox order by position")[0]["id"]
    settle_reply.main(SLUG, str(first), "failed", send_again=True)
    run_started(platform, office)
    assert states(platform) == ["sent"] * 3 and len(platform.whatsapp.sent) == 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("update webhook_events set stored_at = now() - interval '25 hours'", "24 hours"),
        ("update conversations set mode = 'person'", "a person has"),
        ("update conversations set erased_at = now()", "erased"),
        ("update conversations set lease_until = now() + interval '30 seconds'", "in a minute"),
        ("insert into turns (organization_id, conversation_id, fence, finished_at)"
         " select organization_id, id, 9, now() from conversations", "has gone on"),
    ],
)  # fmt: skip
def test_when_it_is_too_late_it_is_not_sent_again(platform, office, reply_id, change, why):
    platform.owner.execute(change)
    with pytest.raises(NotSettled, match=why):
        settle_reply.main(SLUG, reply_id, "failed", send_again=True)
    assert states(platform) == ["uncertain"] and platform.alerts() == ["reply_uncertain"] and office.started == {}


def test_what_whatsapp_took_and_could_not_deliver_is_not_sent_again(platform, office, reply_id):
    settle_reply.main(SLUG, reply_id, "failed")
    platform.status("failed", id="wamid.x", biz_opaque_callback_data=reply_id)
    with pytest.raises(NotSettled, match="could not deliver"):
        settle_reply.main(SLUG, reply_id, "failed", send_again=True)


def test_bad_input_changes_nothing(platform, office, reply_id):
    with pytest.raises(NotFound):
        settle_reply.main("bicis-ribera", reply_id, "sent")
    with pytest.raises(NotFound):
        settle_reply.main(SLUG, str(uuid4()), "sent")
    with pytest.raises(ApiError, match="UUID"):
        settle_reply.main(SLUG, "7", "sent")
    with pytest.raises(ApiError, match="no such organization"):
        settle_reply.main("nobody", reply_id, "sent")
    for arguments in (("perhaps", False), ("sent", True)):
        with pytest.raises(ValueError, match=r"outcome|send_again"):
            settle_reply.main(SLUG, reply_id, *arguments)
    assert states(platform) == ["uncertain"] and platform.audit("settle_reply") == []
