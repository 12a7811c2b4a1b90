"""Exit status 0 when HEALTH_URL answers 200 within four seconds. Standard library only: it runs every ten."""

import os
import sys
import urllib.request

try:
    with urllib.request.urlopen(os.environ["HEALTH_URL"], timeout=4) as answer:  # noqa: S310  # ours, http
        sys.exit(0 if answer.status == 200 else 1)
except (KeyError, OSError, ValueError) as error:
    sys.exit(f"unhealthy: {error!r}")
