"""The agent loop with a model that says what it was told to say."""

from collections.abc import Sequence

import pytest

from f.agent.loop import (
    Allowance,
    Answer,
    Completion,
    Failure,
    InvalidCall,
    Limits,
    Message,
    ModelError,
    Tool,
    ToolCall,
    ToolError,
    run_loop,
)


class FakeModel:
    """Answers what was enqueued, in order; `history` is what it was asked."""

    name = "fake"

    def __init__(self) -> None:
        self.queue: list[Completion | ModelError] = []
        self.history: list[list[Message]] = []
        self.allowances: list[Allowance] = []

    def enqueue(self, text: str = "", *calls: ToolCall) -> "FakeModel":
        self.queue.append(Completion(text, "fake-1", 10, 2, calls))
        return self

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool], allowance: Allowance) -> Completion:
        self.history.append(list(messages))
        self.allowances.append(allowance)
        answer = self.queue.pop(0)
        if isinstance(answer, ModelError):
            raise answer
        return answer


def price(arguments: dict) -> str:
    if arguments.get("quantity", 0) < 1:
        raise ToolError("quantity must be at least 1")
    return f"{arguments['quantity'] * 5} €"


SCHEMA = {"type": "object", "properties": {"quantity": {"type": "integer"}}, "required": ["quantity"]}
PRICE = Tool("price", "What it costs", SCHEMA, price)
ASK = [Message("system", "You are a bot."), Message("user", "How much?")]


def run(model: FakeModel, limits: Limits = Limits(), **options) -> Answer:  # noqa: B008
    answer = Answer()
    run_loop(model, ASK, [PRICE], limits, answer, **options)
    return answer


def test_text_ends_the_loop():
    answer = run(FakeModel().enqueue("  Five euros. "))
    assert answer.text == "Five euros."
    assert [step["kind"] for step in answer.steps] == ["model"]
    assert answer.model == "fake-1"


def test_several_tool_calls_at_once_are_all_answered_before_the_next_call():
    model = FakeModel().enqueue(
        "", ToolCall("a", "price", '{"quantity": 1}'), ToolCall("b", "price", '{"quantity": 3}')
    )
    answer = run(model.enqueue("5 and 15"))
    results = [(m.tool_call_id, m.content) for m in model.history[1] if m.role == "tool"]
    assert results == [("a", "5 €"), ("b", "15 €")]
    assert answer.tools == ["price", "price"]
    assert [call.prompt_tokens for call in answer.usage] == [10, 10]


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (ToolCall("a", "prize", "{}"), "There is no tool 'prize'. Tools: price."),
        (ToolCall("a", "price", "{oops"), "not valid JSON"),
        (ToolCall("a", "price", "[1]"), "must be a JSON object"),
        (ToolCall("a", "price", '{"quantity": "two"}'), "do not fit the tool: $.quantity: 'two' is not of type"),
        (ToolCall("a", "price", "{}"), "'quantity' is a required property"),
    ],
)
def test_an_invalid_call_is_explained_to_the_model_and_repaired_at_most_twice(call, hint):
    model = FakeModel().enqueue("", call).enqueue("", call).enqueue("Sorry.")
    assert run(model).text == "Sorry."
    assert hint in model.history[1][-1].content
    with pytest.raises(ModelError, match="3 invalid tool calls"):
        run(FakeModel().enqueue("", call).enqueue("", call).enqueue("", call))


def test_a_tools_own_error_is_for_the_model_and_no_mistake():
    call = ToolCall("a", "price", '{"quantity": 0}')
    model = FakeModel()
    for _ in range(4):
        model.enqueue("", call)
    assert run(model.enqueue("How many do you want?")).text == "How many do you want?"
    assert model.history[1][-1].content == "Error: quantity must be at least 1"


def test_arguments_that_do_not_fit_are_a_mistake():
    def refuse(arguments: dict) -> str:
        raise InvalidCall("quantity: 'x' is not an integer")

    call = ToolCall("a", "price", '{"quantity": "x"}')
    model = FakeModel()
    for _ in range(3):
        model.enqueue("", call)
    with pytest.raises(ModelError, match="3 invalid tool calls"):
        run_loop(model, ASK, [Tool("price", "", {}, refuse)], Limits(), Answer())
    assert model.history[1][-1].content == "Error: quantity: 'x' is not an integer"


def test_of_many_calls_at_once_the_first_are_made_and_all_are_answered():
    calls = [ToolCall(str(n), "price", f'{{"quantity": {n + 1}}}') for n in range(100)]
    model = FakeModel().enqueue("", *calls)
    answer = run(model.enqueue("Enough."), Limits(calls=3))
    assert answer.tools == ["price"] * 3
    results = [m.content for m in model.history[1] if m.role == "tool"]
    assert results[:4] == ["5 €", "10 €", "15 €", "Not called: at most 3 calls at a time."] and len(results) == 100


