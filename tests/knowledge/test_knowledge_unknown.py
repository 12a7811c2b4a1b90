"""The curve of not knowing, without a database or a model."""

import pytest

from f.knowledge.knowing import LEAD, THRESHOLDS, is_answered, is_near, threshold_of
from local.unknown import Cosines, curve, plot, targets

OWN = THRESHOLDS["multilingual-e5-small"]


def at_own(found: dict) -> dict:
    share: dict = found["mean"][found["thresholds"].index(OWN)]
    return share


def test_shares_by_threshold_are_the_mean_of_the_sets():
    sets = {
        "a": Cosines(known=[0.9, 0.88, 0.86, 0.7], elsewhere=[0.7, 0.71], missing=[0.85, 0.72]),
        "b": Cosines(known=[0.9, 0.9], elsewhere=[0.9, 0.7]),
    }
    found = curve(sets)
    assert at_own(found) == {"answered": 0.875, "refused_elsewhere": 0.75, "refused_missing": 0.5}
    assert found["apart"]["a"] == {"elsewhere": 0.8125, "missing": 0.75}
    assert found["apart"]["b"] == {"elsewhere": 0.75, "missing": None}
    shares = [point["answered"] for point in found["mean"]]
    assert shares == sorted(shares, reverse=True) and found["thresholds"] == sorted(found["thresholds"])
    assert [target["met"] for target in targets(found)] == [False, False]
    shown = plot(found)
    assert f"> {OWN:.3f}" in shown and "87.5%" in shown and "elsewhere 0.7812" in shown


def test_sets_that_are_told_apart_meet_the_targets():
    found = curve({"a": Cosines(known=[0.9] * 100, elsewhere=[0.7] * 100)})
    assert all(target["met"] for target in targets(found)) and len(targets(found)) == 2


def test_without_questions_of_others_nothing_is_said_of_them():
    found = curve({"a": Cosines(known=[0.9])})
    assert at_own(found) == {"answered": 1.0, "refused_elsewhere": None, "refused_missing": None}
    assert [target["name"] for target in targets(found)] == ["share of questions in scope that are answered"]
    assert " -" in plot(found)


@pytest.mark.parametrize(("nearest", "near"), [(None, True), (0.8, True), (0.79, False)])
def test_what_is_near(nearest, near):
    assert is_near(nearest, 0.8) is near


@pytest.mark.parametrize(
    ("nearest", "before", "answered"),
    [(0.85, 0.7, True), (0.79, 0.7, False), (0.845, 0.84, False), (0.84 + LEAD, 0.84, True), (0.0, 0.0, False)],
)
def test_what_later_knowledge_answers(nearest, before, answered):
    assert is_answered(nearest, before, 0.8) is answered


def test_a_chatbots_own_threshold_comes_first():
    bot = {"embedding_model": "multilingual-e5-small", "knowledge_threshold": None}
    assert threshold_of(bot) == OWN
    assert threshold_of({**bot, "knowledge_threshold": 0}) == 0 and is_near(0.0, 0)
