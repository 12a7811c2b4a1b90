"""The three steps against a real PostgreSQL and a WhatsApp that can misbehave: every race and every ending."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from fakes import blocked_until, error, html, lost_answer
from steps import DENTAL

from f.whatsapp import generate_reply, load_context, record_failure, send_reply
from f.whatsapp.send_reply import SendInProgress, SendLater
from gateway import split

# One message ----------------------------------------------------------------------------------


def test_a_message_is_answered_once_with_history_usage_and_outcome(platform):
    assert platform.converse("when are you open?") == {"state": "finished", "delivery": "sent"}
    assert len(platform.whatsapp.sent) == 1 and "8:30" in platform.whatsapp.texts[0]
    assert platform.outcomes() == [("answered", "delivery: sent")]
    said = platform.rows("select direction, author, body from messages order by sent_at")
    assert [(m["direction"], m["author"]) for m in said] == [("in", "contact"), ("out", "bot")]
    usage = platform.rows("select model, prompt_tokens, completion_tokens from usage_logs")
    assert [row["model"] for row in usage] == ["demo"] and usage[0]["prompt_tokens"] > 100
    details = platform.rows("select * from turn_details")[0]
    assert details["model"] == "demo" and details["outbox"][0]["state"] == "sent" and details["duration_ms"] >= 0
    assert platform.whatsapp.read == [details["wamid"]]


def test_the_model_sees_what_was_said_before(platform):
    platform.converse("hello")
    loaded = platform.load(platform.delivery("and parking?", at=1_790_000_060))
    with generate_reply.connect(platform.database) as connection:
        context = generate_reply.read_context(connection, generate_reply.Turn.of(loaded["turn"]))
    assert [row["direction"] for row in context["history"]] == ["in", "out"]
    assert [row["body"] for row in context["waiting"]] == ["and parking?"]


def test_the_same_delivery_twenty_times_at_once_is_one_event_and_one_answer(platform):
    delivery = platform.delivery("hi", wamid="wamid.same")
    platform._monkeypatch.setenv("WM_FLOW_JOB_ID", str(uuid4()))
    with ThreadPoolExecutor(20) as pool:
        loaded = list(pool.map(lambda _: load_context.main(platform.database, delivery), range(20)))
    working = [result for result in loaded if result["state"] == "working"]
    assert len({json.dumps(result["turn"]) for result in working}) == 1
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(platform.generate, working))
    for result in working:
        platform.send(result)
    assert len(platform.whatsapp.sent) == 1
    assert platform.outcomes() == [("answered", "delivery: sent")]
    assert len(platform.rows("select * from usage_logs")) == 1


@pytest.mark.parametrize("text", ["x" * 5000, "", "🙂🙂", "a\x00b", "\ud83d", None, "$var:f/lib/database_password"])
def test_odd_texts_are_stored_and_answered(platform, text):
    assert platform.converse(text)["state"] == "finished"
    assert platform.outcomes() == [("answered", "delivery: sent")]
    assert len(platform.whatsapp.sent) == 1


def test_a_long_reply_goes_out_in_order(platform):
    long = [{"topic": "Prices", "text": "word " * 1200}]
    platform.rows("update chatbots set facts = %s where slug = 'harbour-dental' returning id", json.dumps(long))
    platform.converse("prices?")
    assert [len(text) <= 4096 for text in platform.whatsapp.texts] == [True, True]
    assert [row["position"] for row in platform.rows("select position from outbox order by settled_at")] == [0, 1]


# Who is it for ----------------------------------------------------------------------------------


def test_an_unknown_number_goes_to_the_operators(platform):
    loaded = platform.load(platform.delivery(phone_number_id="999"))
    assert loaded == {"state": "unrouted", "reason": "unknown number"}
    stored = platform.rows("select reason, phone_number_id, payload from unrouted_events")
    assert stored[0]["reason"] == "unknown number" and stored[0]["payload"]["text"]["body"] == "hi"
    assert platform.alerts() == ["message_unrouted"]
    assert platform.outcomes() == []


def test_a_message_of_nobody_goes_to_the_operators(platform):
    loaded = platform.load(platform.delivery(contact=None, message={"from": None}))
    assert loaded == {"state": "unrouted", "reason": "no sender"}
    assert platform.rows("select reason from unrouted_events") == [{"reason": "no sender"}]
    assert platform.alerts() == ["message_unrouted"]


def test_a_number_of_another_app_is_not_believed(platform):
    assert platform.load(platform.delivery(app_id="evil-app"))["reason"] == "signed by another app"
    assert platform.outcomes() == []


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"limited": "sender"}, ("refused", "limit: sender")),
        ({"message": {"type": "reaction", "reaction": {"emoji": "👍"}}}, ("refused", "no answer to: reaction")),
    ],
)
def test_messages_that_get_no_answer_have_an_outcome(platform, changes, outcome):
    assert platform.load(platform.delivery(**changes))["state"] == "settled"
    assert platform.outcomes() == [outcome]


def test_an_inactive_chatbot_refuses(platform):
    platform.rows("update chatbots set is_active = false where slug = 'harbour-dental' returning id")
    assert platform.load(platform.delivery())["state"] == "settled"
    assert platform.outcomes() == [("refused", "chatbot is not active")]


def test_while_a_person_answers_the_bot_stores_and_stays_silent(platform):
    platform.converse("hi")
    platform.rows("update conversations set mode = 'person' returning id")
    assert platform.load(platform.delivery("still there?"))["state"] == "settled"
    assert platform.outcomes()[1] == ("handed_over", "a person answers")
    assert len(platform.whatsapp.sent) == 1


def test_a_person_takes_over_between_the_steps(platform):
    loaded = platform.load(platform.delivery())
    platform.rows("update conversations set mode = 'person' returning id")
    assert platform.generate(loaded) == {"state": "handed_over"}
    assert platform.send(loaded) == {"state": "finished", "delivery": "none"}
    assert platform.outcomes() == [("handed_over", "a person answers")] and not platform.whatsapp.sent


def test_a_contact_without_a_phone_is_one_person_also_when_the_phone_is_learned(platform):
    bsuid = {"user_id": "GB.1", "profile": {"name": "Bo"}}
    platform.load(platform.delivery(contact=bsuid, message={"from": None, "from_user_id": "GB.1"}))
    both = {"user_id": "GB.1", "wa_id": "4470", "profile": {"name": "Bo"}}
    platform.load(platform.delivery(contact=both, message={"from": "4470", "from_user_id": "GB.1"}))
    platform.load(platform.delivery(contact={"wa_id": "4470"}, message={"from": "4470"}))
    assert [(c["user_id"], c["wa_id"]) for c in platform.rows("select * from contacts")] == [("GB.1", "4470")]


def test_an_id_that_belongs_to_another_contact_stops_no_message(platform):
    platform.load(platform.delivery(contact={"wa_id": "4470"}, message={"from": "4470"}))
    platform.load(platform.delivery(contact=None, message={"from": None, "from_user_id": "GB.1"}))
    platform.load(platform.delivery(contact=None, message={"from": "4470", "from_user_id": "GB.1"}))
    assert len(platform.outcomes()) == 3


def test_a_reply_goes_to_the_number_that_a_person_writes_from_now(platform):
    for wa_id in ("4470", "4471"):
        message = {"from": wa_id, "from_user_id": "GB.1"}
        loaded = platform.load(platform.delivery(contact={"user_id": "GB.1", "wa_id": wa_id}, message=message))
        platform.generate(loaded)
        platform.send(loaded)
    assert [message["to"] for message in platform.whatsapp.sent] == ["+4470", "+4471"]
    assert len(platform.rows("select * from conversations")) == 1


def test_whoever_gets_a_number_does_not_get_the_conversation_of_who_had_it(platform):
    for user_id in ("GB.1", "GB.2"):
        loaded = platform.load(platform.delivery(contact=None, message={"from": "4470", "from_user_id": user_id}))
        assert loaded["state"] == "working"
    contacts = platform.rows("select user_id, wa_id from contacts order by user_id")
    assert contacts == [{"user_id": "GB.1", "wa_id": None}, {"user_id": "GB.2", "wa_id": "4470"}]
    assert len(platform.rows("select * from conversations")) == 2


# Bursts, leases, fences -------------------------------------------------------------------------


def test_a_burst_gets_one_answer_that_has_seen_all_of_it(platform):
    loaded = [
        platform.load(platform.delivery(text, at=1_790_000_000 + i))
        for i, text in enumerate(("hi", "prices?", "parking?"))
    ]
    assert [result["state"] for result in loaded] == ["working", "busy", "busy"]
    platform.generate(loaded[0])
    platform.send(loaded[0])
    assert len(platform.whatsapp.sent) == 1
    assert "£52" in platform.whatsapp.texts[0] and "Quay Street" in platform.whatsapp.texts[0]
    assert [outcome for outcome, _ in platform.outcomes()] == ["merged", "merged", "answered"]


def test_what_arrives_after_the_model_was_called_is_the_next_turn(platform, monkeypatch):
    queued = []
    monkeypatch.setattr(send_reply, "continue_with", queued.append)
    first = platform.load(platform.delivery("hi"))
    platform.generate(first)
    assert platform.load(platform.delivery("prices?", at=1_790_000_009))["state"] == "busy"
    platform.send(first)
    assert [turn.conversation_id for turn in queued] == [first["turn"]["conversation_id"]]
    conversation = {key: first["turn"][key] for key in ("organization_id", "conversation_id")}
    second = platform.load(conversation=conversation)
    assert second["turn"]["fence"] == first["turn"]["fence"] + 1
    platform.generate(second)
    platform.send(second)
    assert "£52" in platform.whatsapp.texts[1]
    assert platform.load(conversation=conversation) == {"state": "idle"}


def test_a_release_whose_continuation_was_not_queued_is_repaired_by_the_steps_retry(platform, monkeypatch):
    first = platform.load(platform.delivery("hi"))
    platform.generate(first)
    platform.load(platform.delivery("prices?", at=1_790_000_009))

    def unreachable(turn):
        raise ConnectionError("Windmill is away")

    monkeypatch.setattr(send_reply, "continue_with", unreachable)
    with pytest.raises(ConnectionError):
        platform.send(first)
    queued = []
    monkeypatch.setattr(send_reply, "continue_with", queued.append)
    assert platform.send(first)["state"] == "superseded"
    assert len(queued) == 1 and len(platform.whatsapp.sent) == 1


def test_a_step_repeated_by_the_same_run_keeps_its_turn(platform):
    delivery, job = platform.delivery(), str(uuid4())
    first, again = platform.load(delivery, job), platform.load(delivery, job)
    assert first == again and first["state"] == "working"


def test_a_run_paused_past_its_lease_writes_nothing_any_more(platform):
    stale = platform.load(platform.delivery("hi"))
    platform.rows("update conversations set lease_until = now() - interval '1 second' returning id")
    fresh = platform.load(platform.delivery("prices?"))
    assert fresh["state"] == "working" and fresh["turn"]["turn_id"] == stale["turn"]["turn_id"]
    assert platform.generate(stale) == {"state": "superseded"}
    assert platform.send(stale)["state"] == "superseded"
    assert record_failure.main(platform.database, "X", "send_reply", stale["turn"]) == {"state": "superseded"}
    platform.generate(fresh)
    platform.send(fresh)
    assert len(platform.whatsapp.sent) == 1
    assert [outcome for outcome, _ in platform.outcomes()] == ["merged", "answered"]


def test_each_step_renews_the_lease(platform):
    """load_context's sleep may take a third of it, and a queue the rest."""
    nearly_over = "update conversations set lease_until = now() + interval '3 seconds' returning id"
    long = "select lease_until > now() + interval '50 seconds' as long from conversations"
    loaded = platform.load(platform.delivery())
    platform.rows(nearly_over)
    platform.generate(loaded)
    assert platform.rows(long) == [{"long": True}]
    platform.rows(nearly_over)
    platform.whatsapp.reactions = [error(131056)]
    with pytest.raises(SendLater):
        platform.send(loaded)
    assert platform.rows(long) == [{"long": True}]


