"""Settings of a tool server, read once from the environment. What is missing or wrong stops the start."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from f.lib.signatures import MIN_KEY
from gateway.process import ConfigError

#: Variable → what `--help` says about it. The port's name differs from server to server.
VARIABLES = {
    "DATABASE_URL": "the platform's database as the role app (required)",
    "MCP_SIGNING_KEY": f"what callers sign their tokens with, {MIN_KEY} characters or more (required)",
    "MCP_HOST": "the address to listen on (default: 127.0.0.1)",
    "MCP_ALLOWED_HOSTS": "host names that requests may name, comma-separated (default: 127.0.0.1,localhost)",
    "MCP_ALLOWED_ORIGINS": "origins whose pages may call, comma-separated (default: none)",
}


@dataclass(frozen=True)
class Config:
    database_url: str = field(repr=False)
    signing_key: str = field(repr=False)
    port: int
    host: str = "127.0.0.1"
    allowed_hosts: frozenset[str] = frozenset({"127.0.0.1", "localhost"})
    allowed_origins: frozenset[str] = frozenset()


def load(environment: Mapping[str, str], port_variable: str, default_port: int) -> Config:
    """The configuration in `environment`. Raises ConfigError with every problem there is."""

    def text(name: str, default: str = "") -> str:
        return environment.get(name, "").strip() or default

    problems = [f"{name} is not set" for name in ("DATABASE_URL", "MCP_SIGNING_KEY") if not text(name)]
    key, port = text("MCP_SIGNING_KEY"), text(port_variable, str(default_port))
    if key and len(key) < MIN_KEY:
        problems.append(f"MCP_SIGNING_KEY must have at least {MIN_KEY} characters")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        problems.append(f"{port_variable} must be a port, 1 to 65535")
    if problems:
        raise ConfigError(problems)
    return Config(
        database_url=text("DATABASE_URL"),
        signing_key=key,
        port=int(port),
        host=text("MCP_HOST", "127.0.0.1"),
        allowed_hosts=_items(text("MCP_ALLOWED_HOSTS", "127.0.0.1,localhost")),
        allowed_origins=_items(text("MCP_ALLOWED_ORIGINS")),
    )


def _items(text: str) -> frozenset[str]:
    return frozenset(item.strip().lower() for item in text.split(",") if item.strip())
