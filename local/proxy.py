"""Caddy before a real Windmill: serves tenants' and operators' API as production does.

`python -m local.proxy --port N --windmill URL --data-dir DIR` becomes Caddy with local/Caddyfile.
"""

import argparse
import os
import shutil
from pathlib import Path

from local.install import ROOT
from local.running import StackError

CADDYFILE = ROOT / "local" / "Caddyfile"


def find_caddy() -> str:
    """The Caddy of the variable CADDY, else the one in PATH. Raises StackError."""
    found = os.environ.get("CADDY") or shutil.which("caddy")
    if not found:
        raise StackError(
            "before a real Windmill Caddy serves the API, and there is none: install it (on Debian:"
            " apt-get install caddy), or name one in CADDY"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.proxy", description="Serves the API before a real Windmill.")
    parser.add_argument("--port", required=True, help="on 127.0.0.1")
    parser.add_argument("--windmill", required=True, metavar="URL", help="address of Windmill, without a path")
    parser.add_argument("--data-dir", required=True, type=Path, metavar="DIR", help="where Caddy may write")
    options = parser.parse_args()
    environment = os.environ | {
        "API_PORT": options.port,
        "WINDMILL_UPSTREAM": options.windmill,
        "XDG_DATA_HOME": str(options.data_dir),
        "XDG_CONFIG_HOME": str(options.data_dir),
    }
    caddy = find_caddy()
    os.execve(caddy, [caddy, "run", "--config", str(CADDYFILE), "--adapter", "caddyfile"], environment)  # noqa: S606


if __name__ == "__main__":
    main()
