# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "annotated-types==0.8.0", "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "cffi==2.1.1",
#   "charset-normalizer==3.5.3", "cryptography==50.0.2", "distro==1.9.0", "google-auth==2.63.0", "google-genai==3.6.1",
#   "h11==0.16.0", "httpcore==1.0.9", "httpcore2==2.16.2", "httpx==0.28.1", "httpx2==2.16.2", "idna==3.20",
#   "jiter==0.19.0", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "openai==3.57.0", "psycopg==3.3.9",
#   "psycopg-binary==3.3.9", "pyasn1==0.6.5", "pyasn1-modules==0.4.2", "pycparser==3.12", "pydantic==2.14.4",
#   "pydantic-core==2.50.5", "referencing==0.37.0", "requests==2.34.2", "rpds-py==2026.9.1", "sniffio==1.3.1",
#   "tenacity==9.1.4", "truststore==0.10.5", "typing-extensions==4.16.0", "typing-inspection==0.4.5", "urllib3==2.8.0",
#   "websockets==17.4",
# ]
# ///
"""Try another prompt or model on a turn of the past; nothing is sent"""

import os
from collections.abc import Callable
from typing import Any, Literal

from psycopg.types.json import Jsonb

from f.admin.desk import open_desk
from f.agent import queries as agent_queries
from f.agent.chain import Budget, Chain
from f.agent.loop import Answer, Limits, ModelError, Tool, run_loop
from f.agent.models import build_links, model_list
from f.agent.prompts import build_messages, settle_unknown
from f.agent.tools import Offer, offers_of
from f.lib import http
from f.lib.database import Connection, connect, tenant
from f.lib.windmill import WindmillError, get_resource, start_script
from f.whatsapp import history_queries
from f.whatsapp.turn_queries import READ_CHATBOT, READ_PRICES

#: As in the flow.
HISTORY_MESSAGES = 20
MESSAGE_CHARACTERS = 8000

#: Where a provider's key is when another one is tried than the chatbot's.
RESOURCES = {"demo": None, "openai": "f/agent/openai", "gemini": "f/agent/gemini"}

#: Seconds after which what this run shows is erased: time to read it.
SHOWN_SECONDS = 3600

NOT_CALLED = "This is a trial: the tool was not called. Answer as if it had done what was asked, and invent no figures."


class NotFound(Exception):
    """This organisation has no such turn, or its words were erased."""


def main(
    organization: str,
    turn_id: str,
    persona: str = "",
    instructions: str = "",
    facts: list[dict] | None = None,
    model_provider: Literal["", "demo", "openai", "gemini"] = "",
    model_name: str = "",
    temperature: float | None = None,
    with_tools: bool = True,
) -> dict:
    """Purpose: see what the bot would have said, before you change it for everybody.

    organization: slug or id
    turn_id: of the turn, as in outcome_ledger
    persona: instead of the chatbot's; empty: the chatbot's
    instructions: instead of the chatbot's; empty: the chatbot's
    facts: instead of the chatbot's, a list of {"topic", "text"}; empty: the chatbot's
    model_provider: empty: the chatbot's models; another one is tried alone, with the key of its resource in f/agent
    model_name: the provider's name of the model, tried alone
    temperature: 0 to 2; empty: the chatbot's
    with_tools: offer the chatbot's tools; none is called, a call that the turn has made gets the result it got then

    The model gets what it would get now for the messages of that turn and those before them. Nothing is sent, no
    tool is called, and nothing of the conversation is written. The organisation's quota is not touched: a trial is
    the operator's. What it took stands in the audit log.

    The result shows customers' words: this run is erased after an hour.
    """
    given: dict[str, Any] = {
        "persona": (persona or "").strip() or None,
        "instructions": (instructions or "").strip() or None,
        "facts": facts or None,
        "model_provider": model_provider or None,
        "model_name": (model_name or "").strip() or None,
        "temperature": None if temperature is None else http.number("temperature", temperature, 0, 2),
    }
    if any(not isinstance(fact, dict) or set(fact) != {"topic", "text"} for fact in facts or ()):
        raise http.invalid("facts", 'must be a list of {"topic": …, "text": …}')
    changes = {name: value for name, value in given.items() if value is not None}
    with open_desk("try_prompt", None) as desk, connect(get_resource("f/lib/database")) as connection:
        organization_id = desk.organization(organization)
        values = {"organization_id": organization_id, "turn_id": http.uuid("turn_id", (turn_id or "").strip())}
        with tenant(connection, organization_id):
            context = read_turn(connection, values, changes)
        start_script("f/admin/erase_run", {"job_id": os.environ["WM_JOB_ID"]}, SHOWN_SECONDS)
        calls: list[dict[str, Any]] = []
        tools = [dry_tool(offer, context["earlier"], calls) for offer in context["offers"]] if with_tools else []
        answer, error = think(context, tools)
        usage = usage_of(answer)
        with desk.work(organization_id) as record:
            record("turn", values["turn_id"], new={"changed": sorted(changes), "usage": usage, "failed": bool(error)})
    return {
        "answer": answer.text,
        "error": error,
        "then": context["then"],
        "tools_called": calls,
        "steps": answer.steps,
        "usage": usage,
    }


