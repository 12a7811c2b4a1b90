"""A server made with the official SDK: `python tests/official_server.py PORT [json] [stateless]`."""

import sys

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("official")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def slowly(steps: int, context: Context) -> str:
    """Report progress, then answer."""
    for step in range(steps):
        await context.report_progress(step, steps)
    return "done äöü\nsecond line"


@server.tool()
def refuse() -> str:
    """Never works."""
    raise ToolError("not on Sundays")


if __name__ == "__main__":
    server.run(
        "streamable-http",
        host="127.0.0.1",
        port=int(sys.argv[1]),
        json_response="json" in sys.argv,
        stateless_http="stateless" in sys.argv,
    )
