"""f/ops/notify: who is told what, how often, and what happens when a channel does not work."""

import json
import threading
import time
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
import yaml
from mail_fake import FakeMailServer
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from werkzeug import Response

from f.lib.alerts import raise_alert, resolve_alert
from f.lib.database import connect, tenant
from f.ops import notify
from f.ops.notify import bound, side_by_side
from local.credentials import DEMO1, DEMO2

DENTAL, BICIS = UUID(DEMO2.organization_id), UUID(DEMO1.organization_id)
MAIL = "owner@harbour.example"
SCHEDULE = Path(notify.__file__).with_suffix(".schedule.yaml")


class Office:
    """The people who are to be told, and what reached them."""

    def __init__(self, database, httpserver, mail, monkeypatch) -> None:
        self.database = database
        self.mail = mail
        self.chat: list[dict] = []
        self.chat_status = 200
        self._httpserver = httpserver
        self.owner = psycopg.connect(database.owner_url, autocommit=True, row_factory=dict_row)
        for name, value in {"BASE_INTERNAL_URL": httpserver.url_for(""), "WM_WORKSPACE": "w", "WM_TOKEN": "t"}.items():
            monkeypatch.setenv(name, value.rstrip("/"))
        httpserver.expect_request("/hook", method="POST").respond_with_handler(self._take)

    def _take(self, request) -> Response:
        if self.chat_status == 200:
            self.chat.append(json.loads(request.data))
        return Response("", self.chat_status)

    def add_email(self, organization=DENTAL, **settings) -> str:
        return self._add(organization, kind="email", target=MAIL, **settings)

    def add_webhook(self, organization=DENTAL, address: str | None = None, **settings) -> str:
        path = f"f/integrations/{organization}/chat" if organization else "f/ops/chat"
        url = f"/api/w/w/variables/get_value/{path}"
        self._httpserver.expect_request(url).respond_with_json(address or self._httpserver.url_for("/hook"))
        return self._add(organization, kind="webhook", target=path, **settings)

    def _add(self, organization, **settings) -> str:
        columns = {"organization_id": organization, "name": f"people {uuid4()}", **settings}
        names, marks = ", ".join(columns), ", ".join(f"%({name})s" for name in columns)
        query = f"insert into alert_channels ({names}) values ({marks}) returning id::text"
        return self.owner.execute(query, columns).fetchone()["id"]

    def alert(self, kind="turn_failed", organization=DENTAL, subject: str | None = None, **details) -> str:
        subject = subject or str(uuid4())
        with connect(self.database.app_resource) as connection, bound(connection, organization):
            raise_alert(connection, organization, kind, subject, details)
        return subject

    def settle(self, kind: str, subject: str, organization=DENTAL) -> None:
        with connect(self.database.app_resource) as connection, bound(connection, organization):
            resolve_alert(connection, organization, kind, subject)

    def handover(self, reason="wants to cancel", **changes) -> UUID:
        contact, talk = uuid4(), uuid4()
        self.owner.execute(
            "insert into contacts (organization_id, id, wa_id, profile_name) values (%s, %s, %s, 'Ana')",
            [DENTAL, contact, str(contact.int)[:12]],
        )
        self.owner.execute(
            "insert into conversations (organization_id, id, chatbot_id, phone_number_id, contact_id)"
            " values (%s, %s, %s, %s, %s)",
            [DENTAL, talk, DEMO2.chatbot_id, DEMO2.phone_number_id, contact],
        )
        row = {"chatbot_id": DEMO2.chatbot_id, "conversation_id": talk, "reason": reason, "is_urgent": True} | changes
        return self.owner.execute(
            "insert into notifications (organization_id, kind, chatbot_id, conversation_id, reason, is_urgent)"
            f" values ('{DENTAL}', 'handover', %(chatbot_id)s, %(conversation_id)s, %(reason)s, %(is_urgent)s)"
            " returning id",
            row,
        ).fetchone()["id"]

    def later(self, hours: float) -> None:
        """Let time pass."""
        for table, columns in {
            "system_alerts": ("first_at", "last_at", "resolved_at"),
            "alert_channels": ("next_at", "told_at", "created_at"),
            "notices": ("told_at",),
            "notifications": ("created_at", "settled_at"),
        }.items():
            changes = ", ".join(f"{column} = {column} - interval '{hours} hours'" for column in columns)
            self.owner.execute(f"update {table} set {changes}")

    def run(self, **arguments) -> dict:
        arguments = {"smtp": self.mail.resource, "local_addresses": "true"} | arguments
        return notify.main(self.database.app_resource, **arguments)

    def rows(self, query: str, *values) -> list[dict]:
        return self.owner.execute(query, values).fetchall()

    @property
    def letters(self) -> list[str]:
        return [f"{letter['to']}\n{letter['subject']}\n{letter.get_content()}" for letter in self.mail.received]


