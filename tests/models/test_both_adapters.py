"""Everything a provider may do, over the real SDKs and real HTTP: one test for both adapters."""

import json
import time

import pytest

from f.agent import chain as policy
from f.agent.chain import Chain
from f.agent.loop import Allowance, Answer, Limits, Message, ModelError, Tool, ToolError, run_loop


def price(arguments: dict) -> str:
    if arguments["quantity"] > 100:
        raise ToolError("we do not have that many")
    return f"{arguments['quantity'] * 5} €"


SCHEMA = {"type": "object", "properties": {"quantity": {"type": "integer"}}, "required": ["quantity"]}
PRICE = Tool("price", "What it costs", SCHEMA, price)
ASK = [Message("system", "You are a bot."), Message("user", "How much?")]
ONE, THREE = ("price", '{"quantity": 1}'), ("price", '{"quantity": 3}')


@pytest.fixture
def ask(provider, link, monkeypatch):
    """Ask the stand-in once through loop and chain; pauses are noted instead of waited for."""
    monkeypatch.setattr(policy, "PAUSES", (0.01, 0.01))
    slept: list[float] = []

    def run(*others, limits: Limits = Limits(), seconds: float | None = None) -> Answer:  # noqa: B008
        chain = Chain([link(provider), *others], sleep=slept.append)
        run.answer = Answer()
        run_loop(chain, ASK, [PRICE], Limits(seconds=seconds) if seconds else limits, run.answer)
        return run.answer

    run.slept = slept
    return run


def errors_of(answer: Answer) -> list[str]:
    return [step["error"] for step in answer.steps if "error" in step]


def sent(server, at: int = -1) -> str:
    return json.dumps(server.history[at], ensure_ascii=False)


def test_text_with_usage_and_what_was_asked(provider, ask):
    provider.enqueue(provider.text("¡Hola! ¿Qué tal?"))
    answer = ask()
    assert (answer.text, answer.model) == ("¡Hola! ¿Qué tal?", "m-1")
    assert (answer.usage[0].prompt_tokens, answer.usage[0].completion_tokens) == (11, 4)
    assert "You are a bot." in sent(provider) and "How much?" in sent(provider) and '"price"' in sent(provider)


def test_several_tool_calls_at_once_go_back_together(provider, ask):
    provider.enqueue(provider.calls(ONE, THREE), provider.text("5 and 15."))
    answer = ask()
    assert answer.text == "5 and 15." and answer.tools == ["price", "price"]
    assert "5 €" in sent(provider) and "15 €" in sent(provider)  # the stand-in refuses results that do not match


def test_calls_after_calls_and_text_beside_them(provider, ask):
    provider.enqueue(provider.calls(ONE, text="Let me see."), provider.calls(THREE, ONE), provider.text("Done."))
    assert ask().text == "Done."
    assert "Let me see." in sent(provider)


def test_429_waits_as_long_as_the_provider_says(provider, ask):
    provider.enqueue(provider.too_many(3), provider.text("ok"))
    answer = ask()
    assert answer.text == "ok" and ask.slept == [3]
    assert errors_of(answer)[0].startswith("provider answered 429: ")


def test_429_for_longer_than_there_is_time_is_not_waited_for(provider, ask):
    provider.enqueue(provider.too_many(3600))
    with pytest.raises(ModelError, match="429"):
        ask()
    assert ask.slept == [] and len(provider.history) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_5xx_is_tried_again(provider, ask, status):
    provider.enqueue(provider.page(status), provider.refuse(status), provider.text("ok"))
    assert ask().text == "ok"
    assert len(provider.history) == 3


def test_a_provider_that_stays_down_is_given_up_after_three_attempts(provider, ask):
    provider.enqueue(*[provider.refuse(503)] * 9)
    with pytest.raises(ModelError, match="provider answered 503"):
        ask()
    assert len(provider.history) == 3 and len(ask.answer.failures) == 3


@pytest.mark.parametrize("fault", ["hang_up", "cut_off", "not_json"])
def test_a_broken_connection_or_body_is_tried_again(provider, ask, fault):
    provider.enqueue(getattr(provider, fault), provider.text("ok"))
    assert ask().text == "ok"


def test_a_page_with_status_200_is_no_answer(provider, ask):
    provider.enqueue(provider.page(200), provider.text("ok"))
    assert ask().text == "ok"


@pytest.mark.parametrize("status", [400, 404, 422])
def test_what_will_not_get_better_is_not_tried_again(provider, ask, status):
    provider.enqueue(provider.refuse(status, "NO"), provider.text("never"))
    with pytest.raises(ModelError, match=f"provider answered {status}: NO"):
        ask()
    assert len(provider.history) == 1


def test_a_key_that_is_refused_is_named_as_that(provider, link):
    chain = Chain([link(provider, key="wrong")])
    with pytest.raises(ModelError) as caught:
        chain.complete(ASK, [], Allowance(10))
    failure = caught.value.failures[0]
    assert failure.kind == "denied" and failure.resource_path in ("f/agent/openai", "f/agent/gemini")


