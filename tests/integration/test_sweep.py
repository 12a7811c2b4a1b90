"""The sweep: whatever was killed, lost or left behind still gets its outcome, and nothing is sent twice."""

import json
from uuid import uuid4

import pytest
from fakes import lost_answer
from steps import DENTAL

from f.lib.ids import continuation_job_id, events_job_id, message_job_id, rerun_job_id
from f.ops import sweep

FLOW = "f/whatsapp/webhook_processor"
EVENTS = "f/whatsapp/store_events"
NOTHING = {"uncertain": 0, "resumed": 0, "released": 0, "rerun": 0, "overdue": 0}


def age(platform, seconds: int) -> None:
    """Let time pass for the conversation: its messages, its lease, what is being sent."""
    passed = f"interval '{seconds} seconds'"
    platform.owner.execute(f"update webhook_events set stored_at = stored_at - {passed}")
    platform.owner.execute(
        f"update conversations set lease_until = lease_until - {passed}, resumed_at = resumed_at - {passed}"
    )
    platform.owner.execute(f"update outbox set claimed_at = claimed_at - {passed}")


def run(platform, arguments: dict) -> None:
    """What Windmill does with a run of the flow that was started."""
    loaded = platform.load(arguments.get("delivery"), conversation=arguments.get("conversation"))
    if loaded["state"] == "working":
        platform.generate(loaded)
        platform.send(loaded)


def test_a_conversation_whose_run_was_killed_is_resumed_once(platform, windmill):
    killed = platform.load(platform.delivery("when are you open?"))
    age(platform, 30)
    assert sweep.main(platform.database) == NOTHING, "the lease is alive"
    age(platform, 31)
    assert sweep.main(platform.database) == NOTHING | {"resumed": 1}
    assert sweep.main(platform.database) == NOTHING, "just resumed"
    turn = killed["turn"]
    [(job_id, (path, arguments))] = windmill.started.items()
    assert path == f"f/{FLOW}"
    assert job_id == str(continuation_job_id(turn["conversation_id"], turn["fence"] + 1))
    assert platform.generate(killed) == {"state": "superseded"}
    run(platform, arguments)
    assert platform.outcomes() == [("answered", "delivery: sent")] and len(platform.whatsapp.sent) == 1


def test_a_run_that_was_started_but_never_ran_is_followed_by_another(platform, windmill):
    platform.load(platform.delivery())
    age(platform, 61)
    sweep.main(platform.database)
    age(platform, 61)
    assert sweep.main(platform.database)["resumed"] == 1
    assert len(windmill.started) == 2


def test_what_is_being_answered_or_was_answered_is_left_alone(platform, windmill):
    platform.converse("hi")
    age(platform, 3600)
    platform.load(platform.delivery("and parking?"))
    assert sweep.main(platform.database) == NOTHING
    assert windmill.started == {}


def test_a_send_whose_process_died_becomes_uncertain_and_the_turn_ends(platform, windmill):
    loaded = platform.load(platform.delivery())
    platform.generate(loaded)
    platform.owner.execute("update outbox set state = 'sending', claimed_at = now()")
    age(platform, 30)
    assert sweep.main(platform.database)["uncertain"] == 0
    age(platform, 31)
    assert sweep.main(platform.database) == NOTHING | {"uncertain": 1, "resumed": 1}
    [(_, arguments)] = windmill.started.values()
    run(platform, arguments)
    assert platform.outcomes() == [("answered", "delivery: uncertain")]
    assert platform.whatsapp.sent == [] and platform.alerts() == ["reply_uncertain"]


def test_a_run_that_failed_before_its_message_was_stored_is_repeated_ever_more_rarely(platform, windmill):
    delivery = platform.delivery("hi", wamid="wamid.lost")
    first = message_job_id(DENTAL, "wamid.lost")
    windmill.has_failed(FLOW, first, {"delivery": delivery}, minutes_ago=5)
    assert sweep.main(platform.database)["rerun"] == 1
    assert sweep.main(platform.database)["rerun"] == 0, "tried already, the next time is in a minute"
    [(job_id, (path, arguments))] = windmill.started.items()
    assert (path, job_id) == (f"f/{FLOW}", str(rerun_job_id(first, 1)))
    windmill.has_failed(FLOW, job_id, arguments)
    assert sweep.main(platform.database)["rerun"] == 0, "a repetition is not repeated itself"
    run(platform, arguments)
    assert platform.outcomes() == [("answered", "delivery: sent")]


def test_a_run_that_failed_after_its_message_was_stored_is_not_repeated(platform, windmill):
    delivery = platform.delivery("hi", wamid="wamid.kept")
    windmill.has_failed(FLOW, message_job_id(DENTAL, "wamid.kept"), {"delivery": delivery})
    windmill.has_failed(FLOW, uuid4(), {"conversation": {"organization_id": "o", "conversation_id": "c"}})
    platform.load(delivery)
    assert sweep.main(platform.database) == NOTHING


def test_more_failed_runs_than_a_page(platform, windmill):
    for number in range(130):
        wamid = f"wamid.{number}"
        windmill.has_failed(FLOW, message_job_id(DENTAL, wamid), {"delivery": platform.delivery(wamid=wamid)})
    assert sweep.main(platform.database)["rerun"] == 130


