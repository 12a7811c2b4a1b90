"""What only Gemini's protocol has."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from f.agent.gemini_model import FOREIGN_SIGNATURE, GeminiModel, encode
from f.agent.loop import Allowance, Message, ModelError, Tool, ToolCall
from local.standins import GeminiStandIn, json_reply, usage

SCHEMA = {"type": "object", "properties": {"quantity": {"type": "integer"}}, "additionalProperties": False}
TOOL = Tool("price", "What it costs", SCHEMA, str)


@pytest.fixture
def model(gemini: GeminiStandIn) -> GeminiModel:
    return GeminiModel("gemini-x", gemini.resource["api_key"], gemini.resource["base_url"], 0.2)


def ask(model: GeminiModel, *messages: Message, tools=(), **allowance):
    return model.complete(messages or (Message("user", "hi"),), tools, Allowance(4, **allowance))


def test_the_whole_request(gemini, model):
    ask(model, Message("system", "s"), Message("user", "hi"), tools=[TOOL], answer_tokens=99)
    assert gemini.history == [
        {
            "contents": [{"parts": [{"text": "hi"}], "role": "user"}],
            "systemInstruction": {"parts": [{"text": "s"}], "role": "user"},
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "price", "description": "What it costs", "parameters_json_schema": SCHEMA}
                    ]
                }
            ],
            "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
            "generationConfig": {"temperature": 0.2, "maxOutputTokens": 99},
        }
    ]


def test_calls_go_back_as_they_came_with_signatures_and_ids(gemini, model):
    gemini.enqueue(gemini.calls(("price", '{"quantity": 1}'), ("price", '{"quantity": 2}'), text="Let me see."))
    answer = ask(model, tools=[TOOL])
    back = Message("assistant", answer.text, answer.tool_calls, origin=answer.origin, echo=answer.echo)
    ask(model, Message("user", "hi"), back, *(Message("tool", "5", tool_call_id=c.id) for c in answer.tool_calls))
    _, called, results = gemini.history[1]["contents"]
    assert called["role"] == "model" and called["parts"][0] == {"text": "Let me see."}
    assert base64.urlsafe_b64decode(called["parts"][1]["thoughtSignature"]) == b"signed\xff"
    assert [part["functionResponse"]["id"] for part in results["parts"]] == ["call_0", "call_1"]
    assert results["parts"][0]["functionResponse"]["response"] == {"output": "5"}


def test_thoughts_are_paid_for_and_not_said(gemini, model):
    body = {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}, {"text": "Yes."}]}}]}
    gemini.enqueue(json_reply(body | {"usageMetadata": usage(7, 2) | {"thoughtsTokenCount": 5}}))
    answer = ask(model)
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("Yes.", 7, 7)
    assert answer.model == "gemini-x" and answer.finish == "stop"


def test_calls_without_ids_get_one_that_is_never_sent(gemini, model):
    parts = [{"functionCall": {"name": "price", "args": {"quantity": n}}} for n in (1, 2)]
    gemini.enqueue(json_reply({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}))
    answer = ask(model, tools=[TOOL])
    first, second = answer.tool_calls
    assert first.id != second.id and json.loads(second.arguments) == {"quantity": 2}
    back = Message("assistant", "", answer.tool_calls, origin=answer.origin, echo=answer.echo)
    contents = encode([back, Message("tool", "5", tool_call_id=first.id)], model.origin)
    assert contents[1].parts[0].function_response.id is None


def test_calls_of_another_model_get_the_signature_that_gemini_takes_for_them(model):
    back = Message("assistant", "", (ToolCall("a", "price", "{oops"), ToolCall("b", "price", '{"quantity": 2}')))
    parts = encode([back], model.origin)[0].parts
    assert [part.thought_signature for part in parts] == [FOREIGN_SIGNATURE, None]
    assert [part.function_call.args for part in parts] == [{}, {"quantity": 2}]


def test_a_blocked_prompt_names_its_reason(gemini, model):
    gemini.enqueue(gemini.blocked_prompt())
    answer = ask(model)
    assert (answer.finish, answer.detail, answer.prompt_tokens) == ("blocked", "PROHIBITED_CONTENT", 11)


def test_a_call_that_google_could_not_read_is_the_models_mistake(gemini, model):
    gemini.enqueue(gemini.malformed())
    assert ask(model).finish == "malformed"


def test_a_reason_of_next_year_is_a_block(gemini, model):
    gemini.enqueue(json_reply({"candidates": [{"finishReason": "NOT_YET_INVENTED"}]}))
    assert ask(model).finish == "blocked"


def test_a_limit_for_the_day_is_not_waited_for(gemini, model):
    gemini.enqueue(gemini.too_many(43200))
    with pytest.raises(ModelError) as caught:
        ask(model)
    assert caught.value.kind == "later" and caught.value.retry_after == 43200


TEXT = st.text(min_size=1)
CALL = st.builds(ToolCall, st.uuids().map(str), st.just("price"), st.just('{"quantity": 1}') | TEXT)


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXT, st.lists(CALL, max_size=3)), max_size=8))
def test_every_call_is_followed_by_its_results_in_one_content(turns):
    messages = []
    for role, text, calls in turns:
        calls = tuple(calls) if role == "assistant" else ()
        messages.append(Message(role, text, calls))
        messages += [Message("tool", "5", tool_call_id=call.id) for call in calls]
    contents = encode(messages, "gemini:m")
    for at, content in enumerate(contents):
        calls = [part for part in content.parts if part.function_call]
        if calls:
            assert len(contents[at + 1].parts) == len(calls)
            assert all(part.function_response for part in contents[at + 1].parts)