def test_a_run_killed_after_generating_is_taken_over_and_its_reply_sent_once(platform):
    killed = platform.load(platform.delivery("hi"))
    platform.generate(killed)
    platform.rows("update conversations set lease_until = now() - interval '1 second' returning id")
    successor = platform.load(conversation={key: killed["turn"][key] for key in ("organization_id", "conversation_id")})
    assert platform.generate(successor) == {"state": "generated"}
    assert platform.send(successor)["delivery"] == "sent"
    assert len(platform.whatsapp.sent) == 1 and len(platform.rows("select * from usage_logs")) == 1


# Sending ----------------------------------------------------------------------------------------


def test_later_means_later(platform):
    loaded = platform.load(platform.delivery())
    platform.generate(loaded)
    platform.whatsapp.reactions = [error(131056), error(130429, 429)]
    for _ in range(2):
        with pytest.raises(SendLater):
            platform.send(loaded)
    assert platform.send(loaded)["delivery"] == "sent"
    assert len(platform.whatsapp.sent) == 1
    assert platform.rows("select attempts, state from outbox") == [{"attempts": 3, "state": "sent"}]


def test_an_answer_that_was_lost_is_never_sent_again(platform):
    loaded = platform.load(platform.delivery())
    platform.generate(loaded)
    platform.whatsapp.reactions = [lost_answer]
    assert platform.send(loaded)["delivery"] == "uncertain"
    assert platform.send(loaded)["state"] == "superseded"
    assert len(platform.whatsapp.sent) == 1
    assert platform.outcomes() == [("answered", "delivery: uncertain")]
    assert platform.alerts() == ["reply_uncertain"]


