import sys

from exchange.app import build
from exchange.config import VARIABLES, load
from gateway.process import serve

PURPOSE = "Hands out what is to be read, and takes what was read, to whoever has a ticket for it: docs/knowledge.md."

sys.exit(serve("exchange", PURPOSE, VARIABLES, load, build, connections=64))
