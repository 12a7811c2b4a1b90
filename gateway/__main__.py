"""`python -m gateway`: serve until SIGTERM or SIGINT. Settings come from the environment, see --help."""

import sys

from gateway.app import build_app
from gateway.config import VARIABLES, load
from gateway.process import serve

PURPOSE = "Takes Meta's webhook deliveries and queues them at Windmill."

if __name__ == "__main__":
    sys.exit(serve("gateway", PURPOSE, VARIABLES, load, build_app, connections=512))
