"""The real providers: `./dev test tests/live -m live`, for those whose keys are in the environment. Costs cents."""

import os
from decimal import Decimal

import pytest

from f.agent.chain import Budget, Chain, Link
from f.agent.loop import Allowance, Answer, Limits, Message, ModelError, Tool, run_loop
from f.agent.models import build_model

pytestmark = pytest.mark.live

PROVIDERS = {
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "gpt-4.1-mini"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GEMINI_MODEL", "gemini-2.5-flash"),
}
SCHEMA = {
    "type": "object",
    "properties": {"item": {"type": "string", "enum": ["tyre", "brake", "chain"]}},
    "required": ["item"],
    "additionalProperties": False,
}
PRICES = {"tyre": "9 €", "brake": "15 €", "chain": "23 €"}
PRICE = Tool("price_of", "What a repair costs.", SCHEMA, lambda arguments: PRICES[arguments["item"]])
SYSTEM = Message("system", "You answer for a bicycle workshop, briefly. Ask the tool for every price.")


@pytest.fixture(params=list(PROVIDERS))
def link(request: pytest.FixtureRequest) -> Link:
    key, base_url, model, default = PROVIDERS[request.param]
    value = os.environ.get(key) or (os.environ.get("GOOGLE_API_KEY") if request.param == "gemini" else None)
    if not value:
        pytest.skip(f"{key} is not set")
    name = os.environ.get(model) or default
    resource = {"api_key": value, "base_url": os.environ.get(base_url)}
    return Link(request.param, name, None, lambda: build_model(request.param, name, resource, 0.2))


def answer_to(link: Link, text: str, *tools: Tool) -> Answer:
    answer = Answer()
    chain = Chain([link], Budget(tokens=20000, cost=Decimal("0.20")))
    run_loop(chain, [SYSTEM, Message("user", text)], tools, Limits(), answer)
    return answer


def test_text(link: Link) -> None:
    answer = answer_to(link, "Say hello in Spanish.")
    assert answer.text and answer.usage[0].prompt_tokens > 5 and answer.usage[0].completion_tokens > 0


def test_tools_in_one_or_several_steps(link: Link) -> None:
    answer = answer_to(link, "What do a new tyre, a brake and a chain cost, each?", PRICE)
    assert answer.tools.count("price_of") >= 3
    assert all(price.split()[0] in answer.text for price in PRICES.values())


def test_the_last_step_is_an_answer(link: Link) -> None:
    answer = Answer()
    run_loop(Chain([link]), [SYSTEM, Message("user", "What does a tyre cost?")], [PRICE], Limits(steps=1), answer)
    assert answer.text and answer.tools == []


def test_an_exchange_that_another_model_began(link: Link) -> None:
    from f.agent.loop import ToolCall

    begun = [
        SYSTEM,
        Message("user", "What does a tyre cost?"),
        Message("assistant", "", (ToolCall("call_1", "price_of", '{"item": "tyre"}'),), origin="another:model"),
        Message("tool", "9 €", tool_call_id="call_1"),
    ]
    assert "9" in Chain([link]).complete(begun, [PRICE], Allowance(40)).text


def test_an_answer_that_is_cut_off(link: Link) -> None:
    with pytest.raises(ModelError):
        chain = Chain([link], Budget(tokens=180))
        chain.complete([Message("user", "Write one very long sentence about wheels.")], [], Allowance(40))


def test_a_wrong_key_is_denied(link: Link) -> None:
    _, base_url, _, _ = PROVIDERS[link.provider]
    resource = {"api_key": "wrong", "base_url": os.environ.get(base_url)}
    wrong = Link(link.provider, link.name, None, lambda: build_model(link.provider, link.name, resource, 0))
    with pytest.raises(ModelError) as caught:
        Chain([wrong]).complete([Message("user", "hi")], [], Allowance(40))
    assert caught.value.kind == "denied"