def read_turn(connection: Connection, values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    turn = connection.execute(history_queries.READ_PAST_TURN, values).fetchone()
    asked = connection.execute(history_queries.READ_PAST_ASKED, values).fetchall()
    if turn is None or turn["is_erased"] or not asked:
        raise NotFound(values["turn_id"])
    keys = {**values, **turn, "most": HISTORY_MESSAGES}
    known = connection.execute(READ_CHATBOT, keys).fetchone()
    assert known is not None
    chatbot = changed(known, changes)
    chatbot["questions"] = connection.execute(agent_queries.READ_QUESTIONS, keys).fetchall()
    prices = {"models": Jsonb(model_list(chatbot))}
    earlier = connection.execute(agent_queries.READ_EXECUTIONS, keys).fetchall()
    reply = connection.execute(history_queries.READ_PAST_REPLY, keys).fetchone()
    return {
        "chatbot": chatbot,
        "prices": connection.execute(READ_PRICES, prices).fetchall(),
        "history": connection.execute(history_queries.READ_PAST_HISTORY, keys).fetchall(),
        "asked": [{**row, "body": row["body"][:MESSAGE_CHARACTERS]} for row in asked],
        "offers": [
            offer
            for row in connection.execute(agent_queries.READ_INTEGRATIONS, keys).fetchall()
            for offer in offers_of(row)
        ],
        "earlier": earlier,
        "then": {"answer": reply and reply["reply"], "model": turn["model"], "error": turn["error"]},
    }


def changed(chatbot: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The chatbot with what is to be tried; another model is tried without those that stand in."""
    new = {**chatbot, **changes}
    provider = new["model_provider"]
    if provider != chatbot["model_provider"]:
        if provider != "demo" and "model_name" not in changes:
            raise ValueError("model_name is missing: another provider has other models")
        new |= {"model_resource_path": RESOURCES[provider], "model_name": changes.get("model_name", "demo")}
    if {"model_provider", "model_name"} & changes.keys():
        new["fallback_models"] = []
    return new


def dry_tool(offer: Offer, earlier: list[dict[str, Any]], calls: list[dict[str, Any]]) -> Tool:
    """`offer` as the model sees it; a call is written down and not made."""

    def run(arguments: dict[str, Any]) -> str:
        calls.append({"tool": offer.name, "arguments": arguments})
        for row in earlier:
            is_same = (row["integration_id"], row["tool_name"]) == (offer.integration_id, offer.tool_name)
            if is_same and row["arguments"] == arguments and row["state"] == "succeeded":
                return str(row["result"])
        return NOT_CALLED

    return Tool(offer.name, offer.description, offer.schema, run)


def think(
    context: dict[str, Any], tools: list[Tool], resource: Callable[[str], dict[str, Any]] = get_resource
) -> tuple[Answer, str | None]:
    chatbot = context["chatbot"]
    resources = {}
    for path in {model["resource_path"] for model in model_list(chatbot) if model.get("resource_path")}:
        try:
            resources[path] = resource(path)
        except WindmillError:
            resources[path] = {}
    links = build_links(chatbot, resources, context["prices"])
    chain = Chain(links, Budget(chatbot["max_tokens"], chatbot["max_cost"]))
    messages = build_messages(chatbot, context["history"], context["asked"], tools)
    limits = Limits(steps=chatbot["max_steps"], seconds=chatbot["max_seconds"])
    answer = Answer()
    try:
        run_loop(chain, messages, tools=tools, limits=limits, answer=answer)
    except ModelError as error:
        return answer, error.reason
    answer.text, _ = settle_unknown(answer.text)
    return answer, None


def usage_of(answer: Answer) -> dict[str, Any]:
    costs = [call.cost for call in answer.usage if call.cost is not None]
    return {
        "model": answer.model,
        "calls": len(answer.usage),
        "prompt_tokens": sum(call.prompt_tokens for call in answer.usage),
        "completion_tokens": sum(call.completion_tokens for call in answer.usage),
        "estimated_cost": float(sum(costs)) if costs else None,
    }