def test_a_proxys_error_page_is_uncertain(platform):
    platform.whatsapp.reactions = [html(502)]
    assert platform.converse("hi")["delivery"] == "uncertain"
    assert platform.whatsapp.sent == []


def test_a_refusal_fails_the_turn_with_an_alert(platform):
    platform.whatsapp.reactions = [error(131047)]
    assert platform.converse("hi")["delivery"] == "failed"
    assert platform.outcomes()[0][0] == "failed" and "OAuthException" in platform.outcomes()[0][1]
    assert platform.alerts() == ["reply_failed"]


def test_the_second_part_fails(platform):
    long = [{"topic": "Prices", "text": "word " * 2000}]
    platform.rows("update chatbots set facts = %s where slug = 'harbour-dental' returning id", json.dumps(long))
    platform.whatsapp.reactions = [lambda *_: False, error(131026)]
    assert platform.converse("prices?")["delivery"] == "failed"
    assert [row["state"] for row in platform.rows("select state from outbox order by position")] == [
        "sent",
        "failed",
        "failed",
    ]
    assert len(platform.whatsapp.sent) == 1


def test_a_twin_of_the_step_does_not_send_what_is_being_sent(platform):
    loaded = platform.load(platform.delivery())
    platform.generate(loaded)
    go_on = threading.Event()
    platform.whatsapp.reactions = [blocked_until(go_on)]
    with ThreadPoolExecutor(1) as pool:
        twin = pool.submit(platform.send, loaded)
        while not platform.rows("select id from outbox where state = 'sending'"):
            threading.Event().wait(0.01)
        with pytest.raises(SendInProgress):
            platform.send(loaded)
        go_on.set()
        assert twin.result()["delivery"] == "sent"
    assert len(platform.whatsapp.sent) == 1


