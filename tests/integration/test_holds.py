"""A number that may not send, and an API that says "later": replies wait, and nothing is lost or sent twice."""

import pytest
from fakes import error, html
from steps import DENTAL

from f.ops import sweep
from f.whatsapp.send_reply import QUICK_ATTEMPTS, SendLater, pause_after
from u.admin import release_number

DENIED = error(190, 401)


def write(platform, wa_id: str, text: str = "when are you open?") -> dict:
    return platform.load(platform.delivery(text, contact={"wa_id": wa_id}, message={"from": wa_id}))


def answer(platform, loaded: dict) -> dict:
    platform.generate(loaded)
    return platform.send(loaded)


def minutes_pass(platform, minutes: int) -> None:
    passed = f"interval '{minutes} minutes'"
    platform.owner.execute(f"update webhook_events set stored_at = stored_at - {passed}")
    platform.owner.execute(f"update whatsapp_numbers set probe_at = probe_at - {passed}")
    platform.owner.execute(
        f"update conversations set resumed_at = resumed_at - {passed}, waits_until = waits_until - {passed}"
    )


def sweep_and_run(platform, windmill) -> int:
    """A sweep, and the runs that it starts; how many there were."""
    before = set(windmill.started)
    sweep.main(platform.database)
    new = [arguments for job_id, (_, arguments) in windmill.started.items() if job_id not in before]
    for arguments in new:
        loaded = platform.load(conversation=arguments["conversation"])
        if loaded["state"] == "working":
            answer(platform, loaded)
    return len(new)


def release(platform, windmill) -> dict:
    windmill.resources |= {"f/lib/database": platform.database, "f/admin/database": platform.manager}
    return release_number.main(DENTAL)


def number(platform) -> dict:
    (row,) = platform.rows(
        "select held_since is not null as held, held_reason, probes from whatsapp_numbers where phone_number_id = %s",
        DENTAL,
    )
    return row


def alerts(platform) -> list[tuple]:
    """Without what the sweep says of every message that waits for minutes: see test_ledger.py."""
    query = "select kind, subject, occurrences from system_alerts where resolved_at is null and kind <> %s"
    rows = platform.rows(query, "message_without_outcome")
    return [(row["kind"], row["subject"], row["occurrences"]) for row in rows]


# Held numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [190, 3, 10, 200, 299, 131005, 368, 131031, 131042, 131048, 133010])
def test_what_an_operator_must_see_to_holds_the_number(platform, code):
    platform.whatsapp.reactions = [error(code)]
    loaded = write(platform, "4470")
    assert answer(platform, loaded)["state"] == "waiting"
    assert number(platform)["held"] and "OAuthException" in number(platform)["held_reason"]
    assert platform.outcomes() == [(None, None)]
    assert platform.rows("select state from outbox") == [{"state": "pending"}]
    assert platform.rows("select lease_holder from conversations") == [{"lease_holder": None}]
    assert alerts(platform) == [("number_needs_operator", DENTAL, 1)]


def test_while_a_number_is_held_nothing_is_tried_and_nobody_told_again(platform, windmill):
    platform.whatsapp.reactions = [DENIED]
    answer(platform, write(platform, "4470"))
    under_way = platform.rows("select count(*) as n from turns")
    assert write(platform, "4471") == {"state": "waiting", "reason": "the number is held"}
    assert write(platform, "4470", "hello?")["state"] == "waiting"
    platform.owner.execute("update webhook_events set stored_at = stored_at - interval '40 seconds'")
    assert sweep_and_run(platform, windmill) == 0
    assert platform.whatsapp.sent == [] and platform.rows("select count(*) as n from turns") == under_way
    assert alerts(platform) == [("number_needs_operator", DENTAL, 1)]
    bicis = {"phone_number_id": "100000000000001", "waba_id": "200000000000001"}
    loaded = platform.load(platform.delivery("hola", **bicis))
    assert answer(platform, loaded)["delivery"] == "sent", "other numbers go on"