@pytest.fixture(scope="module")
def mail_server():
    server = FakeMailServer()
    yield server
    server.close()


@pytest.fixture
def office(seeded_database, httpserver, mail_server, monkeypatch):
    mail_server.received.clear()
    mail_server.refuse = None
    made = Office(seeded_database, httpserver, mail_server, monkeypatch)
    yield made
    made.owner.close()


# How often --------------------------------------------------------------------------------------


def test_an_alert_is_told_once_on_every_channel_and_once_more_when_it_is_over(office):
    office.add_email()
    office.add_webhook()
    subject = office.alert(step="send_reply", error="SendLater")
    assert office.run() == {"told": 2, "failed": 0, "untold_handovers": 0}
    assert office.run()["told"] == 0
    office.alert(subject=subject)
    assert office.run()["told"] == 0, "the same open alert"
    [letter], [chat] = office.letters, office.chat
    assert MAIL in letter and "critical: Messages that could not be answered (harbour-dental)" in letter
    for text in (letter.replace("\n", ""), chat["text"]):
        assert subject in text and "step: send_reply" in text and "error: SendLater" in text
    office.later(0.1)
    office.settle("turn_failed", subject)
    assert office.run()["told"] == 2 and office.run()["told"] == 0
    assert "RESOLVED: Messages that could not be answered" in office.chat[1]["text"]


def test_an_open_alert_is_told_again_when_it_recurs_after_hours(office):
    office.add_webhook()
    subject = office.alert()
    office.run()
    office.later(7)
    assert office.run()["told"] == 0, "it has not recurred"
    office.alert(subject=subject)
    assert office.run()["told"] == 1
    assert "2 times" in office.chat[1]["text"]


def test_an_alert_that_comes_and_goes_is_not_told_each_time(office):
    office.add_webhook()
    for _ in range(3):
        subject = office.alert("model_denied", subject="f/agent/openai")
        office.run()
        office.settle("model_denied", subject)
        office.later(0.1)
        office.run()
    assert [chat["text"].split(":")[0] for chat in office.chat] == ["*CRITICAL", "*RESOLVED"]
    office.alert("model_denied", subject="f/agent/openai")
    office.later(0.3)
    assert office.run()["told"] == 1, "this time it stayed"


def test_what_is_over_before_it_was_told_is_not_told(office):
    office.add_webhook()
    office.settle("turn_failed", office.alert())
    assert office.run()["told"] == 0


def test_an_incident_is_a_few_messages(office):
    office.add_webhook()
    for number in range(40):
        office.alert("message_without_outcome", subject=f"subject {number}")
    office.run()
    office.alert()
    assert office.run()["told"] == 0, "the channel rests"
    [chat] = office.chat
    assert "40 of them" in chat["text"] and "and 35 more" in chat["text"]
    office.later(0.1)
    assert office.run()["told"] == 1


