"""The order of what was found, without a database."""

import pytest

from f.knowledge.reranking import Candidate, by_neighbours, fuse, shown


def order(scored: list[tuple[int, float]]) -> list[int]:
    return [candidate for candidate, _ in scored]


def test_what_is_good_by_both_comes_first():
    found = [Candidate(1, 0.90, 2.0), Candidate(2, 0.89, 9.0), Candidate(3, 0.70, 9.5), Candidate(4, 0.71, 0.0)]
    assert order(fuse(found)) == [2, 1, 3, 4]


def test_a_great_lead_counts_more_than_a_place():
    """By their ranks both would be equal."""
    assert order(fuse([Candidate(1, 0.80, 30.0), Candidate(2, 0.82, 1.0), Candidate(3, 0.50, 0.9)]))[0] == 1


def test_without_vectors_words_decide_and_without_words_vectors():
    assert order(fuse([Candidate(1, None, 1.0), Candidate(2, None, 3.0)])) == [2, 1]
    assert order(fuse([Candidate(1, 0.2, 0.0), Candidate(2, 0.3, 0.0)])) == [2, 1]


def test_a_passage_without_a_vector_is_no_better_than_the_farthest():
    found = [Candidate(1, None, 5.0), Candidate(2, 0.6, 5.0), Candidate(3, 0.9, 5.0)]
    scores = dict(fuse(found))
    assert scores[1] == scores[2] < scores[3]


@pytest.mark.parametrize("found", [[], [Candidate(1, 0.5, 0.0)], [Candidate(1, 0.5, 1.0), Candidate(2, 0.5, 1.0)]])
def test_few_or_equal_ones_have_an_order_too(found: list[Candidate]):
    assert order(fuse(found)) == order(by_neighbours(fuse(found), {})) == [c.id for c in found]


def test_good_neighbours_lift_a_passage_and_strangers_do_not():
    scored = [(1, 1.0), (2, 0.9), (3, 0.5), (4, 0.45)]
    near = {1: [(4, 0.6)], 2: [(1, 0.9)], 3: [(4, 0.9)], 4: [(2, 0.9), (1, 0.9)]}
    assert order(by_neighbours(scored, near)) == [2, 1, 4, 3]


def test_a_shown_score_is_between_0_and_1_and_keeps_the_order():
    scores = [shown(score) for score in (-1e9, -1.5, 0.0, 0.1, 4.0, 1e9)]
    assert scores == sorted(scores) and scores[0] > 0 and scores[2] == 0.5 and scores[-1] < 1
