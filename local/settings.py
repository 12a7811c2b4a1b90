"""Where this installation is and which ports it uses: environment variables, and `.env` for those not set."""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.credentials import WORKSPACE
from local.install import ROOT

#: Field of Settings → (environment variable, default port). 0: any free one, as nobody outside needs to know it.
PORTS = {
    "gateway_port": ("GATEWAY_PORT", 3000),
    "api_port": ("API_PORT", 4000),
    "windmill_port": ("WINDMILL_PORT", 8081),
    "mcp_pricing_port": ("MCP_PRICING_PORT", 3001),
    "mcp_leads_port": ("MCP_LEADS_PORT", 3002),
    "mcp_owner_port": ("MCP_OWNER_PORT", 3003),
    "exchange_port": ("EXCHANGE_PORT", 0),
    "simulator_port": ("SIMULATOR_PORT", 3100),
    "postgres_port": ("POSTGRES_PORT", 5433),
}

#: What `./dev engine` takes its token and its database from: a command line can be read by every user of the machine.
ENGINE_TOKEN, ENGINE_DATABASE_URL = "ENGINE_TOKEN", "ENGINE_DATABASE_URL"


#: Variables that name a Windmill which is there already.
WINDMILL = ("WINDMILL_URL", "WINDMILL_TOKEN", "WINDMILL_WORKSPACE")


class SettingsError(Exception):
    """A setting cannot be used; the message names the variable."""


@dataclass(frozen=True)
class RealWindmill:
    """A Windmill that is there already: its address, an administrator's token, and the workspace to be used."""

    url: str
    token: str
    workspace: str


@dataclass(frozen=True)
class Settings:
    """One installation on this machine.

    `database_url` is None when it runs its own PostgreSQL, `real_windmill` when it runs its own engine.
    """

    data_dir: Path
    gateway_port: int
    api_port: int
    windmill_port: int
    mcp_pricing_port: int
    mcp_leads_port: int
    mcp_owner_port: int
    exchange_port: int
    simulator_port: int
    postgres_port: int
    database_url: str | None = None
    real_windmill: RealWindmill | None = None

    @property
    def gateway_url(self) -> str:
        return _address(self.gateway_port)

    @property
    def api_url(self) -> str:
        return _address(self.api_port)

    @property
    def windmill_url(self) -> str:
        return self.real_windmill.url if self.real_windmill else _address(self.windmill_port)

    @property
    def tool_server_urls(self) -> dict[str, str]:
        """Our tool servers by the names of their packages."""
        return {
            "pricing_calculator": _address(self.mcp_pricing_port),
            "lead_capture": _address(self.mcp_leads_port),
            "contact_owner": _address(self.mcp_owner_port),
        }

    @property
    def exchange_url(self) -> str:
        return _address(self.exchange_port)

    @property
    def simulator_url(self) -> str:
        return _address(self.simulator_port)

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"


def load(environment: Mapping[str, str]) -> Settings:
    """Settings in `environment` (see `full_environment`). Raises SettingsError."""
    directory = Path(environment.get("DATA_DIR") or ROOT / ".data").expanduser()
    ports = {field: _port(environment, name, default) for field, (name, default) in PORTS.items()}
    return Settings(
        data_dir=(directory if directory.is_absolute() else ROOT / directory),
        database_url=_database_url(environment),
        real_windmill=_real_windmill(environment),
        **ports,
    )


def _database_url(environment: Mapping[str, str]) -> str | None:
    url = environment.get("DATABASE_URL") or None
    if url is not None and not re.fullmatch(r"postgres(ql)?://[^/]*/[^/?]+(\?.*)?", url):
        raise SettingsError("DATABASE_URL must be an address such as postgresql://owner@db.example.org/millrace")
    return url


def _real_windmill(environment: Mapping[str, str]) -> RealWindmill | None:
    """The one that WINDMILL_URL names; the two others say nothing without it. None where it is the local engine, as in
    a shell that has read `./dev env`."""
    url, *others = (environment.get(name) for name in WINDMILL)
    if not url or environment.get("WINDMILL_WORKSPACE") == WORKSPACE:
        return None
    if missing := [name for name, value in zip(WINDMILL[1:], others, strict=True) if not value]:
        raise SettingsError(
            f"WINDMILL_URL is set, which takes that Windmill in place of the local engine, but {' and '.join(missing)}"
            f" {'are' if len(missing) > 1 else 'is'} not: set all of {', '.join(WINDMILL)}, or none"
        )
    if not re.fullmatch(r"https?://[^/?#@\s]+/?", url):
        raise SettingsError("WINDMILL_URL must be an address such as http://127.0.0.1:8000, without a path")
    token, workspace = (str(value) for value in others)
    return RealWindmill(url.rstrip("/"), token, workspace)


def full_environment() -> dict[str, str]:
    """The process' environment over what the repository's `.env` says."""
    return read_env_file(ROOT / ".env") | os.environ


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` lines; values may be quoted as in a shell, `#` starts a comment. Nothing is expanded."""
    values: dict[str, str] = {}
    if not path.exists():
        return values
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise SettingsError(f"{path.name}, line {number}: {error}") from None
        if words[:1] == ["export"]:
            del words[0]
        if not words:
            continue
        name, equals, value = words[0].partition("=")
        if not equals or len(words) > 1:
            raise SettingsError(f"{path.name}, line {number}: not NAME=value (put a value with spaces into quotes)")
        values[name] = value
    return values


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise SettingsError(f"{name} is {text!r}: it must be a port, 1 to 65535")
    return int(text)


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"
