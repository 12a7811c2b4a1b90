"""A chatbot's re-ranker in a turn: asked once, paid for, and never missed silently."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from shelf import DENTAL, Shelf
from steps import Platform

from f.lib.database import connect
from f.whatsapp.turn_queries import TURN_SETTINGS

TEXTS = (
    "# Crowns\n\nA crown of zirconia costs 640 pounds.",
    "# Bridges\n\nA bridge of zirconia costs 900 pounds.",
    "# Care\n\nA crown is cleaned as a tooth is.",
)
QUESTION = "How much is a crown of zirconia?"


@pytest.fixture
def shelf(platform: Platform) -> Iterator[Shelf]:
    with connect(platform.database) as connection:
        made = Shelf(connection, platform.owner.info.dsn + " password=owner-word")
        for text in TEXTS:
            made.learn(text, organization_id=DENTAL, name=f"{uuid4().hex}.md")
        # Words alone: no model of embeddings is needed for this.
        platform.owner.execute(
            "update chatbots set embedding_model = 'text-embedding-3-small', embedding_dimensions = 512,"
            " embedding_resource_path = 'f/agent/openai'"
        )
        yield made
        made.owner.close()


def settings(platform: Platform, **values: str) -> None:
    names = ", ".join(f"{name} = %({name})s" for name in values)
    platform.owner.execute(f"update chatbots set {names} where slug = 'harbour-dental'", values)


def turn(platform: Platform, resources: dict) -> dict:
    loaded = platform.load(platform.delivery(QUESTION))
    platform.generate(loaded, resources)
    platform.send(loaded)
    (row,) = platform.rows("select steps, model from turns order by started_at desc limit 1")
    return row


def test_an_api_is_asked_and_its_resource_is_handed_to_the_step(platform, shelf, api):
    settings(platform, reranker="api", reranker_model="rerank-1", reranker_resource_path="f/agent/rerank")
    loaded = platform.load(platform.delivery(QUESTION))
    with connect(platform.database) as connection:
        connection.execute("select set_config('app.organization_id', %s, false)", [DENTAL])
        row = connection.execute(TURN_SETTINGS, loaded["turn"]).fetchone()
    assert "f/agent/rerank" in row["model_resources"]
    platform.generate(loaded, {"f/agent/rerank": api.resource})
    (request,) = api.history
    assert (request["model"], request["query"]) == ("rerank-1", QUESTION) and len(request["documents"]) == 3
    assert "reranking_failed" not in platform.alerts()


def test_when_the_api_fails_the_answer_comes_all_the_same_and_somebody_is_told(platform, shelf, api):
    settings(platform, reranker="api", reranker_model="rerank-1", reranker_resource_path="f/agent/rerank")
    api.enqueue(api.refuse(503, "no"))
    step = turn(platform, {"f/agent/rerank": api.resource})["steps"][0]
    assert step["error"] == "rerank-1 answered 503" and "640 pounds" in platform.whatsapp.texts[0]
    (alert,) = platform.rows("select subject, details from system_alerts where kind = 'reranking_failed'")
    assert alert["details"] == {"reason": "rerank-1 answered 503", "reranker": "api"}
    assert alert["subject"] == str(shelf.chatbot(DENTAL)["id"])
    turn(platform, {"f/agent/rerank": api.resource})
    assert "reranking_failed" not in platform.alerts(), "it ends by itself"
    turn(platform, {})
    assert "reranking_failed" in platform.alerts()
    settings(platform, reranker="offline")
    turn(platform, {})
    assert "reranking_failed" not in platform.alerts()


def test_the_chatbots_model_orders_once_and_is_paid_for(platform, shelf, openai):
    settings(platform, reranker="model", model_provider="openai", model_name="m-1", model_resource_path="f/agent/m")
    openai.enqueue(
        openai.text("[3, 1, 2]", prompt_tokens=500), openai.calls(("search_knowledge", '{"query": "crown"}'))
    )
    openai.enqueue(openai.text("It costs 640 pounds [1]."))
    row = turn(platform, {"f/agent/m": openai.resource})
    assert [step["name"] for step in row["steps"]] == [
        "order by m-1", "passages", "m-1", "search_knowledge", "m-1"]  # fmt: skip
    assert row["model"] == "m-1" and len(openai.history) == 3, "the tool's search is ordered offline"
    assert "passages" in openai.history[0]["messages"][0]["content"] and not openai.history[0].get("tools")
    usage = platform.rows("select prompt_tokens from usage_logs order by call")
    assert [call["prompt_tokens"] for call in usage] == [500, 11, 11]
    assert platform.rows("select tokens from quota_usage")[0]["tokens"] >= 522
    assert "640 pounds" in platform.whatsapp.texts[0]


def test_a_model_that_answers_no_order_is_told_of(platform, shelf, openai):
    settings(platform, reranker="model", model_provider="openai", model_name="m-1", model_resource_path="f/agent/m")
    openai.enqueue(openai.text("No idea."), openai.text("It costs 640 pounds."))
    row = turn(platform, {"f/agent/m": openai.resource})
    assert row["steps"][1]["error"] == "m-1 answered no order" and "640 pounds" in platform.whatsapp.texts[0]
    assert "reranking_failed" in platform.alerts()
    openai.enqueue(openai.text("[1]"), openai.text("It costs 640 pounds."))
    turn(platform, {"f/agent/m": openai.resource})
    assert "reranking_failed" not in platform.alerts()


def test_without_a_re_ranker_both_scores_count(platform, shelf):
    settings(platform, reranker="none")
    turn(platform, {})
    assert "640 pounds" in platform.whatsapp.texts[0]
