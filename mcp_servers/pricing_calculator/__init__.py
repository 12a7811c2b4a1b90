"""Quotes from the tenant's own price table."""

from decimal import Decimal

from pydantic import BaseModel, Field
from starlette.applications import Starlette

from mcp_servers.app import build_app
from mcp_servers.config import Config
from mcp_servers.pricing_calculator.arithmetic import Band, quote
from mcp_servers.server import ToolServer
from mcp_servers.tool import Arguments, Call, Line, Tool

#: Beyond this nobody asks in earnest.
MAX_VOLUME = 1_000_000_000

READ_BANDS = """
select product, tier, unit, min_volume, max_volume, unit_price, currency from pricing_tiers
where organization_id = %(organization_id)s order by product, tier, min_volume
"""


class PricingArguments(Arguments):
    volume: int = Field(ge=1, le=MAX_VOLUME, description="How many units the customer wants")
    product: Line | None = Field(None, description="Product; leave it out to get every product")
    tier: Line | None = Field(None, description="Level of service; leave it out to compare all of them")


class QuotedLine(BaseModel):
    product: str
    tier: str
    unit: str
    volume: int
    unit_price: Decimal
    total: Decimal
    currency: str
    explanation: str


class Quotes(BaseModel):
    quotes: list[QuotedLine]


def calculate_pricing(call: Call, arguments: PricingArguments) -> Quotes:
    rows = call.connection.execute(READ_BANDS, call.parameters).fetchall()
    found = quote([Band(**row) for row in rows], arguments.volume, arguments.product, arguments.tier)
    return Quotes(
        quotes=[
            QuotedLine(
                product=item.band.product,
                tier=item.band.tier,
                unit=item.band.unit,
                volume=item.volume,
                unit_price=item.band.unit_price,
                total=item.total,
                currency=item.band.currency,
                explanation=item.explanation,
            )
            for item in found
        ]
    )


TOOLS = [
    Tool(
        name="calculate_pricing",
        description="What a volume of a product costs, by tier, from the business's price table, with the sum"
        " explained. Use it whenever a customer asks what a number of units costs; never calculate yourself.",
        arguments=PricingArguments,
        run=calculate_pricing,
        has_effect=False,
    )
]


def build_server(config: Config) -> Starlette:
    instructions = "Prices of the business that the token names."
    return build_app(ToolServer("pricing_calculator", instructions, TOOLS, config.database_url), config)
