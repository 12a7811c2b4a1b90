"""The adapter over the real SDK and real HTTP, to a stand-in that speaks the provider's protocol."""

import json
import time

import pytest
from pytest_httpserver import HTTPServer

from f.agent.loop import Message, ModelError, Tool, ToolCall
from f.agent.openai_model import OpenAIModel

PATH = "/v1/chat/completions"
TOOL = Tool("price", "What it costs", {"type": "object", "properties": {"quantity": {"type": "integer"}}}, str)


def completion(message: dict, finish_reason: str = "stop", **more) -> dict:
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", **message}}
    usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-1",
        "choices": [choice],
        "usage": usage,
        **more,
    }


@pytest.fixture
def model(httpserver: HTTPServer) -> OpenAIModel:
    return OpenAIModel("m", {"api_key": "k", "base_url": httpserver.url_for("/v1")}, temperature=0.2)


def ask(model: OpenAIModel, *messages: Message, tools=(), seconds=4.0):
    return model.complete(messages or (Message("user", "hi"),), tools, seconds)


def test_text_and_usage(httpserver, model):
    httpserver.expect_request(PATH, method="POST").respond_with_json(completion({"content": "¡Hola!"}))
    answer = ask(model, Message("system", "s"), Message("user", "hi"))
    assert (answer.text, answer.model, answer.prompt_tokens, answer.completion_tokens) == ("¡Hola!", "m-1", 11, 3)
    request, _ = httpserver.log[0]
    assert request.headers["authorization"] == "Bearer k"
    assert json.loads(request.data) == {
        "model": "m",
        "temperature": 0.2,
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}],
    }


def test_tool_calls_go_out_and_come_back(httpserver, model):
    calls = [
        {"id": i, "type": "function", "function": {"name": "price", "arguments": a}}
        for i, a in (("a", "{}"), ("b", ""))
    ]
    httpserver.expect_request(PATH).respond_with_json(completion({"content": None, "tool_calls": calls}, "tool_calls"))
    before = Message("assistant", "", (ToolCall("z", "price", "{}"),))
    answer = ask(model, before, Message("tool", "5 €", tool_call_id="z"), tools=[TOOL])
    assert answer.tool_calls == (ToolCall("a", "price", "{}"), ToolCall("b", "price", "{}"))
    sent = json.loads(httpserver.log[0][0].data)
    assert sent["tools"][0]["function"]["name"] == "price"
    assert sent["messages"][0]["tool_calls"][0]["id"] == "z"
    assert sent["messages"][1] == {"role": "tool", "content": "5 €", "tool_call_id": "z"}


def test_429_is_tried_once_more_then_given_up(httpserver, model):
    httpserver.expect_ordered_request(PATH).respond_with_json({"error": {}}, status=429, headers={"retry-after": "0"})
    httpserver.expect_ordered_request(PATH).respond_with_json(completion({"content": "ok"}))
    assert ask(model).text == "ok"
    httpserver.clear()
    error = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
    httpserver.expect_request(PATH).respond_with_json(error, status=429, headers={"retry-after": "0"})
    with pytest.raises(ModelError, match="provider answered 429: rate_limit_exceeded"):
        ask(model)
    assert len(httpserver.log) == 2


@pytest.mark.parametrize("status", [400, 401, 500, 503])
def test_other_refusals_name_the_status(httpserver, model, status):
    httpserver.expect_request(PATH).respond_with_data("<html>no</html>", status=status, content_type="text/html")
    with pytest.raises(ModelError, match=f"provider answered {status}"):
        ask(model)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (completion({"content": "no"}, "content_filter"), "blocked"),
        (completion({"content": "x"}, choices=[]), "no choices"),
    ],
)
def test_answers_without_an_answer(httpserver, model, answer, reason):
    httpserver.expect_request(PATH).respond_with_json(answer)
    with pytest.raises(ModelError, match=reason):
        ask(model)


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "null",
        '{"choices": [null]}',
        '{"choices": {"0": 1}}',
        '{"choices": [{}]}',
        '{"choices": [{"message": {"content": [{"type": "text"}]}}]}',
        '{"choices": [{"message": {"tool_calls": [{"type": "function"}]}}]}',
    ],
)
def test_an_answer_of_another_shape_is_a_model_error(httpserver, model, body):
    httpserver.expect_request(PATH).respond_with_data(body, content_type="application/json")
    with pytest.raises(ModelError):
        ask(model)


def test_what_a_tolerated_answer_leaves_out_is_zero_or_empty(httpserver, model):
    call = {"id": "a", "type": "function", "function": {"name": "price", "arguments": {"quantity": 1}}}
    answer = completion({"content": None, "tool_calls": [call]}, usage={"prompt_tokens": None})
    httpserver.expect_request(PATH).respond_with_json(answer)
    said = ask(model)
    assert (said.text, said.prompt_tokens, said.completion_tokens) == ("", 0, 0)
    assert said.tool_calls == (ToolCall("a", "price", '{"quantity": 1}'),)


def test_a_pause_longer_than_the_time_there_is_is_not_waited_for(httpserver, model):
    """The lease was renewed before the call, for not much longer than the call may take."""
    httpserver.expect_request(PATH).respond_with_json({"error": {}}, status=429, headers={"retry-after": "20"})
    started = time.monotonic()
    with pytest.raises(ModelError, match="provider answered 429"):
        ask(model, seconds=4)
    assert time.monotonic() - started < 2
    assert len(httpserver.log) == 1


def test_a_provider_that_hangs_up_or_is_not_there(httpserver):
    model = OpenAIModel("m", {"api_key": "k", "base_url": "http://127.0.0.1:9/v1"}, 0)
    with pytest.raises(ModelError, match="provider failed: APIConnectionError"):
        ask(model)


def test_a_hang_ends_at_the_time_given(httpserver, model):
    httpserver.expect_request(PATH).respond_with_handler(lambda request: time.sleep(1.5))
    started = time.monotonic()
    with pytest.raises(ModelError, match="APITimeoutError"):
        ask(model, seconds=0.6)
    assert time.monotonic() - started < 1.5 + 1.0


def test_without_a_key_nothing_is_called():
    with pytest.raises(ModelError, match="no api_key"):
        OpenAIModel("m", {"api_key": ""}, 0)
