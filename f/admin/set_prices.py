# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Set the price table of an organisation"""

from decimal import Decimal, InvalidOperation
from typing import Any

from f.admin import queries
from f.admin.desk import open_desk
from f.lib import http

MAX_PRICES = 500
MAX_VOLUME = 10**12

FIELDS = {"product", "tier", "unit", "min_volume", "max_volume", "unit_price", "currency"}


@http.answering()
def main(prices: list[dict], organization: str | None = None, request: dict | None = None) -> dict:
    """Purpose: what the tool calculate_pricing quotes from. The whole table is replaced; an empty list empties it.

    prices: a list of {"product", "tier", "unit", "min_volume", "max_volume", "unit_price", "currency"}
    organization: slug or id; a tenant's key may leave it out
    request: filled in by the HTTP route; leave it empty

    Without max_volume there is no end; unit_price is a number, or a text such as "49.50". Volumes of one product and
    tier must not overlap. Returns the table as it is now.
    """
    with open_desk("set_prices", request) as desk:
        keys = {"organization_id": desk.organization(organization)}
        table = checked(prices)
        with desk.work(keys["organization_id"]) as record:
            desk.connection.execute(queries.LOCK_ORGANIZATION, keys)
            old = http.plain(desk.connection.execute(queries.LIST_PRICES, keys).fetchall())
            desk.connection.execute(queries.DELETE_PRICES, keys)
            desk.connection.cursor().executemany(queries.ADD_PRICE, [keys | row for row in table])
            new = http.plain(desk.connection.execute(queries.LIST_PRICES, keys).fetchall())
            record("prices", keys["organization_id"], old=old, new=new)
        return {"prices": new}


def checked(prices: Any) -> list[dict[str, Any]]:
    if not isinstance(prices, list) or len(prices) > MAX_PRICES:
        raise http.invalid("prices", f"must be a list of {MAX_PRICES} at most")
    rows = [price_of(f"prices[{place}]", price) for place, price in enumerate(prices)]
    for place, row in enumerate(rows):
        for other, before in enumerate(rows[:place]):
            if (row["product"], row["tier"]) == (before["product"], before["tier"]) and overlap(row, before):
                raise http.invalid(f"prices[{place}]", f"has volumes that prices[{other}] has too")
    return rows


def price_of(name: str, price: Any) -> dict[str, Any]:
    if not isinstance(price, dict) or not FIELDS - {"max_volume"} <= set(price) <= FIELDS:
        raise http.invalid(name, f"must be an object with {', '.join(sorted(FIELDS))}; only max_volume may be left out")
    least = http.integer(f"{name}.min_volume", price["min_volume"], 1, MAX_VOLUME)
    most = price.get("max_volume")
    return {
        **{field: http.text(f"{name}.{field}", price[field], most=100) for field in ("product", "tier", "unit")},
        "min_volume": least,
        "max_volume": None if most is None else http.integer(f"{name}.max_volume", most, least, MAX_VOLUME),
        "unit_price": money(f"{name}.unit_price", price["unit_price"]),
        "currency": http.text(
            f"{name}.currency", price["currency"], pattern="[A-Z]{3}", what="a code such as EUR or GBP"
        ),
    }


def money(name: str, value: Any) -> Decimal:
    """Exact, as written. A float is what its shortest text says."""
    fault = http.invalid(name, 'must be a price from 0 on with at most 4 decimals, such as 49.5 or "49.50"')
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise fault
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        raise fault from None
    if not price.is_finite() or not 0 <= price < 10**10 or price != round(price, 4):
        raise fault
    return price


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    ends = [row["max_volume"] or MAX_VOLUME for row in (one, other)]
    return max(one["min_volume"], other["min_volume"]) <= min(ends)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
