"""Our servers with the official client, as any MCP client would use them."""

import asyncio
import traceback
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

EXPECTED = {
    "pricing_calculator": "calculate_pricing",
    "lead_capture": "capture_lead",
    "contact_owner": "contact_owner",
}


async def converse(url: str, token: str, tool: str | None = None, arguments: dict | None = None, mode: Any = "auto"):
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=20) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        try:
            return await (client.call_tool(tool, arguments) if tool else client.list_tools())
        except MCPError as error:
            return error


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize(("name", "tool"), EXPECTED.items())
def test_the_official_client_lists_the_tools(running, dental, name, tool, mode):
    server = running(name)
    listed = asyncio.run(converse(server.url, dental.token(), mode=mode))
    assert [t.name for t in listed.tools] == [tool]
    assert listed.tools[0].input_schema["additionalProperties"] is False
    assert listed.tools[0].description


def test_results_refusals_and_faults_are_told_apart(pricing, dental):
    priced = asyncio.run(
        converse(pricing.url, dental.token(), "calculate_pricing", {"volume": 60, "tier": "essential"})
    )
    assert not priced.is_error
    assert priced.structured_content["quotes"][0]["total"] == "2370.00"
    refused = asyncio.run(converse(pricing.url, dental.token(), "calculate_pricing", {"volume": -5}))
    assert refused.is_error and "volume: Input should be greater than or equal to 1" in refused.content[0].text
    unknown = asyncio.run(converse(pricing.url, dental.token(), "drop_tables", {}))
    assert isinstance(unknown, MCPError) and unknown.message == "There is no such tool."


def test_without_a_token_there_is_no_session(pricing):
    with pytest.raises(BaseExceptionGroup) as caught:
        asyncio.run(converse(pricing.url, "nonsense"))
    assert "Server returned an error response" in "".join(traceback.format_exception(caught.value))
