"""Prices by volume and tier, in exact decimals. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from mcp_servers.errors import ToolRefused

#: Currencies without a hundredth (ISO 4217, those that people are likely to use here).
WHOLE_CURRENCIES = frozenset({"CLP", "ISK", "JPY", "KRW", "PYG", "VND", "XAF", "XOF"})


@dataclass(frozen=True)
class Band:
    """A row of the price table: volumes from `min_volume` to `max_volume` (None: no end) cost `unit_price` each."""

    product: str
    tier: str
    unit: str
    min_volume: int
    max_volume: int | None
    unit_price: Decimal
    currency: str

    def contains(self, volume: int) -> bool:
        return self.min_volume <= volume and (self.max_volume is None or volume <= self.max_volume)

    @property
    def volumes(self) -> str:
        return f"{self.min_volume} or more" if self.max_volume is None else f"{self.min_volume} to {self.max_volume}"


@dataclass(frozen=True)
class Quote:
    band: Band
    volume: int
    total: Decimal

    @property
    def explanation(self) -> str:
        price, currency = self.band.unit_price.normalize(), self.band.currency
        price = price if price.as_tuple().exponent < -2 else price.quantize(Decimal("0.01"))  # type: ignore[operator]
        sum_ = f"{self.volume} × {price:f} {currency} per {self.band.unit} = {self.total:f} {currency}"
        return f"{sum_} ({self.band.product}, {self.band.tier}, price for {self.band.volumes})"


def quote(bands: Sequence[Band], volume: int, product: str | None = None, tier: str | None = None) -> list[Quote]:
    """What `volume` costs in each tier that was asked for; all units cost what the volume's band says.

    Raises ToolRefused, which names what there is.
    """
    if not bands:
        raise ToolRefused("There is no price table. Offer to have a person make an offer.")
    bands = _choose(bands, "product", product)
    bands = _choose(bands, "tier", tier)
    fitting: dict[tuple[str, str], Band] = {}
    for band in sorted(bands, key=lambda band: band.min_volume):
        if band.contains(volume):
            fitting[band.product, band.tier] = band
    if not fitting:
        known = "; ".join(sorted({f"{b.product}, {b.tier}: {b.volumes} ({b.unit})" for b in bands}))
        raise ToolRefused(
            f"There is no price for a volume of {volume}. Offer to have a person make one. Known: {known}"
        )
    return [Quote(band, volume, total(band, volume)) for band in fitting.values()]


def total(band: Band, volume: int) -> Decimal:
    """The sum, rounded once, to the currency's smallest unit."""
    smallest = Decimal(1) if band.currency in WHOLE_CURRENCIES else Decimal("0.01")
    return (band.unit_price * volume).quantize(smallest, ROUND_HALF_UP)


def _choose(bands: Sequence[Band], field: str, wanted: str | None) -> list[Band]:
    if wanted is None:
        return list(bands)
    chosen = [band for band in bands if getattr(band, field).casefold() == wanted.casefold()]
    if not chosen:
        known = ", ".join(sorted({repr(getattr(band, field)) for band in bands}))
        raise ToolRefused(f"There is no {field} of that name. Known: {known}")
    return chosen
