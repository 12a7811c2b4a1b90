"""`./dev mcp-token`: a person connects an MCP client to our tool servers."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from systems import Database, own_environment, run_dev
from tool_processes import ToolProcess, tenant_of

from f.lib.caller_tokens import verify
from local.credentials import DEMO2, Credentials

Dev = Callable[..., str]


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    return Credentials.load(tmp_path / "data")


@pytest.fixture
def token(tmp_path: Path, seeded_database: Database) -> Iterator[Dev]:
    environment = own_environment(tmp_path / "data") | {"DATABASE_URL": seeded_database.owner_url}

    def run(*arguments: str, check: bool = True) -> str:
        done = run_dev("mcp-token", *arguments, environment=environment, check=check)
        return done.stdout.strip() if check else done.stderr

    yield run


def test_the_official_client_uses_a_tool_with_it(
    token: Dev, credentials: Credentials, seeded_database: Database
) -> None:
    async def ask(url: str) -> str:
        headers = {"authorization": f"Bearer {token('--chatbot', 'harbour-dental')}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
        ):
            result = await client.call_tool("calculate_pricing", {"volume": 60, "tier": "essential"})
        return str(result.structured_content["quotes"][0]["total"])

    server = ToolProcess("pricing_calculator", seeded_database.app_url, MCP_SIGNING_KEY=credentials.mcp_signing_key)
    try:
        assert asyncio.run(ask(server.url)) == "2370.00"
    finally:
        server.stop()


def test_it_names_the_chatbot_and_where_asked_for_the_contact(
    token: Dev, credentials: Credentials, seeded_database: Database
) -> None:
    key = credentials.mcp_signing_key
    alone = verify(token("--chatbot", DEMO2.chatbot_id), key)
    assert (alone.organization_id, alone.chatbot_id) == (DEMO2.organization_id, DEMO2.chatbot_id)
    assert alone.contact_id is None
    with tenant_of(seeded_database, "harbour-dental") as tenant:
        assert verify(token("--chatbot", "harbour-dental", "--contact", tenant.caller.contact_id or ""), key) == (
            tenant.caller
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--chatbot", "nobody"], "no chatbots are named 'nobody'"),
        (["--chatbot", "harbour-dental", "--contact", "1"], "harbour-dental has no contact '1'"),
        (["--chatbot", "harbour-dental", "--hours", "25"], "at most 24"),
    ],
)
def test_what_does_not_exist_gets_no_token(token: Dev, arguments: list[str], message: str) -> None:
    assert message in token(*arguments, check=False)
