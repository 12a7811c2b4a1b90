import sys

from mcp_servers.pricing_calculator import build_server
from mcp_servers.process import main

sys.exit(main("pricing_calculator", "MCP_PRICING_PORT", 3001, build_server))
