"""The flow's steps as a test drives them."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from fakes import FakeWhatsApp
from psycopg.rows import dict_row

from f.agent.loop import Message
from f.agent.prompts import build_messages
from f.whatsapp import generate_reply, load_context, send_reply, store_events

DENTAL = "100000000000002"


class Platform:
    """A seeded database, a WhatsApp, and the steps as the flow runs them."""

    def __init__(self, database: dict, owner_url: str, whatsapp: FakeWhatsApp, monkeypatch: pytest.MonkeyPatch):
        self.database = database
        #: The role of f/admin.
        self.manager: dict = {}
        self.whatsapp = whatsapp
        self.owner = psycopg.connect(owner_url, autocommit=True, row_factory=dict_row)
        self._monkeypatch = monkeypatch

    def delivery(self, text: str | None = "hi", *, wamid: str | None = None, at: int = 1_790_000_000, **changes) -> str:
        message = {"from": "34600111222", "id": wamid or f"wamid.{uuid4().hex}", "timestamp": str(at), "type": "text"}
        return json.dumps(
            {
                "app_id": "demo-app",
                "waba_id": "200000000000002",
                "phone_number_id": DENTAL,
                "contact": {"wa_id": "34600111222", "profile": {"name": "Ana"}},
                "message": {**message, "text": {"body": text}} | changes.pop("message", {}),
                "received_at": "2026-11-24T10:00:00+00:00",
                "position": 0,
                "limited": None,
                **changes,
            }
        )

    def load(self, delivery: str | None = None, job: str | None = None, **arguments) -> dict:
        self._monkeypatch.setenv("WM_FLOW_JOB_ID", job or str(uuid4()))
        return load_context.main(self.database, delivery, **arguments)

    def generate(self, loaded: dict, models: dict | None = None) -> dict:
        return generate_reply.main(self.database, loaded["turn"], self.whatsapp.resource, "token", models)

    def send(self, loaded: dict) -> dict:
        return send_reply.main(self.database, loaded["turn"], self.whatsapp.resource, "token")

    def converse(self, text: str) -> dict:
        loaded = self.load(self.delivery(text))
        self.generate(loaded)
        return self.send(loaded)

    def echo(self, text: str = "I take over", *, body: str | None = None, at: int = 1_790_000_050, **changes) -> dict:
        """The owner writes on the phone; `body` stands for the delivery's hash."""
        echo = {"from": "441174960102", "to": "34600111222", "id": f"wamid.{uuid4().hex}", "timestamp": str(at)}
        return self.update("smb_message_echoes", body=body, message_echoes=[
            echo | {"type": "text", "text": {"body": text}} | changes])  # fmt: skip

    def update(self, field: str, *, body: str | None = None, **value) -> dict:
        item = {"waba_id": "200000000000002", "phone_number_id": DENTAL, "field": field, "value": value}
        return self.store_events("events", [item], body=body)

    def exchange(self, loaded: dict) -> list[Message]:
        """What the model would read."""
        with generate_reply.connect(self.database) as connection:
            context = generate_reply.read_context(connection, generate_reply.Turn.of(loaded["turn"]))
        return build_messages(context["chatbot"], context["history"], context["waiting"], handover=context["handover"])

    def modes(self) -> list[str]:
        return [row["mode"] for row in self.rows("select mode from conversations order by created_at")]

    def said(self) -> list[tuple]:
        rows = self.rows("select author, body from messages order by sent_at, received_at, position")
        return [(row["author"], row["body"]) for row in rows]

    def rows(self, query: str, *values) -> list[dict]:
        return self.owner.execute(query, values).fetchall()

    def audit(self, action: str) -> list[dict]:
        query = "select actor_kind, actor, target, target_id, old, new from audit_log where action = %s order by id"
        return self.rows(query, action)

    def outcomes(self) -> list[tuple]:
        events = self.rows("select outcome, outcome_reason from webhook_events order by id")
        return [(event["outcome"], event["outcome_reason"]) for event in events]

    def alerts(self) -> list[str]:
        return [
            row["kind"] for row in self.rows("select kind from system_alerts where resolved_at is null order by kind")
        ]

    def status(
        self, name: str, *, phone_number_id: str = DENTAL, app_id: str = "demo-app", others: tuple = (), **fields
    ) -> dict:
        """Store a delivery's statuses: `others` as they are, then one that is called `name`."""
        statuses = [*others, {"status": name, "timestamp": "1790000100", **fields}]
        items = [{"waba_id": "w", "phone_number_id": phone_number_id, "status": status} for status in statuses]
        return self.store_events("statuses", items, app_id=app_id)

    def store_events(self, kind: str, items: list[dict], *, app_id: str = "demo-app", body: str | None = None) -> dict:
        """Store a delivery as the gateway queues it; `body` stands for its hash, which repetitions share."""
        now = datetime.now(UTC).isoformat()
        envelope = {"app_id": app_id, "received_at": now, "kind": kind, "items": items}
        return store_events.main(self.database, json.dumps({**envelope, "body_sha256": body or uuid4().hex}))
