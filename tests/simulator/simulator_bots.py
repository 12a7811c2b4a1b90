"""A small stand-in for gateway and platform: answers each message over the Cloud API and records its turn."""

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb
from simulator_systems import BICIS, DENTAL, Simulator, Webhook

NUMBERS = {number["phone_number_id"]: number for number in (BICIS, DENTAL)}
STEPS = [{"kind": "model", "name": "demo", "ms": 320}, {"kind": "tool", "name": "opening_hours", "ms": 45}]
TOOLS = [{"name": "opening_hours", "ok": True}]


class Bot:
    """Marks a message as read, waits for `go` at most `thinking` seconds, and sends what `reply` makes of the text."""

    def __init__(self, simulator: Simulator, webhook: Webhook, database_url: str) -> None:
        self.simulator = simulator
        self.database_url = database_url
        self.reply: Callable[[str], str] = lambda text: f"You said: {text}"
        self.go = threading.Event()
        self.go.set()
        webhook.on_message = self._start

    def _start(self, value: dict[str, Any], message: dict[str, Any]) -> None:
        threading.Thread(target=self._answer, args=(value, message), daemon=True).start()

    def _answer(self, value: dict[str, Any], message: dict[str, Any]) -> None:
        number = NUMBERS[value["metadata"]["phone_number_id"]]
        call = {"messaging_product": "whatsapp", "status": "read", "message_id": message["id"]}
        assert self.simulator.call(call | {"typing_indicator": {"type": "text"}}, number).status_code == 200
        assert self.go.wait(15)
        text = self.reply(message["text"]["body"])
        outbox_id = record_turn(self.database_url, number["phone_number_id"], message, [text])[0]
        who = {"to": f"+{message['from']}"} if "from" in message else {"recipient": message["from_user_id"]}
        sent = self.simulator.send(text, number, **{"to": None, **who}, biz_opaque_callback_data=outbox_id)
        assert sent.status_code == 200, sent.text


def record_turn(database_url: str, number_id: str, message: dict[str, Any], replies: list[str]) -> list[str]:
    """An answered message as the platform records it. Returns the ids of the outbox's rows."""
    with psycopg.connect(database_url) as connection:
        connection.execute("set local role owner")
        [organization, chatbot] = connection.execute(
            "select organization_id, chatbot_id from whatsapp_numbers where phone_number_id = %s", [number_id]
        ).fetchone() or (None, None)
        ids = {"organization_id": organization, "chatbot_id": chatbot, "phone_number_id": number_id}
        ids |= {name: uuid4() for name in ("contact_id", "conversation_id", "turn_id", "message_id")}
        values = ids | {"wamid": message["id"], "steps": Jsonb(STEPS), "tools": Jsonb(TOOLS), "user_id": str(uuid4())}
        for statement in STATEMENTS:
            connection.execute(statement, values)
        outbox = [uuid4() for _ in replies]
        for position, (outbox_id, body) in enumerate(zip(outbox, replies, strict=True)):
            connection.execute(OUTBOX, values | {"outbox_id": outbox_id, "position": position, "body": body})
    return [str(outbox_id) for outbox_id in outbox]


def settle_without_reply(
    database_url: str, number_id: str, wamid: str, outcome: str | None, reason: str | None
) -> None:
    """A message that the platform has stored, and settled (unless `outcome` is None) without a turn."""
    record_turn(database_url, number_id, {"id": wamid}, [])
    with psycopg.connect(database_url) as connection:
        connection.execute("set local role owner")
        connection.execute(
            "update webhook_events set turn_id = null, outcome = %(outcome)s, outcome_reason = %(reason)s,"
            " settled_at = case when %(outcome)s::text is null then null else now() end where wamid = %(wamid)s",
            {"outcome": outcome, "reason": reason, "wamid": wamid},
        )


STATEMENTS = [
    "insert into contacts (organization_id, id, user_id) values (%(organization_id)s, %(contact_id)s, %(user_id)s)",
    "insert into conversations (organization_id, id, chatbot_id, phone_number_id, contact_id) values"
    " (%(organization_id)s, %(conversation_id)s, %(chatbot_id)s, %(phone_number_id)s, %(contact_id)s)",
    "insert into turns (organization_id, id, conversation_id, fence, generated_at, finished_at, model, steps, tools,"
    " prompt_tokens, completion_tokens) values (%(organization_id)s, %(turn_id)s, %(conversation_id)s, 1, now(),"
    " now() + interval '1.234 s', 'demo', %(steps)s, %(tools)s, 412, 38)",
    "insert into webhook_events (organization_id, phone_number_id, wamid, conversation_id, kind, payload, position,"
    " sent_at, received_at, turn_id, outcome, outcome_reason, settled_at) values (%(organization_id)s,"
    " %(phone_number_id)s, %(wamid)s, %(conversation_id)s, 'text', '{}', 0, now(), now(), %(turn_id)s, 'answered',"
    " 'delivery: sent', now())",
    "insert into messages (organization_id, id, conversation_id, turn_id, direction, author, body) values"
    " (%(organization_id)s, %(message_id)s, %(conversation_id)s, %(turn_id)s, 'out', 'bot', 'all')",
]
OUTBOX = (
    "insert into outbox (organization_id, id, conversation_id, turn_id, message_id, position, body, state) values"
    " (%(organization_id)s, %(outbox_id)s, %(conversation_id)s, %(turn_id)s, %(message_id)s, %(position)s, %(body)s,"
    " 'sent')"
)
