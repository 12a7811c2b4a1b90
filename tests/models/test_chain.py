"""The policy for what goes wrong, with models that do as they are told and a clock that stands still."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from f.agent import chain as policy
from f.agent.answers import whole_sentences
from f.agent.chain import Budget, Chain, Link, Price, estimate, tokens
from f.agent.loop import Allowance, Answer, Completion, Limits, Message, ModelError, Tool, ToolCall, run_loop

ASK = [Message("user", "x" * 300)]  # about a hundred tokens
PRICE = Price(Decimal(1), Decimal(10))
CALL = ToolCall("a", "note", "{}")
NOTE = Tool("note", "", {}, lambda _: "noted")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class FakeModel:
    """Answers what is in `queue`; a number is that many seconds that pass before the next."""

    def __init__(self, clock: Clock, *queue: Completion | ModelError | str | float) -> None:
        self.name = "fake"
        self.clock = clock
        self.queue = list(queue)
        self.allowances: list[Allowance] = []

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool], allowance: Allowance) -> Completion:
        self.allowances.append(allowance)
        answer = self.queue.pop(0)
        if isinstance(answer, float):
            self.clock.now += answer
            answer = self.queue.pop(0)
        if isinstance(answer, ModelError):
            raise answer
        return Completion(answer, "fake-1", 100, 10) if isinstance(answer, str) else answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock):
    def chain(*models: FakeModel, budget: Budget = Budget(), price: Price | None = PRICE, **options) -> Chain:  # noqa: B008
        links = [
            Link("fake", f"m{number}", f"f/agent/m{number}", lambda m=model: m, price)
            for number, model in enumerate(models)
        ]
        return Chain(links, budget, clock=clock, sleep=clock.sleep, **options)

    return chain


def later(retry_after: float | None = None) -> ModelError:
    return ModelError("provider answered 429", "later", retry_after=retry_after)


def ask(chain: Chain, seconds: float = 60) -> Completion:
    return chain.complete(ASK, [], Allowance(seconds))


def test_pauses_grow_and_end_with_the_third_attempt(make, clock):
    model = FakeModel(clock, later(), later(), later(), "never")
    with pytest.raises(ModelError, match="429") as caught:
        ask(make(model))
    assert clock.slept == [0.5, 1.5] and len(caught.value.failures) == 3


def test_the_provider_may_ask_for_more_than_our_pause_but_not_for_less(make, clock):
    assert ask(make(FakeModel(clock, later(0), later(2.5), "ok"))).text == "ok"
    assert clock.slept == [0.5, 2.5]


def test_a_long_retry_after_is_waited_for_only_when_no_other_model_is_there(make, clock):
    assert ask(make(FakeModel(clock, later(20), "ok"))).text == "ok"
    assert clock.slept == [20]
    second = FakeModel(clock, "other")
    answer = ask(make(FakeModel(clock, later(20), "never"), second))
    assert answer.text == "other" and clock.slept == [20]


def test_retry_after_beyond_the_turn_is_not_waited_for(make, clock):
    with pytest.raises(ModelError):
        ask(make(FakeModel(clock, later(30), "never")), seconds=30)
    assert clock.slept == []


@pytest.mark.parametrize("kind", ["refused", "denied", "blocked", "hang"])
def test_what_the_same_model_will_not_do_better_goes_to_the_next_at_once(make, clock, kind):
    first, second = FakeModel(clock, ModelError("no", kind), "never"), FakeModel(clock, "ok")
    answer = ask(make(first, second))
    assert answer.text == "ok" and clock.slept == []
    assert [(f.kind, f.model, f.resource_path) for f in answer.failures] == [(kind, "m0", "f/agent/m0")]
    assert (answer.provider, answer.resource_path) == ("fake", "f/agent/m1")


def test_the_next_model_keeps_the_turn(make, clock):
    chain = make(FakeModel(clock, ModelError("no"), "never"), FakeModel(clock, "one", "two"))
    assert [ask(chain).text, ask(chain).text] == ["one", "two"] and chain.name == "m1"


def test_an_adapter_that_cannot_be_built_is_passed_over(clock):
    def broken():
        raise ModelError("the model's resource has no api_key", "denied")

    links = [Link("a", "m", "f/x/y", broken), Link("b", "m", None, lambda: FakeModel(clock, "ok"))]
    assert ask(Chain(links)).failures[0].kind == "denied"


def test_the_last_model_is_tried_again_after_a_hang_while_there_is_time(make, clock):
    hang = ModelError("no answer", "hang")
    assert ask(make(FakeModel(clock, 20.0, hang, "ok"))).text == "ok"
    with pytest.raises(ModelError):
        ask(make(FakeModel(clock, 59.5, hang, "never")))


def test_one_call_takes_at_most_forty_seconds_and_leaves_a_third_to_the_others(make, clock):
    model, other = FakeModel(clock, "ok", "ok"), FakeModel(clock)
    ask(make(model), seconds=60)
    ask(make(model, other), seconds=30)
    assert [allowance.seconds for allowance in model.allowances] == [40, 20]


def test_no_model_is_begun_with_when_the_time_is_over(make, clock):
    second = FakeModel(clock, "never")
    with pytest.raises(ModelError, match="429"):
        ask(make(FakeModel(clock, 29.5, later()), second), seconds=30)
    assert second.allowances == []


def test_the_lease_is_renewed_before_every_pause_and_further_call(make, clock):
    renewed = []
    models = FakeModel(clock, later(), ModelError("no")), FakeModel(clock, "ok")
    ask(make(*models, before_retry=lambda: renewed.append(clock.now)))
    assert renewed == [0.0, 0.5, 0.5]  # before the pause, the second call and the next model


def test_a_lost_lease_ends_everything(make, clock):
    class LeaseLost(Exception):
        pass

    def renew():
        raise LeaseLost

    with pytest.raises(LeaseLost):
        ask(make(FakeModel(clock, later(), "never"), before_retry=renew))


# Tokens and money -------------------------------------------------------------------------------


def test_each_answer_is_priced_and_may_be_as_long_as_the_rest_of_the_budget(make, clock):
    model = FakeModel(clock, "one", "two")
    chain = make(model, budget=Budget(tokens=1000, cost=Decimal("0.01")))
    assert ask(chain).cost == Decimal("0.0002")  # 100 tokens at 1, 10 at 10 a million
    ask(chain)
    left = 1000 - estimate(ASK, [])
    assert [allowance.answer_tokens for allowance in model.allowances] == [left, left - 110]


def test_without_caps_an_answer_is_bounded_all_the_same(make, clock):
    model = FakeModel(clock, "ok")
    ask(make(model))
    assert model.allowances[0].answer_tokens == policy.ANSWER_TOKENS


@pytest.mark.parametrize(("budget", "written"), [(Budget(tokens=400), 90), (Budget(cost=Decimal("0.004")), 290)])
def test_when_the_budget_runs_low_the_model_must_answer_and_then_it_is_over(make, clock, budget, written):
    asked = Completion("", "fake-1", 100, written, (CALL,))
    model = FakeModel(clock, asked, Completion("x", "fake-1", 100, 90))
    chain = make(model, budget=budget)
    run_loop(chain, ASK, [NOTE], Limits(), Answer(), clock=clock)
    assert [allowance.may_call for allowance in model.allowances] == [True, False]
    with pytest.raises(ModelError, match="used up") as caught:
        ask(chain)
    assert caught.value.kind == "spent"


def test_a_prompt_that_alone_is_too_dear_is_not_sent(make, clock):
    model = FakeModel(clock, "never")
    with pytest.raises(ModelError, match=r"money \(0\.0001\) is used up"):
        ask(make(model, budget=Budget(cost=Decimal("0.0001"))))
    assert model.allowances == []


def test_a_cheaper_model_may_go_on_where_the_first_is_too_dear(clock):
    dear, cheap = FakeModel(clock, "never"), FakeModel(clock, "ok")
    links = [Link("f", "dear", None, lambda: dear, Price(Decimal(100), Decimal(100))),
             Link("f", "cheap", None, lambda: cheap, Price(Decimal(1), Decimal(1)))]  # fmt: skip
    assert ask(Chain(links, Budget(cost=Decimal("0.001")))).text == "ok"


def test_money_does_not_cap_a_model_without_a_price(make, clock):
    answer = ask(make(FakeModel(clock, "ok"), price=None, budget=Budget(cost=Decimal("0.000001"))))
    assert answer.text == "ok" and answer.cost is None


def test_answers_in_vain_are_paid_for(make, clock):
    blocked = Completion("", "fake-1", 300, 50, finish="blocked", detail="SAFETY")
    chain = make(FakeModel(clock, blocked), FakeModel(clock, "ok"), budget=Budget(tokens=500))
    with pytest.raises(ModelError, match="500 tokens are used up") as caught:
        ask(chain)
    assert caught.value.failures[0].usage.cost == PRICE.of(300, 50)


def test_a_server_that_does_not_count_is_counted_by_us(make, clock):
    answer = ask(make(FakeModel(clock, Completion("x" * 30, "fake-1", 0, 0))))
    assert (answer.prompt_tokens, answer.completion_tokens) == (estimate(ASK, []), 10)


# Text that was cut off -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("It is open. We clo", "It is open."),
        ("It is open. It closes at 3.", "It is open."),
        ("It costs 3.50 and", ""),
        ("¿Mañana? Sí, abrimos a las 10:00. Y el", "¿Mañana? Sí, abrimos a las 10:00."),
        ('He said "yes." And the', 'He said "yes."'),
        ("Prices:\n- tyres: 9 €\n- brak", "Prices:\n- tyres: 9 €"),
        ("営業中です。明日は", "営業中です。"),
        ("It is open.", "It is open."),
        ("No end", ""),
        ("", ""),
    ],
)
def test_whole_sentences(text, whole):
    assert whole_sentences(text) == whole


@given(st.text())
def test_what_is_kept_is_a_beginning(text):
    assert text.strip().startswith(whole_sentences(text))
    assert tokens(text) <= len(text.encode())