def test_403_is_about_the_key_too(provider, ask):
    provider.enqueue(provider.refuse(403, "PERMISSION_DENIED"))
    with pytest.raises(ModelError) as caught:
        ask()
    assert caught.value.kind == "denied"


def test_text_that_was_cut_off_ends_with_its_last_whole_sentence(provider, ask):
    provider.enqueue(provider.text("It costs 5 €. Delivery takes tw", provider.LENGTH))
    answer = ask()
    assert answer.text == "It costs 5 €." and answer.steps[0]["finish"] == "length"


def test_text_that_was_cut_off_too_early_is_no_answer_but_is_paid_for(provider, ask):
    provider.enqueue(provider.text("It costs 5.", provider.LENGTH))
    with pytest.raises(ModelError, match="cut off"):
        ask()
    assert ask.answer.usage[0].prompt_tokens == 11


def test_a_tool_call_that_was_cut_off_is_never_run(provider, ask):
    provider.enqueue(provider.calls(ONE, finish=provider.LENGTH), provider.calls(THREE), provider.text("15 €."))
    answer = ask()
    assert answer.text == "15 €." and answer.tools == ["price"]
    assert "could not be read" in sent(provider, 1)


@pytest.mark.parametrize("call", [("price", '{"quantity": "many"}'), ("price", "{}"), ("prize", "{}")])
def test_an_invalid_call_is_explained_and_repaired_at_most_twice(provider, ask, call):
    provider.enqueue(provider.calls(call), provider.calls(call), provider.text("Sorry."))
    assert ask().text == "Sorry."
    assert "There is no tool" in sent(provider) or "do not fit the tool" in sent(provider)
    provider.enqueue(*[provider.calls(call)] * 3)
    with pytest.raises(ModelError, match="3 invalid tool calls"):
        ask()


def test_a_tools_own_error_goes_back_to_the_model(provider, ask):
    provider.enqueue(provider.calls(("price", '{"quantity": 101}')), provider.text("Sorry."))
    assert ask().text == "Sorry." and "we do not have that many" in sent(provider)


@pytest.mark.parametrize("kind", ["empty", "nothing"])
def test_an_empty_answer_is_tried_again_then_given_up(provider, ask, kind):
    provider.enqueue(getattr(provider, kind)(), provider.text("ok"))
    assert ask().text == "ok"
    provider.enqueue(*[getattr(provider, kind)()] * 3)
    with pytest.raises(ModelError, match=r"empty|no choices"):
        ask()


def test_a_blocked_answer_is_not_asked_for_again(provider, ask):
    provider.enqueue(provider.blocked(), provider.text("never"))
    with pytest.raises(ModelError, match=r"blocked the answer: (content_filter|SAFETY)") as caught:
        ask()
    assert caught.value.kind == "blocked" and len(provider.history) == 1


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_hang_ends_by_the_clock_also_when_bytes_drip(provider, ask, fault, monkeypatch):
    provider.enqueue(*[getattr(provider, fault)] * 3)
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"no answer within|Timeout"):
        ask(seconds=2.2)
    assert time.monotonic() - started < 4
    assert ask.answer.failures[0].kind == "hang"


def test_the_last_step_may_not_call_tools(provider, ask):
    provider.enqueue(provider.calls(ONE), provider.text("5 €."))
    assert ask(limits=Limits(steps=2)).text == "5 €."
    first, last = sent(provider, 0), sent(provider, 1)
    assert '"none"' in last.lower() and '"none"' not in first.lower() and '"price"' in last


def test_nobody_answers_at_all(provider, ask):
    provider.close()
    with pytest.raises(ModelError, match=r"provider failed: (APIConnectionError|ConnectError)"):
        ask()


# Together -------------------------------------------------------------------------------------


def test_the_other_provider_goes_on_with_the_same_exchange(openai, gemini, link):
    """Either way round; Gemini 3 wants a signature with every call, also with those that OpenAI's model made."""
    for first, second in ((openai, gemini), (gemini, openai)):
        first.enqueue(first.calls(ONE, THREE), first.refuse(400, "NO"))
        second.enqueue(second.calls(THREE), second.text("Done."))
        answer = Answer()
        run_loop(Chain([link(first), link(second)]), ASK, [PRICE], Limits(), answer)
        assert answer.text == "Done." and answer.tools == ["price"] * 3
        assert "5 €" in sent(second) and "15 €" in sent(second)


def test_a_hang_leaves_time_for_the_next_model(openai, gemini, link):
    openai.enqueue(openai.drip)
    gemini.enqueue(gemini.text("Here I am."))
    answer = Answer()
    run_loop(Chain([link(openai), link(gemini)]), ASK, [], Limits(seconds=4), answer)
    assert answer.text == "Here I am." and len(openai.history) == 1
