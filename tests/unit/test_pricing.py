"""Prices by volume and tier."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_servers.errors import ToolRefused
from mcp_servers.pricing_calculator.arithmetic import Band, quote, total


def band(low: int, high: int | None, price: str, tier: str = "basic", currency: str = "EUR") -> Band:
    return Band("messages", tier, "message", low, high, Decimal(price), currency)


TABLE = [band(1, 999, "0.0125"), band(1000, None, "0.0099"), band(1, 999, "0.05", "plus")]


@pytest.mark.parametrize(
    ("volume", "sums"),
    [
        (1, {"basic": "0.01", "plus": "0.05"}),
        (999, {"basic": "12.49", "plus": "49.95"}),
        (1000, {"basic": "9.90"}),
        (10**9, {"basic": "9900000.00"}),
    ],
)
def test_the_band_of_the_volume_prices_every_unit(volume, sums):
    assert {q.band.tier: str(q.total) for q in quote(TABLE, volume)} == sums


def test_the_sum_is_explained():
    assert quote(TABLE, 1000)[0].explanation == (
        "1000 × 0.0099 EUR per message = 9.90 EUR (messages, basic, price for 1000 or more)"
    )


def test_a_currency_without_a_hundredth():
    assert total(band(1, None, "12.5", currency="JPY"), 3) == Decimal(38)


def test_names_are_found_whatever_their_case():
    assert [q.band.tier for q in quote(TABLE, 5, "MESSAGES", "Plus")] == ["plus"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((TABLE[2:], 1000), "no price for a volume of 1000. .*Known: messages, plus: 1 to 999"),
        ((TABLE, 5, "bricks"), "no product of that name. Known: 'messages'"),
        ((TABLE, 5, "messages", "gold"), "no tier of that name. Known: 'basic', 'plus'"),
        (([], 5), "no price table"),
    ],
)
def test_what_has_no_price_is_refused_with_what_there_is(arguments, part):
    with pytest.raises(ToolRefused, match=part):
        quote(*arguments)


@given(st.integers(1, 10**9), st.decimals(0, 10**6, places=4))
def test_no_money_is_lost(volume, price):
    assert abs(total(band(1, None, str(price)), volume) - price * volume) <= Decimal("0.005")
