"""What only OpenAI's protocol has."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from f.agent.loop import Allowance, Message, ModelError, Tool, ToolCall
from f.agent.openai_model import OpenAIModel, encode, json_object
from local.standins import OpenAIStandIn, json_reply

TOOL = Tool("price", "What it costs", {"type": "object", "properties": {"quantity": {"type": "integer"}}}, str)


@pytest.fixture
def model(openai: OpenAIStandIn) -> OpenAIModel:
    return OpenAIModel("m", openai.resource["api_key"], openai.resource["base_url"], 0.2)


def ask(model: OpenAIModel, *messages: Message, tools=(), **allowance):
    return model.complete(messages or (Message("user", "hi"),), tools, Allowance(4, **allowance))


def test_the_whole_request(openai, model):
    ask(model, Message("system", "s"), Message("user", "hi"), answer_tokens=99)
    assert openai.history == [
        {
            "model": "m",
            "temperature": 0.2,
            "max_completion_tokens": 99,
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}],
        }
    ]


def test_a_model_that_takes_no_temperature_is_asked_without_from_then_on(openai, model):
    openai.enqueue(openai.refuse(400, "unsupported_value", "temperature"), openai.text("ok"), openai.text("ok"))
    ask(model)
    ask(model)
    assert ["temperature" in request for request in openai.history] == [True, False, False]


def test_an_empty_account_is_no_matter_of_waiting(openai, model):
    openai.enqueue(openai.refuse(429, "insufficient_quota"))
    with pytest.raises(ModelError) as caught:
        ask(model)
    assert caught.value.kind == "denied"


def test_the_models_own_refusal_and_a_filtered_prompt_are_blocked(openai, model):
    openai.enqueue(openai.refused_by_the_model(), openai.refuse(400, "content_filter"))
    assert ask(model).finish == "blocked"
    with pytest.raises(ModelError) as caught:
        ask(model)
    assert caught.value.kind == "blocked"


def test_retry_after_in_milliseconds_counts_first(openai, model):
    openai.enqueue(openai.refuse(429, "slow", retry_after="9", retry_after_ms="250"))
    with pytest.raises(ModelError) as caught:
        ask(model)
    assert caught.value.retry_after == 0.25


def test_broken_arguments_reach_the_loop_as_written_and_go_back_as_json(openai, model):
    openai.enqueue(openai.calls(("price", '{"quantity": ')))
    answer = ask(model, tools=[TOOL])
    assert answer.tool_calls == (ToolCall("call_0", "price", '{"quantity": '),)
    sent = encode(Message("assistant", "", answer.tool_calls), model.origin)
    assert sent["tool_calls"][0]["function"]["arguments"] == "{}"


def test_what_a_server_adds_to_a_call_goes_back_to_it_alone(openai, model):
    call = {"id": "a", "type": "function", "function": {"name": "price", "arguments": "{}"}, "extra_content": {"s": 1}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    openai.enqueue(json_reply({"choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}))
    answer = ask(model, tools=[TOOL])
    back = Message("assistant", "", answer.tool_calls, origin=answer.origin, echo=answer.echo)
    assert encode(back, model.origin)["tool_calls"][0] == call
    assert "extra_content" not in encode(back, "openai:another")["tool_calls"][0]
    assert (answer.model, answer.prompt_tokens) == ("m", 0)


@given(st.text() | st.dictionaries(st.text(), st.none() | st.integers() | st.text()).map(json.dumps))
def test_arguments_are_sent_as_an_object_and_valid_ones_unchanged(arguments):
    sent = json_object(arguments)
    assert isinstance(json.loads(sent), dict)
    assert sent in (arguments, "{}")
