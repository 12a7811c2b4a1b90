"""Quotas: counted once, never passed, told once."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from f.agent.loop import ModelError
from f.lib.database import connect, tenant
from f.ops.sweep import MOST
from f.usage import quotas

DENTAL_ORG = "22222222-2222-4222-8222-222222222222"
NOTICE = "I cannot answer any more messages here for now. Please call us on 0117 496 0123."


@pytest.fixture
def limit(platform):
    """Set limits of the dental practice's own."""

    def set_limits(**limits: int) -> None:
        for name, value in limits.items():
            platform.rows(f"update organizations set {name} = %s where slug = 'harbour-dental' returning slug", value)

    return set_limits


def month(platform) -> dict:
    (row,) = platform.rows("select messages, tokens, reserved_tokens from quota_usage")
    return row


def test_a_turn_is_one_message_and_its_calls_are_the_tokens(platform):
    loaded = platform.load(platform.delivery("Hi"))
    platform.load(platform.delivery("How much is a check-up?", at=1_790_000_001))
    platform.generate(loaded)
    platform.send(loaded)
    used = platform.rows("select sum(prompt_tokens + completion_tokens)::int as tokens from usage_logs")[0]["tokens"]
    assert month(platform) == {"messages": 1, "tokens": used, "reserved_tokens": 0}
    assert platform.rows("select messages from contact_days") == [{"messages": 1}]
    assert platform.alerts() == []


def test_a_repeated_step_counts_nothing_twice(platform):
    loaded = platform.load(platform.delivery("Hi"))
    platform.generate(loaded)
    before = month(platform)
    platform.rows("update turns set generated_at = null returning id")
    platform.rows("delete from outbox returning id")
    platform.rows("delete from usage_logs returning turn_id")
    platform.generate(loaded)
    assert month(platform)["messages"] == before["messages"] == 1


def test_over_the_quota_there_is_one_notice_an_alert_and_no_model_call(platform, limit):
    limit(monthly_messages=1)
    platform.converse("How much is a check-up?")
    for text in ("And whitening?", "Hello?"):
        platform.converse(text)
    assert platform.whatsapp.texts[1:] == [NOTICE]
    assert platform.outcomes()[1:] == [("refused", "quota: monthly messages")] * 2
    assert platform.rows("select count(*) from usage_logs") == [{"count": 1}]
    today = date.today()
    subjects = platform.rows("select subject from system_alerts where kind = 'quota_warning' order by subject")
    assert [row["subject"] for row in subjects] == [
        f"monthly messages {today:%Y-%m} 100 %",
        f"monthly messages {today:%Y-%m} 80 %",
    ]


def test_each_contact_gets_a_notice_of_its_own(platform, limit):
    limit(monthly_messages=0)
    platform.converse("Hello?")
    other = platform.delivery("Hello?", contact={"wa_id": "34600999888"}, message={"from": "34600999888"})
    loaded = platform.load(other)
    platform.generate(loaded)
    platform.send(loaded)
    assert platform.whatsapp.texts == [NOTICE, NOTICE]


def test_one_person_cannot_use_up_the_business_in_a_day(platform, limit):
    limit(daily_messages_per_contact=1)
    platform.converse("How much is a check-up?")
    platform.converse("And whitening?")
    assert platform.outcomes()[1] == ("refused", "quota: daily messages of one person")
    assert platform.whatsapp.texts[1] == NOTICE
    assert platform.alerts() == ["quota_of_contact_reached"]


def test_without_tokens_left_the_turn_is_refused(platform, limit):
    limit(monthly_tokens=100)
    platform.converse("How much is a check-up?")
    assert platform.whatsapp.texts == [NOTICE]
    assert platform.outcomes() == [("refused", "quota: monthly tokens")]
    assert month(platform) == {"messages": 1, "tokens": 0, "reserved_tokens": 0}


def test_a_limit_below_what_was_used_is_an_alert_too(platform, limit):
    platform.converse("How much is a check-up?")
    limit(monthly_tokens=1)
    platform.converse("And whitening?")
    assert platform.outcomes()[1] == ("refused", "quota: monthly tokens")
    subjects = [row["subject"] for row in platform.rows("select subject from system_alerts order by subject")]
    assert subjects == [f"monthly tokens {date.today():%Y-%m} {share} %" for share in (100, 80)]


def test_limits_come_from_the_plan_unless_the_organisation_has_its_own(platform):
    platform.rows("update plans set monthly_messages = 0 where code = 'pro' returning code")
    platform.converse("Hello?")
    assert platform.outcomes() == [("refused", "quota: monthly messages")]


def test_eighty_percent_is_told_once(platform, limit):
    limit(monthly_messages=10)
    for _ in range(9):
        platform.converse("Hi")
    rows = platform.rows("select subject, occurrences from system_alerts where kind = 'quota_warning'")
    assert [(row["subject"].endswith("80 %"), row["occurrences"]) for row in rows] == [(True, 1)]


# Many at once -----------------------------------------------------------------------------------