def test_two_runs_at_once_tell_once(office):
    office.add_webhook()
    office.alert()
    threads = [threading.Thread(target=office.run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(office.chat) == 1


# Who --------------------------------------------------------------------------------------------


def test_a_tenant_hears_of_itself_and_the_operators_of_everybody(office):
    office.add_webhook(DENTAL)
    office.add_email(None)
    office.alert(organization=BICIS)
    office.alert(organization=DENTAL)
    office.alert("message_unrouted", organization=None, subject="999000111222333")
    assert office.run()["told"] == 2
    [chat], [letter] = office.chat, office.letters
    assert "harbour-dental" in chat["text"]
    assert "bicis-ribera" not in chat["text"] and "installation" not in chat["text"]
    assert all(name in letter for name in ("bicis-ribera", "harbour-dental", "the installation", "999000111222333"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, {"turn_failed", "model_failed", "made_up"}),
        ({"minimum_severity": "critical"}, {"turn_failed"}),
        ({"minimum_severity": "info"}, {"turn_failed", "model_failed", "made_up", "reply_not_delivered"}),
        ({"minimum_severity": "info", "kinds": ["model_failed"]}, {"model_failed"}),
        ({"is_enabled": False}, set()),
    ],
)
def test_a_channel_chooses_what_it_hears(office, settings, told):
    office.add_webhook(**settings)
    for kind in ("turn_failed", "model_failed", "reply_not_delivered", "made_up"):
        office.alert(kind)
    office.run()
    rows = office.rows("select a.kind from notices n join system_alerts a on a.id = n.item_id")
    assert {row["kind"] for row in rows} == told


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("webhook", "https://hooks.example.org/secret"),
        ("webhook", f"f/integrations/{BICIS}/chat"),
        ("webhook", "f/lib/database_password"),
        ("email", "a@b.example, everybody@c.example"),
        ("email", "a@b.example\nBcc: c@d.example"),
    ],
)
def test_a_target_is_an_address_or_a_secret_of_the_tenants_own(office, kind, target):
    with pytest.raises(psycopg.errors.CheckViolation):
        office._add(DENTAL, kind=kind, target=target)