def test_a_send_whose_process_died_is_uncertain_after_a_minute(platform):
    loaded = platform.load(platform.delivery())
    platform.generate(loaded)
    platform.rows("update outbox set state = 'sending', claimed_at = now() - interval '61 seconds' returning id")
    assert platform.send(loaded)["delivery"] == "uncertain"
    assert platform.whatsapp.sent == [] and platform.alerts() == ["reply_uncertain"]


# Failures ---------------------------------------------------------------------------------------


def test_a_provider_that_fails_ends_in_the_fallback_text_and_an_alert(platform):
    platform.rows(
        "update chatbots set model_provider = 'openai', model_name = 'm', model_resource_path = 'f/agent/openai'"
        " where slug = 'harbour-dental' returning id"
    )
    loaded = platform.load(platform.delivery())
    assert loaded["model_resources"] == ["f/agent/openai"]
    platform.generate(loaded, {"f/agent/openai": {"api_key": "k", "base_url": "http://127.0.0.1:9/v1"}})
    platform.send(loaded)
    assert platform.whatsapp.texts == [
        "I cannot answer right now. Someone from our reception will write to you shortly."
    ]
    assert platform.alerts() == ["model_failed"]
    assert platform.rows("select error from turns") == [{"error": "provider failed: APIConnectionError"}]


