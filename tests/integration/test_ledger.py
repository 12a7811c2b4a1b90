"""The ledger of outcomes: how every message ended and why, and an alert for those that do not end."""

from datetime import timedelta

import pytest
from fakes import error, lost_answer

from f.lib.database import connect, tenant
from f.ops import sweep
from local.credentials import DEMO1, DEMO2

LEDGER = "select * from outcome_ledger order by event_id"


@pytest.fixture
def ledger(platform):
    """The ledger as the tenant sees it."""

    def read(organization_id: str = DEMO2.organization_id) -> list[dict]:
        with connect(platform.database) as connection, tenant(connection, organization_id):
            return connection.execute(LEDGER).fetchall()

    return read


def wait(platform, minutes: float) -> None:
    platform.owner.execute("update webhook_events set stored_at = stored_at - %s", [timedelta(minutes=minutes)])


def test_an_answered_message_with_turn_times_and_delivery(platform, ledger):
    platform.converse("hi")
    [row] = ledger()
    assert (row["outcome"], row["outcome_reason"]) == ("answered", "delivery: sent")
    assert (row["delivery"], row["delivery_status"], row["parts"], row["model"]) == ("sent", None, 1, "demo")
    assert row["stored_at"] <= row["started_at"] <= row["generated_at"] <= row["reply_sent_at"] <= row["settled_at"]
    assert row["job_id"] and row["turn_id"] and row["seconds"] >= 0 and not row["is_overdue"]
    part = platform.rows("select id from outbox")[0]
    platform.status("delivered", id="wamid.out", biz_opaque_callback_data=str(part["id"]))
    assert ledger()[0]["delivery_status"] == "delivered"


def test_every_other_ending_says_why(platform, ledger):
    platform.load(platform.delivery(limited="sender"))
    platform.whatsapp.reactions = [lost_answer]
    platform.converse("one")
    platform.whatsapp.reactions = [error(131026)]
    platform.converse("two")
    platform.load(platform.delivery("three"))
    assert [(row["outcome"], row["outcome_reason"], row["delivery"]) for row in ledger()] == [
        ("refused", "limit: sender", None),
        ("answered", "delivery: uncertain", "uncertain"),
        ("failed", "not sent: OAuthException: no", "failed"),
        ("open", None, None),
    ]


def test_a_tenant_sees_its_own_messages_only(platform, ledger):
    platform.converse("hi")
    assert len(ledger()) == 1 and ledger(DEMO1.organization_id) == []
    with connect(platform.database) as connection:
        assert connection.execute(LEDGER).fetchall() == [], "bound to no tenant"


def test_a_message_without_an_outcome_is_an_alert_until_it_has_one(platform, ledger, windmill):
    loaded = platform.load(platform.delivery())
    wait(platform, 2.9)
    assert sweep.main(platform.database)["overdue"] == 0
    wait(platform, 0.2)
    assert sweep.main(platform.database)["overdue"] == 1
    [row] = ledger()
    assert (row["outcome"], row["is_overdue"]) == ("open", True)
    assert sweep.main(platform.database)["overdue"] == 0
    alerts = platform.rows("select kind, subject, occurrences, details from system_alerts")
    assert alerts == [
        {
            "kind": "message_without_outcome",
            "subject": str(row["event_id"]),
            "occurrences": 1,
            "details": {"conversation_id": str(row["conversation_id"])},
        }
    ]
    platform.generate(loaded)
    platform.send(loaded)
    assert ledger()[0]["outcome"] == "answered"
    sweep.main(platform.database)
    assert platform.alerts() == []


def test_many_overdue_messages_are_all_found(platform, windmill, monkeypatch):
    monkeypatch.setattr(sweep, "MOST", 2)
    for _ in range(5):
        platform.load(platform.delivery())
    wait(platform, 4)
    assert [sweep.main(platform.database)["overdue"] for _ in range(4)] == [2, 2, 1, 0]
