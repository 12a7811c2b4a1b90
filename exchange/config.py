"""Settings of the exchange, read once from the environment. What is missing or wrong stops the start."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from f.lib.signatures import MIN_KEY
from gateway.process import ConfigError

DEFAULT_PORT = 3004

#: Variable → what `--help` says about it.
VARIABLES = {
    "DATABASE_URL": "the platform's database as the role app (required)",
    "EXCHANGE_SIGNING_KEY": f"what tickets are signed with, {MIN_KEY} characters or more (required)",
    "EXCHANGE_HOST": "the address to listen on (default: 127.0.0.1)",
    "EXCHANGE_PORT": f"the port to listen on (default: {DEFAULT_PORT})",
}


@dataclass(frozen=True)
class Config:
    database_url: str = field(repr=False)
    signing_key: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT


def load(environment: Mapping[str, str]) -> Config:
    """The configuration in `environment`. Raises ConfigError with every problem there is."""

    def text(name: str, default: str = "") -> str:
        return environment.get(name, "").strip() or default

    problems = [f"{name} is not set" for name in ("DATABASE_URL", "EXCHANGE_SIGNING_KEY") if not text(name)]
    key, port = text("EXCHANGE_SIGNING_KEY"), text("EXCHANGE_PORT", str(DEFAULT_PORT))
    if key and len(key) < MIN_KEY:
        problems.append(f"EXCHANGE_SIGNING_KEY must have at least {MIN_KEY} characters")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        problems.append("EXCHANGE_PORT must be a port, 1 to 65535")
    if problems:
        raise ConfigError(problems)
    return Config(text("DATABASE_URL"), key, text("EXCHANGE_HOST", "127.0.0.1"), int(port))