def test_scripts_cannot_add_or_redirect_channels(office):
    office.add_email()
    with connect(office.database.app_resource) as connection:
        for statement in ("update alert_channels set target = 'x@y.example'", "delete from alert_channels"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant(connection, DENTAL):
                connection.execute(statement)
        with tenant(connection, BICIS):
            assert connection.execute("select count(*) as n from alert_channels").fetchone() == {"n": 0}


# Hand-overs -------------------------------------------------------------------------------------


def test_a_handover_is_passed_on_to_the_tenant_only(office):
    office.add_webhook(DENTAL, kinds=["handover"])
    office.add_email(None, minimum_severity="info")
    office.handover(reason="wants to cancel & <!channel>")
    assert office.run() == {"told": 1, "failed": 0, "untold_handovers": 0}
    assert office.run()["told"] == 0 and office.letters == []
    [chat] = office.chat
    assert "needs: wants to cancel &amp; &lt;!channel&gt;" in chat["text"] and "customer: Ana" in chat["text"]
    assert office.rows("select state, attempts from notifications") == [{"state": "delivered", "attempts": 1}]


def test_a_handover_does_not_wait_for_a_channel_that_rests(office):
    office.add_webhook()
    office.alert()
    office.run()
    office.handover()
    assert office.run()["told"] == 1


def test_a_handover_that_nobody_can_be_told_of_is_an_alert_and_fails_after_a_day(office):
    office.add_email(None)
    office.handover()
    assert office.run()["untold_handovers"] == 0
    office.later(0.2)
    assert office.run()["untold_handovers"] == 1
    assert office.run() == {"told": 1, "failed": 0, "untold_handovers": 0}
    [letter] = office.letters
    assert "nobody could be told" in letter and "cancel" not in letter
    office.later(24)
    office.run()
    assert office.rows("select state, error from notifications") == [{"state": "failed", "error": "no channel"}]


def test_a_late_channel_gets_what_waits_and_the_alert_ends(office):
    office.handover()
    office.later(0.2)
    office.run()
    office.add_webhook(kinds=["handover"])
    assert office.run()["told"] == 1
    alerts = office.rows("select resolved_at is not null as is_over from system_alerts")
    assert alerts == [{"is_over": True}]


# Failure ----------------------------------------------------------------------------------------


def test_a_broken_channel_is_recorded_and_others_go_on(office):
    channel = office.add_webhook()
    office.add_email(None)
    office.chat_status = 500
    office.alert()
    assert office.run() == {"told": 1, "failed": 1, "untold_handovers": 0}
    query = "select failures, error, next_at - now() as wait from alert_channels where id = %s"
    [row] = office.rows(query, channel)
    assert (row["failures"], row["error"]) == (1, "HTTP 500") and 50 < row["wait"].total_seconds() <= 120
    assert office.run() == {"told": 0, "failed": 0, "untold_handovers": 0}, "it is left alone for a while"
    for _ in range(2):
        office.later(1)
        office.run()
    kinds = office.rows("select kind, subject from system_alerts where kind = 'channel_failing'")
    assert kinds == [{"kind": "channel_failing", "subject": channel}]
    office.later(1)
    office.chat_status = 200
    assert office.run()["failed"] == 0
    assert len(office.chat) == 1 and "channel" not in office.chat[0]["text"].lower(), "not of itself"
    assert office.rows("select 1 from system_alerts where kind = 'channel_failing' and resolved_at is null") == []
    assert any("A channel for alerts does not work" in letter for letter in office.letters)


@pytest.mark.parametrize(
    ("smtp", "refuse", "error"),
    [
        (None, None, "no SMTP server is set up: resource f/ops/smtp"),
        ({"host": "127.0.0.1", "port": 1}, None, "SMTP: ConnectionRefusedError"),
        ({"username": "u", "password": "p"}, None, "a user name needs security starttls or tls"),
        ({"security": "starttls"}, None, "SMTP: SMTPNotSupportedError"),
        ({}, "550 no secret-word here", "SMTP 550: the recipient is refused"),
    ],
)
def test_why_a_letter_did_not_go_out(office, smtp, refuse, error):
    office.add_email()
    office.alert()
    office.mail.refuse = refuse
    office.run(smtp=None if smtp is None else office.mail.resource | smtp)
    assert office.rows("select error from alert_channels") == [{"error": error}]


@pytest.mark.parametrize(
    "address", ["https://127.0.0.1/hook", "https://localhost:9/x", "http://example.org/", "https://[::1]/", "nonsense"]
)
def test_a_webhook_does_not_lead_inside_the_network(office, address):
    office.add_webhook(address=address)
    office.alert()
    assert office.run(local_addresses="false")["failed"] == 1
    [row] = office.rows("select error from alert_channels")
    assert row["error"].startswith("the address is not called: ") and address not in row["error"]


def test_a_slow_channel_holds_up_nobody():
    begin = time.monotonic()
    done: list[int] = []
    errors = side_by_side([lambda: time.sleep(5), lambda: done.append(1)], 0.2)
    assert errors == ["no answer within 0.2 s", None] and done == [1] and time.monotonic() - begin < 2


def test_nothing_private_leaves_with_an_alert(office):
    office.add_webhook(minimum_severity="info")
    secrets = ["tengo dolor", "34600111222", "sk-canary"]
    office.owner.execute(
        "insert into system_alerts (organization_id, kind, subject, details) values (%s, 'made_up', %s, %s)",
        [DENTAL, secrets[1], Jsonb({"reason": secrets[0], "error": secrets[0], "code": secrets[1], "key": secrets[2]})],
    )
    office.alert("model_failed", subject=secrets[0], model=secrets[1])
    office.run()
    assert office.chat and not any(secret in json.dumps(office.chat) for secret in secrets)


# In Windmill ------------------------------------------------------------------------------------


def test_the_script_tells_the_operators_of_the_whole_system(stack, httpserver):
    """A secret variable, the schedule's own arguments, a webhook on this machine."""
    told = []
    httpserver.expect_request("/hook", method="POST").respond_with_handler(
        lambda request: told.append(json.loads(request.data)["text"]) or Response("", 200)
    )
    variable = {
        "path": "f/ops/test_webhook",
        "value": httpserver.url_for("/hook"),
        "is_secret": True,
        "description": "",
    }
    assert stack.windmill("POST", "variables/create", json=variable).is_success
    arguments = yaml.safe_load(SCHEDULE.read_text())["args"]
    with stack.connect() as connection:
        connection.execute(
            "insert into alert_channels (name, kind, target, kinds)"
            " values ('test', 'webhook', 'f/ops/test_webhook', '{run_not_readable}')"
        )
        try:
            connection.execute("insert into system_alerts (kind, subject) values ('run_not_readable', 'a-run')")
            ran = stack.windmill("POST", "jobs/run_wait_result/p/f/ops/notify", json=arguments)
            assert ran.is_success, ran.text
            assert len(told) == 1 and "a-run" in told[0], "by this run or by the schedule's"
        finally:
            connection.execute("delete from alert_channels where name = 'test'")
            connection.execute("delete from system_alerts where subject = 'a-run'")
            stack.windmill("DELETE", "variables/delete/f/ops/test_webhook")
