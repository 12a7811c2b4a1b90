"""What docs/tools.md and docs/add-a-tool.md tell people to type is typed here."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from systems import ROOT, Database, own_environment
from test_tools import Shop, model, shop  # noqa: F401  # fixtures
from tool_processes import ToolProcess
from werkzeug import Request, Response

from local.credentials import Credentials
from local.processes import free_port, is_taken


def block(page: str, language: str) -> str:
    """The one block of a language on a page."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{page} has {len(found)} blocks of {language}"
    return str(found[0])


def shell(commands: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-ec", commands], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_person_uses_our_servers(tmp_path: Path, seeded_database: Database) -> None:
    environment = own_environment(tmp_path / "data") | {"DATABASE_URL": seeded_database.owner_url}
    key = Credentials.load(tmp_path / "data").mcp_signing_key
    server = ToolProcess("pricing_calculator", seeded_database.app_url, MCP_SIGNING_KEY=key)
    here = server.url.removeprefix("http://")
    try:
        commands = block("tools.md", "sh").replace("127.0.0.1:3001", here)
        printed = shell(f"{commands}\necho; echo $TOKEN", environment)
        assert '"calculate_pricing"' in printed and "2370.00" in printed
        client = block("tools.md", "python").replace("127.0.0.1:3001", here)
        done = subprocess.run(
            [sys.executable, "-c", client],
            env=os.environ | {"TOKEN": printed.split()[-1]},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "2370.00" in done.stdout
    finally:
        server.stop()


def test_a_tool_is_added(
    shop: Shop,  # noqa: F811
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", block("add-a-tool.md", "python").replace("4100", str(port))], stderr=subprocess.DEVNULL
    )
    stored: dict[str, str] = {}

    def create(request: Request) -> Response:
        stored[request.json["path"]] = request.json["value"]
        return Response(status=201)

    httpserver.expect_request("/api/w/local/variables/create", method="POST").respond_with_handler(create)
    httpserver.expect_request(re.compile("/api/w/local/variables/get_value/.*")).respond_with_handler(
        lambda request: Response(f'"{stored[request.path.split("get_value/")[1]]}"', content_type="application/json")
    )
    url = httpserver.url_for("").rstrip("/")
    windmill = {"WINDMILL_URL": url, "WINDMILL_WORKSPACE": "local", "WINDMILL_TOKEN": "t"}
    for name, value in (("BASE_INTERNAL_URL", url), ("WM_WORKSPACE", "local"), ("WM_TOKEN", "t")):
        monkeypatch.setenv(name, value)
    try:
        shop.owner.execute(block("add-a-tool.md", "sql").replace("4100", str(port)))
        shell(block("add-a-tool.md", "sh"), os.environ | windmill)
        deadline = time.monotonic() + 20
        while not is_taken(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        shop.model.calls(("stock__in_stock", {"model": "city bike"})).says("Quedan cuatro.")
        bicis = {"phone_number_id": "100000000000001", "waba_id": "200000000000001"}
        loaded = shop.load(shop.delivery("¿Tenéis bicis de ciudad?", **bicis))
        shop.generate(loaded)
    finally:
        process.terminate()
        process.wait(10)
    assert shop.model.tools == ["stock__in_stock"]
    assert shop.model.results == ["4 in the shop"]
    assert shop.executions() == [("in_stock", "succeeded", 1)]