@pytest.mark.parametrize("delivery", ["no json", "[]", '{"message": "text", "received_at": "2026-11-24"}', 7])
@pytest.mark.parametrize("path", [FLOW, EVENTS])
def test_a_failed_run_that_cannot_be_read_is_an_alert_and_stops_no_other(platform, windmill, path, delivery):
    windmill.has_failed(path, uuid4(), {"delivery": delivery})
    lost = platform.delivery(wamid="wamid.lost")
    windmill.has_failed(FLOW, message_job_id(DENTAL, "wamid.lost"), {"delivery": lost})
    assert sweep.main(platform.database)["rerun"] == 1
    assert platform.alerts() == ["run_not_readable"]


def test_statuses_whose_run_failed_are_stored_after_all(platform, windmill):
    platform.whatsapp.reactions = [lost_answer]
    platform.converse("hi")
    part = platform.rows("select id from outbox")[0]
    status = {"status": "delivered", "id": "wamid.out", "biz_opaque_callback_data": str(part["id"])}
    envelope = {
        "app_id": "demo-app",
        "received_at": "2026-11-24T10:00:05+00:00",
        "kind": "statuses",
        "body_sha256": "b",
        "items": [{"waba_id": "w", "phone_number_id": DENTAL, "status": status}],
    }
    arguments = {"database": "$res:f/lib/database", "delivery": json.dumps(envelope)}
    first = events_job_id("statuses", "b")
    windmill.has_failed(EVENTS, first, arguments)
    assert sweep.main(platform.database)["rerun"] == 1
    assert windmill.started == {str(rerun_job_id(first, 1)): (f"p/{EVENTS}", arguments)}
    platform.store_events("statuses", envelope["items"], body="b")
    assert platform.rows("select state from outbox") == [{"state": "sent"}] and platform.alerts() == []


def test_statuses_are_not_repeated_once_a_repetition_succeeded(platform, windmill):
    envelope = {"app_id": "demo-app", "received_at": "2026-11-24T10:00:05+00:00", "kind": "statuses"}
    arguments = {"delivery": json.dumps({**envelope, "body_sha256": "b", "items": []})}
    first = events_job_id("statuses", "b")
    windmill.has_failed(EVENTS, first, arguments, minutes_ago=1)
    for attempt in (1, 2, 3):
        assert sweep.main(platform.database)["rerun"] == 1
        platform.owner.execute("update failed_runs set next_at = now()")
        assert str(rerun_job_id(first, attempt)) in windmill.started
    windmill.has_failed(EVENTS, rerun_job_id(first, 1), arguments)
    windmill.has_failed(EVENTS, rerun_job_id(first, 2), arguments)
    windmill.succeeded.add(str(rerun_job_id(first, 3)))
    for _ in range(3):
        assert sweep.main(platform.database)["rerun"] == 0
        platform.owner.execute("update failed_runs set next_at = now()")
    assert len(windmill.started) == 3 and set(windmill.looked_at) == {str(first)}


def test_a_failed_run_is_looked_at_when_it_is_due_and_never_again_once_that_is_settled(platform, windmill):
    delivery = platform.delivery("hi", wamid="wamid.kept")
    first = message_job_id(DENTAL, "wamid.kept")
    windmill.has_failed(FLOW, first, {"delivery": delivery}, minutes_ago=5)
    for _ in range(3):
        sweep.main(platform.database)
    assert windmill.looked_at == [str(first)], "the next time is in a minute"
    platform.load(delivery)
    for _ in range(3):
        platform.owner.execute("update failed_runs set next_at = now()")
        sweep.main(platform.database)
    assert windmill.looked_at == [str(first)] * 2
    assert platform.rows("select settled from failed_runs where job_id = %s", first) == [
        {"settled": "its message is stored"}
    ]


def test_one_sweep_takes_up_so_many_and_the_next_one_goes_on(platform, windmill, monkeypatch):
    monkeypatch.setattr(sweep, "MOST", 50)
    for number in range(120):
        wamid = f"wamid.{number}"
        windmill.has_failed(FLOW, message_job_id(DENTAL, wamid), {"delivery": platform.delivery(wamid=wamid)})
    assert [sweep.main(platform.database)["rerun"] for _ in range(4)] == [50, 50, 20, 0]
    assert len(windmill.looked_at) == 120


def test_a_run_is_given_up_after_a_day_with_an_alert(platform, windmill):
    delivery = platform.delivery(wamid="wamid.lost")
    windmill.has_failed(FLOW, message_job_id(DENTAL, "wamid.lost"), {"delivery": delivery}, minutes_ago=1441)
    assert sweep.main(platform.database) == NOTHING
    assert platform.alerts() == ["run_given_up"]


def test_looking_for_failed_runs_ends_where_all_are_known_and_old(platform, windmill):
    for number in range(230):
        windmill.has_failed(FLOW, uuid4(), {"conversation": {}}, minutes_ago=200 + number)
    sweep.main(platform.database)
    windmill.listed.clear()
    sweep.main(platform.database)
    assert windmill.listed.count(FLOW) == 1, "one page, although three are full"
