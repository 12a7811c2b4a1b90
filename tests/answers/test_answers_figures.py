"""The same figure is the same word, however it is written."""

import pytest

from local.answers.figures import canonical, contains, figures


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("£52", "52 pounds"),
        ("€ 1.290,00", "1,290 euros"),
        ("2,150", "2.150"),
        ("1237.50 EUR", "1.237,5 €"),
        ("11,8 kilos", "11.8 kilos"),
        ("18:00", "6 pm"),
        ("9.30am", "9:30"),
        ("14h", "14:00"),
        ("10 Uhr", "10 am"),
        ("December 24", "diciembre 24"),
        ("24 de diciembre", "24 de december"),
        ("2026-12-24", "24/12/2026"),
        ("on Mondays", "on Montag"),
        ("los miércoles", "los mercredi"),
        ("forty-eight hours", "48 hours"),
        ("two hundred and fifty", "250"),
        ("three hundred and twenty-five", "325"),
        ("a hundred", "100"),
        ("ciento veinte bicis", "120 bicis"),
        ("cuarenta y ocho horas", "48 horas"),
        ("veintidós", "22"),
        ("Añádelo", "anadelo"),
    ],
)
def test_both_are_one(one: str, other: str):
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("2,150", "2,15"), ("0.125", "125"), ("9:30", "9"), ("52 pounds", "52 euros"), ("monday", "tuesday")],
)
def test_both_differ(one: str, other: str):
    assert canonical(one) != canonical(other)


def test_what_is_a_figure():
    text = "You may come on Friday, 3 May at 9:30, with two friends and one dog; it costs £12.50."
    assert figures(text) == {"day5", "3", "month5", "9:30", "2", "12.5"}


def test_two_numbers_are_not_one():
    assert canonical("dos ruedas y cinco bicis") == ["2", "ruedas", "y", "5", "bicis"]
    assert canonical("twenty and three") == ["23"], "as it is said, so it is read"


def test_words_in_their_order():
    words = canonical("It takes four to six months.")
    assert contains(words, canonical("4-6 months")) is False
    assert contains(words, canonical("four to six months")) and not contains(words, canonical("six to four"))