def test_a_reply_that_was_under_way_when_the_number_was_held_waits_with_it(platform):
    platform.whatsapp.reactions = [DENIED]
    first, second = write(platform, "4470"), write(platform, "4471")
    answer(platform, first)
    assert answer(platform, second) == {"state": "waiting", "reason": "the number is held"}
    assert platform.rows("select state, attempts from outbox order by attempts") == [
        {"state": "pending", "attempts": 0},
        {"state": "pending", "attempts": 1},
    ]


def test_an_operator_releases_the_number_and_all_that_waited_is_answered(platform, windmill):
    platform.whatsapp.reactions = [DENIED]
    answer(platform, write(platform, "4470"))
    for wa_id in ("4471", "4471", "4472"):
        write(platform, wa_id)
    assert release(platform, windmill) == {"state": "released", "waiting_conversations": 3}
    assert release(platform, windmill) == {"state": "not held", "waiting_conversations": 3}
    assert alerts(platform) == []
    platform.owner.execute("update webhook_events set stored_at = stored_at - interval '40 seconds'")
    assert sweep_and_run(platform, windmill) == 3
    assert sorted(outcome for outcome, _ in platform.outcomes()) == ["answered", "answered", "answered", "merged"]
    assert sorted(sent["to"] for sent in platform.whatsapp.sent) == ["+4470", "+4471", "+4472"]
    with pytest.raises(release_number.NotFound):
        release_number.main("1")


def test_one_reply_tries_after_growing_pauses_until_one_gets_through(platform, windmill):
    platform.whatsapp.reactions = [DENIED] * 4
    answer(platform, write(platform, "4470"))
    for wa_id in ("4471", "4472", "4473"):
        write(platform, wa_id)
    tried = []
    for _ in range(20):
        minutes_pass(platform, 1)
        left = len(platform.whatsapp.reactions)
        sweep_and_run(platform, windmill)
        tried.append(left - len(platform.whatsapp.reactions))
        if platform.whatsapp.sent:
            break
    assert [minute for minute, n in enumerate(tried, 1) if n] == [1, 3, 7], "after 1, 2 and 4 minutes"
    assert len(tried) == 15, "and after 8 more it got through"
    assert not number(platform)["held"] and alerts(platform) == []
    minutes_pass(platform, 1)
    sweep_and_run(platform, windmill)
    assert len(platform.whatsapp.sent) == 4 and {outcome for outcome, _ in platform.outcomes()} == {"answered"}


def test_a_probe_that_tells_nothing_of_the_number_leaves_it_held(platform, windmill):
    platform.whatsapp.reactions = [DENIED, html(502)]
    answer(platform, write(platform, "4470"))
    minutes_pass(platform, 1)
    sweep_and_run(platform, windmill)
    assert platform.outcomes() == [("answered", "delivery: uncertain")]
    assert number(platform)["held"]


def test_a_refusal_that_is_only_about_one_person_says_that_the_number_works(platform, windmill):
    platform.whatsapp.reactions = [DENIED, error(131026)]
    answer(platform, write(platform, "4470"))
    minutes_pass(platform, 1)
    sweep_and_run(platform, windmill)
    assert platform.outcomes()[0][0] == "failed" and not number(platform)["held"]


def test_what_waited_for_a_day_fails_with_an_alert(platform, windmill):
    platform.whatsapp.reactions = [DENIED]
    answer(platform, write(platform, "4470"))
    write(platform, "4471")
    minutes_pass(platform, 24 * 60 + 1)
    platform.owner.execute("update whatsapp_numbers set probe_at = now() + interval '1 hour'")
    assert sweep_and_run(platform, windmill) == 2
    assert [outcome for outcome, _ in platform.outcomes()] == ["failed", "failed"]
    assert all("24 hours" in reason for _, reason in platform.outcomes())
    assert platform.whatsapp.sent == []
    assert sorted(kind for kind, _, _ in alerts(platform)) == ["number_needs_operator", "reply_failed", "reply_failed"]


