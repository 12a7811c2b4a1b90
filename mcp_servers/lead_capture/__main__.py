import sys

from mcp_servers.lead_capture import build_server
from mcp_servers.process import main

sys.exit(main("lead_capture", "MCP_LEADS_PORT", 3002, build_server))