def test_what_a_model_writes_that_cannot_be_stored_is_replaced(platform, httpserver):
    platform.rows(
        "update chatbots set model_provider = 'openai', model_name = 'm', model_resource_path = 'f/agent/openai'"
        " where slug = 'harbour-dental' returning id"
    )
    answer = r'{"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "a\u0000b\ud83d"}}]}'
    httpserver.expect_request("/chat/completions").respond_with_data(answer, content_type="application/json")
    loaded = platform.load(platform.delivery())
    platform.generate(loaded, {"f/agent/openai": {"api_key": "k", "base_url": httpserver.url_for("/")}})
    platform.send(loaded)
    assert platform.whatsapp.texts == ["a\ufffdb?"]
    assert platform.alerts() == []


def test_what_came_after_the_reply_was_written_does_not_fail_with_it(platform):
    loaded = platform.load(platform.delivery("hi"))
    platform.generate(loaded)
    platform.load(platform.delivery("prices?", at=1_790_000_009))
    record_failure.main(platform.database, "X", "send_reply", loaded["turn"])
    assert platform.outcomes() == [("failed", "X in send_reply"), (None, None)]
    conversation = {key: loaded["turn"][key] for key in ("organization_id", "conversation_id")}
    following = platform.load(conversation=conversation)
    platform.generate(following)
    platform.send(following)
    assert [outcome for outcome, _ in platform.outcomes()] == ["failed", "answered"]
    assert len(platform.whatsapp.sent) == 1 and "£52" in platform.whatsapp.texts[0]


def test_a_step_that_failed_for_good_leaves_an_outcome_and_an_alert(platform):
    loaded = platform.load(platform.delivery())
    recorded = record_failure.main(platform.database, "OperationalError", "generate_reply", loaded["turn"])
    assert recorded == {"state": "recorded"}
    assert platform.outcomes() == [("failed", "OperationalError in generate_reply")]
    assert platform.alerts() == ["turn_failed"]
    assert platform.converse("hello again") == {"state": "finished", "delivery": "sent"}


def test_a_failure_before_there_was_a_turn_is_an_operators_alert(platform):
    record_failure.main(platform.database, "X", "load_context", None)
    assert platform.rows("select organization_id, kind from system_alerts") == [
        {"organization_id": None, "kind": "message_not_stored"}
    ]


# Statuses ---------------------------------------------------------------------------------------


def test_statuses_move_forward_only(platform):
    platform.converse("hi")
    wamid = platform.rows("select wamid from outbox")[0]["wamid"]
    for name in ("read", "sent", "delivered", "played"):
        assert platform.status(name, id=wamid)["applied"] == 1
    assert platform.rows("select delivery_status from outbox") == [{"delivery_status": "read"}]


def test_a_status_settles_what_was_uncertain(platform):
    platform.whatsapp.reactions = [lost_answer]
    platform.converse("hi")
    sent = platform.whatsapp.sent[0]["biz_opaque_callback_data"]
    assert platform.status("delivered", id="wamid.new", biz_opaque_callback_data=sent)["applied"] == 1
    assert platform.rows("select state, wamid from outbox") == [{"state": "sent", "wamid": "wamid.new"}]
    assert platform.alerts() == []


def test_a_status_before_our_own_commit(platform):
    loaded = platform.load(platform.delivery())
    platform.generate(loaded)

    def status_first(fake, handler, body):
        platform.status("sent", id="wamid.early", biz_opaque_callback_data=body["biz_opaque_callback_data"])
        return False

    platform.whatsapp.reactions = [status_first]
    assert platform.send(loaded)["delivery"] == "sent"
    assert platform.rows("select state, wamid from outbox") == [{"state": "sent", "wamid": "wamid.early"}]


