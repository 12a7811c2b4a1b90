"""What `python -m mcp_servers.NAME` does: read the settings, serve until SIGTERM or SIGINT."""

from collections.abc import Callable, Mapping

from starlette.applications import Starlette

from gateway.process import serve
from mcp_servers.config import VARIABLES, Config, load


def main(name: str, port_variable: str, default_port: int, build_server: Callable[[Config], Starlette]) -> int:
    """The exit status of `gateway.process.serve`."""

    def read(environment: Mapping[str, str]) -> Config:
        return load(environment, port_variable, default_port)

    purpose = f"Serves the tools of {name} over MCP (/mcp) and plain HTTP (/tools)."
    variables = VARIABLES | {port_variable: f"the port to listen on (default: {default_port})"}
    return serve(f"mcp_servers.{name}", purpose, variables, read, build_server, connections=256)
