"""Replies that are right, and replies that are wrong in one way."""

from dataclasses import replace
from typing import Any

import pytest

from local.answers.judging import Call, Passage, Reply, judge, says_unknown
from local.golden import Question

CROWNS = Passage("treatments.md", "Crowns\nA zirconia crown costs 640 pounds. We guarantee crowns for five years.")
TEAM = Passage("team.md", "Dr Amara Okafor is here on Wednesdays and Fridays from 9:00.")
SETTINGS = "Harbour Dental\nOpening hours: We are open Monday to Friday. A check-up costs £52."

ASKED = Question("How much is a crown?", sources=("treatments.md",), facts=(("640",),))
RIGHT = Reply("A crown is £640, with a guarantee of 5 years.", [CROWNS], settings=SETTINGS, said=ASKED.question)


def wrong(question: Question, reply: Reply, **changes: Any) -> dict[str, str]:
    """The checks that fail, with their reasons."""
    return {name: why for name, why in judge(question, replace(reply, **changes)).checks.items() if why}


def test_a_right_reply():
    verdict = judge(ASKED, RIGHT)
    assert verdict.is_right and set(verdict.checks) == {"grounded", "cited", "facts"}


@pytest.mark.parametrize(
    "text",
    [
        "A crown is £640 and takes 3 visits.",
        "A crown is £640. Come on Saturday.",
        "A crown is £640, says Dr Smithers.",
        "A crown is £640; write to crowns@harbour.example.",
        "A crown is £640; see https://harbour.example/crowns",
    ],
)
def test_what_is_invented(text: str):
    assert set(wrong(ASKED, RIGHT, text=text)) == {"grounded"}


@pytest.mark.parametrize(
    "text",
    [
        "A crown is £640. We are open on Monday.",
        "A crown is £640. Harbour Dental's crowns last.",
        "A crown is £640. You asked for 12, Ana.",
        "Sure. Here you are: A crown is £640.\n- Zirconia: £640",
        "Eine Krone kostet 640 Pfund, und die Garantie für diese Krone ist mit der Rechnung für fünf Jahre.",
    ],
)
def test_what_is_not_invented(text: str):
    assert wrong(ASKED, RIGHT, text=text, said="I am Ana, I need 12") == {}


def test_a_passage_that_is_not_cited_is_no_ground():
    assert set(wrong(ASKED, RIGHT, cited=[TEAM])) == {"grounded", "cited"}


def test_each_of_two_sources_is_cited():
    both = replace(ASKED, kind="two_sources", sources=("treatments.md", "team.md"), facts=())
    assert "does not cite team.md" in wrong(both, RIGHT)["cited"]
    assert wrong(both, RIGHT, cited=[CROWNS, TEAM]) == {}
    assert wrong(replace(both, kind="answerable"), RIGHT) == {}, "any of them"


def test_what_the_settings_say_needs_no_source():
    checkup = Question("How much is a check-up?", sources=("treatments.md",), facts=(("52",),))
    assert wrong(checkup, RIGHT, text="It is £52.", cited=[]) == {}


def test_a_fact_is_one_of_its_alternatives_in_any_form():
    question = replace(ASKED, facts=(("640 pounds", "480 pounds"), ("five years",)))
    assert wrong(question, RIGHT, text="£640, guaranteed for 5 years.") == {}
    refused = wrong(question, RIGHT, text="I am sorry, I do not know that.")
    assert "said that it does not know" in refused["facts"]


def test_a_refusal():
    unknown = Question("Do you do Botox?", "unanswerable")
    good = "I'm afraid I don't know that. Shall a person from reception write to you?"
    assert wrong(unknown, RIGHT, text=good, cited=[]) == {}
    assert set(wrong(unknown, RIGHT, text="I do not know that.", cited=[])) == {"offered"}
    assert set(wrong(unknown, RIGHT, text="Yes, our staff does it.", cited=[])) == {"refused"}
    assert set(wrong(unknown, RIGHT, text=f"{good} It costs £200.", cited=[])) == {"grounded"}
    called = Call("contact_owner", {"reason": "Botox"}, "succeeded", "{}")
    assert wrong(unknown, RIGHT, text="I do not know that.", cited=[], calls=[called]) == {}


@pytest.mark.parametrize(
    "text",
    [
        "I am not sure about that.",
        "I don’t have that information.",
        "Lo siento, eso no lo sé.",
        "No tengo esa información.",
        "Das weiß ich leider nicht.",
        "Désolé, je ne le sais pas.",
        "Isso não sei, não tenho essa informação.",
    ],
)
def test_it_says_that_it_does_not_know(text: str):
    assert says_unknown(text)


@pytest.mark.parametrize(
    "text", ["No tenemos tienda en Málaga.", "We do not have a practice in Cardiff.", "Sí, se sabe.", "Yes, we do."]
)
def test_a_claim_is_no_refusal(text: str):
    assert not says_unknown(text)


PRICING = {"name": "calculate_pricing", "arguments": {"volume": 60, "tier": "Essential"}}


@pytest.mark.parametrize(
    ("calls", "why"),
    [
        ([Call("calculate_pricing", {"volume": 60, "tier": "essential", "x": 1}, "succeeded", "2370")], ""),
        ([], "did not call calculate_pricing"),
        ([Call("contact_owner", {}, "succeeded", "{}")], "did not call calculate_pricing but contact_owner"),
        ([Call("calculate_pricing", {"volume": 6}, "succeeded", "{}")], "volume = 6, tier = None"),
        ([Call("calculate_pricing", {"volume": 60, "tier": "essential"}, "refused", "no price")], "refused, no price"),
    ],
)
def test_a_tool_is_called_as_it_has_to_be(calls: list[Call], why: str):
    found = judge(Question("?", "tool", tool=PRICING), replace(RIGHT, calls=calls, text="Yes.")).checks["tool"]
    assert why in found and bool(found) == bool(why)


def test_figures_of_a_tool_are_known():
    called = Call("calculate_pricing", {"volume": 60}, "succeeded", '{"total": "2370.00"}')
    assert wrong(Question("?", "tool"), RIGHT, text="That is £2,370.", calls=[called]) == {}
    failed = replace(called, state="failed")
    assert set(wrong(Question("?", "tool"), RIGHT, text="That is £2,370.", calls=[failed])) == {"grounded"}


def test_a_fallback_is_no_answer():
    assert "denied" in wrong(ASKED, RIGHT, error="denied")["answered"]