def test_a_status_may_be_what_tells_that_the_number_must_not_send(platform):
    """Meta takes the message and finds later that the account has no way to pay."""
    platform.converse("hi")
    wamid = platform.rows("select wamid from outbox")[0]["wamid"]
    for _ in range(2):
        platform.status("failed", id=wamid, errors=[{"code": 131042, "title": "Payment issue"}])
    assert number(platform) == {"held": True, "held_reason": "Payment issue", "probes": 1}
    assert sorted(alerts(platform)) == [
        ("number_needs_operator", DENTAL, 1),
        ("reply_not_delivered", str(platform.rows("select id from outbox")[0]["id"]), 1),
    ]


# Later ------------------------------------------------------------------------------------------


def fail_quickly(platform, loaded: dict) -> None:
    """What the flow's own retries do."""
    platform.generate(loaded)
    for _ in range(QUICK_ATTEMPTS - 1):
        with pytest.raises(SendLater):
            platform.send(loaded)


def test_pauses_grow_up_to_half_an_hour():
    pauses = [pause_after(attempts) for attempts in range(QUICK_ATTEMPTS, QUICK_ATTEMPTS + 9)]
    assert pauses == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]


def test_what_whatsapp_does_not_take_now_waits_without_failing(platform, windmill):
    platform.whatsapp.reactions = [error(130429, 429)] * (QUICK_ATTEMPTS + 1)
    loaded = write(platform, "4470")
    fail_quickly(platform, loaded)
    assert platform.send(loaded)["state"] == "waiting"
    assert write(platform, "4470", "hello?") == {"state": "waiting", "reason": "WhatsApp said later"}
    assert sweep_and_run(platform, windmill) == 0
    minutes_pass(platform, 1)
    assert sweep_and_run(platform, windmill) == 1, "refused once more: a longer pause"
    platform.owner.execute("update conversations set resumed_at = null")
    assert sweep_and_run(platform, windmill) == 0
    minutes_pass(platform, 2)
    assert sweep_and_run(platform, windmill) == 1
    assert platform.outcomes()[0] == ("answered", "delivery: sent") and len(platform.whatsapp.sent) == 1
    assert alerts(platform) == []


@pytest.mark.parametrize("is_generated", [True, False])
def test_what_waits_is_the_owners_once_they_have_written(platform, windmill, is_generated):
    """And the bot does not come back to it hours later, when it has the conversation again."""
    platform.whatsapp.reactions = [DENIED]
    answer(platform, write(platform, "4470"))
    if not is_generated:
        write(platform, "4471")
    wa_id = "4470" if is_generated else "4471"
    platform.echo("all done", to=wa_id)
    state = platform.rows(
        "select v.mode, e.outcome from conversations v join webhook_events e on e.conversation_id = v.id"
        " join contacts k on k.id = v.contact_id where k.wa_id = %s",
        wa_id,
    )
    assert state == [{"mode": "person", "outcome": "handed_over"}]
    platform.owner.execute("update conversations set mode = 'bot'")
    release(platform, windmill)
    minutes_pass(platform, 2)
    sweep_and_run(platform, windmill)
    assert wa_id not in "".join(sent["to"] for sent in platform.whatsapp.sent)
    assert answer(platform, write(platform, wa_id, "prices?"))["delivery"] == "sent"


def test_a_send_is_given_up_a_day_after_the_customers_last_message(platform, windmill):
    platform.whatsapp.reactions = [error(131016, 503)] * (QUICK_ATTEMPTS + 100)
    loaded = write(platform, "4470")
    fail_quickly(platform, loaded)
    platform.send(loaded)
    for _ in range(30):
        minutes_pass(platform, 30)
        sweep_and_run(platform, windmill)
    assert platform.outcomes() == [(None, None)]
    write(platform, "4470", "anybody there?")
    for _ in range(40):
        minutes_pass(platform, 30)
        sweep_and_run(platform, windmill)
    assert platform.outcomes() == [(None, None)] * 2, "the last message is not a day old"
    for _ in range(12):
        minutes_pass(platform, 30)
        sweep_and_run(platform, windmill)
    assert [outcome for outcome, _ in platform.outcomes()] == ["failed", "failed"]
    assert "reply_failed" in platform.alerts() and platform.whatsapp.sent == []
