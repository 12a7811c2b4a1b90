"""Our small MCP client against servers made with the official SDK, and server-sent events however they are cut."""

import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import ROOT

from f.agent.loop import ToolError
from f.agent.tool_servers import McpServer, ToolUnavailable, events
from f.agent.tools import sound_tools
from local.processes import free_port, is_taken


@pytest.fixture(scope="module", params=["", "json", "stateless", "json stateless"])
def server(request: pytest.FixtureRequest) -> Iterator[McpServer]:
    port = free_port()
    command = [sys.executable, "tests/official_server.py", str(port), *request.param.split()]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not is_taken(port):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    yield McpServer(f"http://127.0.0.1:{port}/mcp", may_be_local=True)
    process.terminate()
    process.wait(10)


def test_it_lists_and_calls(server):
    tools, problems = sound_tools(server.list_tools())
    assert [tool["name"] for tool in tools] == ["add", "slowly", "refuse"] and problems == []
    assert tools[0]["schema"]["required"] == ["a", "b"]
    assert server.call("add", {"a": 2, "b": 40}, uuid4()) == "42"
    assert server.call("slowly", {"steps": 3}, uuid4()) == "done äöü\nsecond line"


def test_errors_of_the_tool_are_for_the_model(server):
    with pytest.raises(ToolError, match="not on Sundays"):
        server.call("refuse", {}, uuid4())
    with pytest.raises(ToolError, match="a"):
        server.call("add", {"a": "two"}, uuid4())


def test_nobody_there():
    with pytest.raises(ToolUnavailable, match="ConnectError"):
        McpServer(f"http://127.0.0.1:{free_port()}/mcp", may_be_local=True).call("add", {}, uuid4())
    with pytest.raises(ToolUnavailable, match="not a web address"):
        McpServer("ftp://127.0.0.1/mcp").call("add", {}, uuid4())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"])
def test_a_server_inside_the_network_is_not_called(host):
    with pytest.raises(ToolUnavailable, match="inside the network"):
        McpServer(f"https://{host}/mcp").call("add", {}, uuid4())


STREAM = (
    b': hi\r\n\r\nevent: message\r\nid: 1\r\ndata: {"a":\r\ndata:  1}\r\n\r\ndata:x\n\nretry: 5\n\ndata: unfinished'
)


@given(st.lists(st.integers(0, len(STREAM))))
def test_events_are_read_wherever_the_stream_is_cut(cuts):
    places = sorted({0, *cuts, len(STREAM)})
    chunks = [STREAM[a:b] for a, b in pairwise(places)]
    assert list(events(iter(chunks))) == [b'{"a":\n 1}', b"x"]