def new_turns(platform, count: int) -> list[str]:
    """Ids of turns that did not start yet, in conversations of their own."""
    ids = [str(uuid4()) for _ in range(count)]
    platform.owner.execute(
        """
        with people as (
          insert into contacts (organization_id, wa_id)
          select %(organization)s, '4477' || lpad(n::text, 8, '0') from generate_series(1, %(count)s) n returning id
        ), talks as (
          insert into conversations (organization_id, chatbot_id, phone_number_id, contact_id)
          select n.organization_id, n.chatbot_id, n.phone_number_id, p.id from whatsapp_numbers n, people p
          where n.organization_id = %(organization)s returning id
        )
        insert into turns (organization_id, id, conversation_id, fence)
        select %(organization)s, t.id, c.id, 1
        from (select id, row_number() over () as n from talks) c
        join unnest(%(ids)s::uuid[]) with ordinality as t (id, n) using (n)
        """,
        {"organization": DENTAL_ORG, "count": count, "ids": ids},
    )
    return ids


def test_a_thousand_turns_at_once_do_not_pass_the_message_quota(platform, limit):
    limit(monthly_messages=300)
    turns = new_turns(platform, 1000)
    contacts = {str(r["id"]): str(r["contact_id"]) for r in platform.rows(
        "select t.id, c.contact_id from turns t join conversations c on c.id = t.conversation_id")}  # fmt: skip

    def admit_some(some: list[str]) -> int:
        with connect(platform.database) as connection:
            admitted = 0
            for turn in some:
                with tenant(connection, DENTAL_ORG):
                    admitted += quotas.admit(connection, DENTAL_ORG, turn, contacts[turn]) is None
            return admitted

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(admit_some, [turns[i::16] for i in range(16)])) == 300
    assert month(platform)["messages"] == 300


def test_a_thousand_calls_at_once_do_not_pass_the_token_quota(platform, limit):
    limit(monthly_tokens=100_000)
    turns = new_turns(platform, 1000)

    def call_some(some: list[str]) -> None:
        with connect(platform.database) as connection:
            for turn in some:
                meter = quotas.Meter(connection, DENTAL_ORG, turn)
                try:
                    granted = meter.reserve(300, 2000, 64)
                except (ModelError, quotas.QuotaBusy):
                    continue
                assert 64 <= granted <= 2000
                meter.settle(300 + granted // 2)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(call_some, [turns[i::16] for i in range(16)]))
    used = month(platform)
    assert 99_000 < used["tokens"] <= 100_000 and used["reserved_tokens"] == 0


def test_what_is_only_reserved_is_no_reason_to_refuse(platform, limit):
    limit(monthly_tokens=1000)
    first, second = new_turns(platform, 2)
    with connect(platform.database) as connection:
        quotas.Meter(connection, DENTAL_ORG, first).reserve(100, 900, 64)
        with pytest.raises(quotas.QuotaBusy):
            quotas.Meter(connection, DENTAL_ORG, second).reserve(100, 900, 64)
        quotas.Meter(connection, DENTAL_ORG, first).settle(500)
        assert quotas.Meter(connection, DENTAL_ORG, second).reserve(100, 900, 64) == 400


def test_the_sweep_gives_back_what_a_dead_turn_had_reserved(platform):
    fresh, dead = new_turns(platform, 2)
    with connect(platform.database) as connection:
        for turn in (fresh, dead):
            quotas.Meter(connection, DENTAL_ORG, turn).reserve(100, 900, 64)
        platform.rows(
            "update token_reservations set reserved_at = now() - interval '6 minutes' where turn_id = %s returning 1",
            dead,
        )
        assert quotas.release_stale(connection, MOST) == 1
    assert month(platform)["reserved_tokens"] == 1000
    assert [str(row["turn_id"]) for row in platform.rows("select turn_id from token_reservations")] == [fresh]


# Summary ----------------------------------------------------------------------------------------


def test_usage_is_summed_up_by_day_chatbot_and_model(platform):
    platform.converse("Hi")
    platform.converse("How much is a check-up?")
    (row,) = platform.rows("select provider, model, calls, prompt_tokens, completion_tokens from usage_summary")
    (sums,) = platform.rows(
        "select sum(prompt_tokens)::int as prompt_tokens, sum(completion_tokens)::int as completion_tokens"
        " from usage_logs"
    )
    assert row == {"provider": "demo", "model": "demo", "calls": 2, **sums}


def test_a_summary_is_seen_by_its_tenant_only(platform, seeded_database):
    platform.converse("Hi")
    with closing(psycopg.connect(seeded_database.app_url, row_factory=dict_row)) as connection:
        for organization, seen in ((DENTAL_ORG, 1), ("11111111-1111-4111-8111-111111111111", 0)):
            with tenant(connection, organization):
                for table in ("usage_summary", "quota_usage", "contact_days"):
                    row = connection.execute(f"select count(*) from {table}").fetchone()
                    assert row["count"] == seen
