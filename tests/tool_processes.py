"""Tool servers as real processes, and tenants with somebody to talk to."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from psycopg.rows import dict_row
from systems import ROOT, Database

from f.lib.caller_tokens import Caller, sign
from local.processes import free_port

KEY = "signing-key-of-the-tests-0123456789abcdef"
PORT_VARIABLES = {
    "pricing_calculator": "MCP_PRICING_PORT",
    "lead_capture": "MCP_LEADS_PORT",
    "contact_owner": "MCP_OWNER_PORT",
}


@dataclass
class Tenant:
    """A demo tenant with a conversation of this test's own; `rows` reads as the owner of the database."""

    caller: Caller
    owner: psycopg.Connection[dict[str, Any]]

    def token(self, seconds: float = 60, key: str = KEY, **changes: Any) -> str:
        return sign(Caller(**{**vars(self.caller), **changes}), key, seconds)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """`query` may name the caller's ids: `%(contact_id)s`."""
        return self.owner.execute(query, vars(self.caller)).fetchall()


@contextmanager
def tenant_of(database: Database, slug: str) -> Iterator[Tenant]:
    with psycopg.connect(database.owner_url, autocommit=True, row_factory=dict_row) as owner:
        row = owner.execute(
            "with contact as ("
            "  insert into contacts (organization_id, wa_id)"
            "  select organization_id, %s from organizations where slug = %s returning organization_id, id)"
            " insert into conversations (organization_id, chatbot_id, phone_number_id, contact_id)"
            " select n.organization_id, n.chatbot_id, n.phone_number_id, contact.id"
            " from contact join whatsapp_numbers n using (organization_id)"
            " returning organization_id::text, chatbot_id::text, contact_id::text, id::text as conversation_id",
            [uuid4().hex, slug],
        ).fetchone()
        assert row is not None
        yield Tenant(Caller(**row), owner)


class ToolProcess:
    """`python -m mcp_servers.NAME`, ready."""

    def __init__(self, name: str, database_url: str, **environment: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"mcp_servers.{name}"],
            cwd=ROOT,
            env={
                **os.environ,
                "DATABASE_URL": database_url,
                "MCP_SIGNING_KEY": KEY,
                PORT_VARIABLES[name]: str(port),
                **environment,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 30
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.stop())
            time.sleep(0.05)

    def call(self, tool: str, arguments: Any, token: str, **headers: str) -> httpx.Response:
        headers |= {"authorization": f"Bearer {token}"}
        return httpx.post(f"{self.url}/tools/{tool}", json=arguments, headers=headers, timeout=20)

    def stop(self) -> str:
        """End the process; what it logged."""
        self.process.terminate()
        return self.process.communicate(timeout=15)[1] if self.process.stderr and not self.process.stderr.closed else ""

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False
