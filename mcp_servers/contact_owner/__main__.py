import sys

from mcp_servers.contact_owner import build_server
from mcp_servers.process import main

sys.exit(main("contact_owner", "MCP_OWNER_PORT", 3003, build_server))