def test_time_is_up_between_two_tool_calls():
    times = iter([0.0] * 6 + [59.5])
    model = FakeModel().enqueue("", ToolCall("a", "price", '{"quantity": 1}'), ToolCall("b", "price", "{}"))
    answer = Answer()
    with pytest.raises(ModelError, match="within 60 s"):
        run_loop(model, ASK, [PRICE], Limits(), answer, clock=lambda: next(times, 60.0))
    assert len(answer.tools) <= 1


def test_an_endless_loop_ends_at_the_cap():
    model = FakeModel()
    for _ in range(9):
        model.enqueue("", ToolCall("a", "price", '{"quantity": 1}'))
    with pytest.raises(ModelError, match="no answer after 3 steps"):
        run(model, Limits(steps=3))
    assert len(model.history) == 3


def test_time_is_up():
    times = iter([0.0, 0.0, 1.0, 50.0, 59.5])
    model = FakeModel().enqueue("", ToolCall("a", "price", '{"quantity": 1}')).enqueue("late")
    with pytest.raises(ModelError, match="within 50 s"):
        run(model, Limits(seconds=50), clock=lambda: next(times, 60.0))


def test_an_empty_answer_is_an_error_and_its_cost_is_known():
    answer = Answer()
    with pytest.raises(ModelError, match="empty"):
        run_loop(FakeModel().enqueue("  "), ASK, [], Limits(), answer)
    assert answer.usage[0].completion_tokens == 2


def test_the_lease_is_renewed_before_every_call():
    renewed = []
    model = FakeModel().enqueue("", ToolCall("a", "price", '{"quantity": 1}')).enqueue("5 €")
    run(model, before_call=lambda: renewed.append(len(model.history)))
    assert renewed == [0, 1, 1]


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:9/never-fetched"}, {"$ref": "#/missing"}, {}]
)
def test_a_schema_that_cannot_be_used_excludes_nothing_and_fetches_nothing(schema):
    tool = Tool("price", "What it costs", schema, price)
    model = FakeModel().enqueue("", ToolCall("a", "price", '{"quantity": 1}')).enqueue("5 €")
    answer = Answer()
    run_loop(model, ASK, [tool], Limits(), answer)
    assert answer.text == "5 €" and model.history[1][-1].content == "5 €"


def test_the_last_step_and_the_last_quarter_of_the_time_must_be_an_answer():
    call = ToolCall("a", "price", '{"quantity": 1}')
    model = FakeModel().enqueue("", call).enqueue("", call).enqueue("5 €")
    run(model, Limits(steps=3))
    assert [allowance.may_call for allowance in model.allowances] == [True, True, False]
    times = iter([0.0, 0.0, 1.0, 1.0, 1.0, 31.0, 31.0])
    model = FakeModel().enqueue("", call).enqueue("5 €")
    run(model, Limits(seconds=40), clock=lambda: next(times, 31.0))
    assert [allowance.may_call for allowance in model.allowances] == [True, False]
    assert model.allowances[1].seconds == 9


def test_a_call_that_even_the_provider_could_not_read_is_a_mistake():
    model = FakeModel()
    model.queue += [Completion("", "fake-1", 10, 2, finish="malformed")] * 2
    assert run(model.enqueue("Sorry.")).text == "Sorry."
    assert "could not be read" in model.history[1][-1].content
    model.queue += [Completion("", "fake-1", 10, 2, finish="malformed")] * 3
    with pytest.raises(ModelError, match="3 invalid tool calls"):
        run(model)


def test_a_call_that_was_cut_off_is_not_run_though_its_arguments_are_json():
    model = FakeModel()
    cut = (ToolCall("a", "price", '{"quantity": 1}'),)
    model.queue.append(Completion("", "fake-1", 10, 2, cut, finish="length"))
    answer = run(model.enqueue("Sorry."))
    assert answer.tools == [] and answer.steps[0]["finish"] == "length"


def test_calls_in_vain_are_steps_and_what_they_cost_is_usage():
    paid = Completion("", "fake-1", 7, 0, finish="blocked")
    failures = (Failure("p", "m", None, "later", "503", 20), Failure("p", "m", None, "blocked", "no", 30, paid))
    model = FakeModel()
    model.queue.append(Completion("5 €", "fake-2", 10, 2, failures=failures))
    answer = run(model)
    assert [step.get("error") for step in answer.steps] == ["503", "no", None]
    assert [call.prompt_tokens for call in answer.usage] == [7, 10]
    answer = Answer()
    model.queue.append(ModelError("no", "blocked", failures=failures))
    with pytest.raises(ModelError):
        run_loop(model, ASK, [], Limits(), answer)
    assert answer.usage == [paid] and len(answer.failures) == 2


def test_what_a_model_wants_back_goes_back():
    model = FakeModel()
    call = (ToolCall("a", "price", '{"quantity": 1}'),)
    model.queue.append(Completion("", "fake-1", 10, 2, call, origin="fake:m", echo={"signature": 1}))
    run(model.enqueue("5 €"))
    assert (model.history[1][2].origin, model.history[1][2].echo) == ("fake:m", {"signature": 1})