def test_a_failed_status_raises_an_alert(platform):
    platform.converse("hi")
    wamid = platform.rows("select wamid from outbox")[0]["wamid"]
    platform.status("failed", id=wamid, errors=[{"code": 131026, "title": "Message undeliverable"}])
    assert platform.alerts() == ["reply_not_delivered"]


def test_a_status_of_another_tenants_number_changes_nothing(platform):
    platform.converse("hi")
    sent = platform.whatsapp.sent[0]["biz_opaque_callback_data"]
    counts = platform.status("failed", phone_number_id="100000000000001", id="x", biz_opaque_callback_data=sent)
    assert counts == {"applied": 0, "kept": 1, "unrouted": 0}
    assert platform.status("failed", phone_number_id="9", id="x")["unrouted"] == 1
    assert platform.status("failed", app_id="evil", id="x")["unrouted"] == 1
    assert platform.rows("select delivery_status from outbox") == [{"delivery_status": None}]


def test_a_status_settles_a_call_that_was_answered_with_later(platform):
    """Meta's own trouble (131000) may come after the message went out: it is not sent once more."""
    loaded = platform.load(platform.delivery())
    platform.generate(loaded)
    platform.whatsapp.reactions = [error(131000, 500)]
    with pytest.raises(SendLater):
        platform.send(loaded)
    part = platform.rows("select id, state from outbox")[0]
    assert part["state"] == "pending"
    assert platform.status("delivered", id="wamid.out", biz_opaque_callback_data=str(part["id"]))["applied"] == 1
    assert platform.send(loaded)["delivery"] == "sent"
    assert platform.whatsapp.sent == []


@pytest.mark.parametrize("wamid", [5, "", ["a"], "x" * 10_000])
def test_a_message_without_an_id_is_kept_and_told(platform, wamid):
    value = {"metadata": {"phone_number_id": DENTAL}, "messages": [{"id": wamid, "from": "447", "type": "text"}]}
    body = {"object": "whatsapp_business_account", "entry": [{"id": "200000000000002", "changes": [
        {"field": "messages", "value": value}]}]}  # fmt: skip
    parts = split.read(body)
    assert (parts.messages, parts.unreadable) == ([], 1)
    platform.store_events("events", parts.events)
    assert platform.alerts() == ["message_unreadable"]
    assert platform.rows("select value -> 'messages' as kept from account_events") == [{"kept": value["messages"]}]


def test_a_number_as_the_senders_id_is_its_digits(platform):
    platform.load(platform.delivery("hi", message={"from": 447700900123}))
    assert platform.rows("select wa_id from contacts") == [{"wa_id": "447700900123"}]


def test_a_status_of_an_odd_shape_does_not_hold_up_the_others(platform):
    platform.converse("hi")
    wamid = platform.rows("select wamid from outbox")[0]["wamid"]
    odd = (
        "sent",
        None,
        {},
        {"status": ["sent"]},
        {"status": "sent", "id": 7},
        {"status": "failed", "errors": {"a": 1}},
    )
    counts = platform.status("delivered", others=odd, id=wamid, biz_opaque_callback_data=7, errors=["no object"])
    assert counts == {"applied": 1, "kept": len(odd), "unrouted": 0}
    assert platform.rows("select delivery_status from outbox") == [{"delivery_status": "delivered"}]


def test_other_updates_are_kept_for_people(platform):
    items = [
        {"waba_id": "200000000000002", "phone_number_id": None, "field": "account_update", "value": {"event": "X\x00"}},
        {"waba_id": "7", "phone_number_id": None, "field": "account_update", "value": {}},
        {"waba_id": "200000000000002", "phone_number_id": DENTAL, "field": "smb_message_echoes", "value": {"a": 1}},
    ]
    for _ in range(2):  # a step may run twice, and the sweep repeats it under another id
        counts = platform.store_events("events", items, body="the same delivery")
        assert counts == {"applied": 0, "kept": 2, "unrouted": 1}
    assert len(platform.rows("select * from account_events")) == 2
    assert platform.rows("select reason from unrouted_events") == [{"reason": "unknown account"}]
