"""Settings of the gateway, read once from the environment. What is missing or wrong stops the start."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import limits

from gateway.process import ConfigError
from gateway.signature import AppSecret

T = TypeVar("T")
Network = IPv4Network | IPv6Network
Limits = tuple[limits.RateLimitItem, ...]

#: Two albums of 30 pictures, or a message every other second, are a person; WhatsApp lets us send one person 45
#: messages at once and then 10 a minute. A number that is used in the phone's app as well may send 20 a second.
SENDER_LIMIT = "60/minute; 300/hour"
NUMBER_LIMIT = "1200/minute"
#: The longest window of these limits: the memory for them is bounded.
MAX_WINDOW = 24 * 60 * 60

#: Variable → what `--help` says about it.
VARIABLES = {
    "META_APP_SECRETS": "app_id:secret pairs, comma-separated; an app may appear twice while its secret changes",
    "META_APP_SECRET": "one secret, instead of or beside META_APP_SECRETS",
    "META_APP_ID": "the app that META_APP_SECRET belongs to (default: empty)",
    "META_VERIFY_TOKEN": "what Meta's console sends when the webhook is set up (required)",
    "WINDMILL_URL": "Windmill's address, http or https (required)",
    "WINDMILL_WORKSPACE": "its workspace (required)",
    "WINDMILL_TOKEN": "a token that may run the webhook flow and store_events (required)",
    "WINDMILL_TOKEN_FILE": "a file that holds it, instead of WINDMILL_TOKEN",
    "GATEWAY_HOST": "the address to listen on (default: 127.0.0.1)",
    "GATEWAY_PORT": "the port to listen on (default: 3000)",
    "TRUSTED_PROXIES": "networks whose X-Forwarded-For is believed, comma-separated CIDRs (default: none)",
    "GATEWAY_UNVERIFIED_LIMIT": "requests that do not verify, for each client address (default: 30/minute)",
    "GATEWAY_SENDER_LIMIT": f"messages of one person to one number; off: none (default: {SENDER_LIMIT})",
    "GATEWAY_NUMBER_LIMIT": f"messages of all people to one number; off: none (default: {NUMBER_LIMIT})",
    "GATEWAY_LIMITS_URL": "where several gateways count together, valkey:// or redis:// (default: each in its memory)",
}


@dataclass(frozen=True)
class Config:
    app_secrets: tuple[AppSecret, ...]
    verify_token: str = field(repr=False)
    windmill_url: str
    windmill_workspace: str
    windmill_token: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 3000
    trusted_proxies: tuple[Network, ...] = ()
    unverified_limit: limits.RateLimitItem = field(default_factory=lambda: limits.parse("30/minute"))
    sender_limit: Limits = field(default_factory=lambda: tuple(limits.parse_many(SENDER_LIMIT)))
    number_limit: Limits = field(default_factory=lambda: tuple(limits.parse_many(NUMBER_LIMIT)))
    #: Empty: each gateway counts in its memory.
    limits_url: str = field(default="", repr=False)


def load(environment: Mapping[str, str]) -> Config:
    """The configuration in `environment`. Raises ConfigError with every problem there is, not only the first."""
    problems: list[str] = []
    given = dict(environment)
    if not given.get("WINDMILL_TOKEN", "").strip() and (file := given.get("WINDMILL_TOKEN_FILE", "").strip()):
        try:
            given["WINDMILL_TOKEN"] = Path(file).read_text()
        except (OSError, ValueError):
            problems.append(f"WINDMILL_TOKEN_FILE names {file}, which cannot be read")

    def setting(name: str, read: Callable[[str], T], default: str | None = None) -> T | None:
        text = given.get(name, "").strip() or default
        if text is None:
            problems.append(f"{name} is not set")
            return None
        try:
            return read(text)
        except ValueError as error:
            problems.append(f"{name} {error}")
            return None

    secrets = setting("META_APP_SECRETS", _app_secrets, default="") or ()
    if single := environment.get("META_APP_SECRET", "").strip():
        secrets += (AppSecret(environment.get("META_APP_ID", "").strip(), single.encode()),)
    if not secrets and not problems:
        problems.append("META_APP_SECRETS or META_APP_SECRET is not set: no delivery could be verified")
    values = {
        "verify_token": setting("META_VERIFY_TOKEN", str),
        "windmill_url": setting("WINDMILL_URL", _url),
        "windmill_workspace": setting("WINDMILL_WORKSPACE", _workspace),
        "windmill_token": setting("WINDMILL_TOKEN", _token),
        "host": setting("GATEWAY_HOST", str, default="127.0.0.1"),
        "port": setting("GATEWAY_PORT", _port, default="3000"),
        "trusted_proxies": setting("TRUSTED_PROXIES", _networks, default=""),
        "unverified_limit": setting("GATEWAY_UNVERIFIED_LIMIT", _limit, default="30/minute"),
        "sender_limit": setting("GATEWAY_SENDER_LIMIT", _limits, default=SENDER_LIMIT),
        "number_limit": setting("GATEWAY_NUMBER_LIMIT", _limits, default=NUMBER_LIMIT),
        "limits_url": setting("GATEWAY_LIMITS_URL", _limits_url, default="memory://"),
    }
    if problems:
        raise ConfigError(problems)
    return Config(app_secrets=secrets, **values)  # type: ignore[arg-type]  # none is None: problems is empty


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _app_secrets(text: str) -> tuple[AppSecret, ...]:
    pairs = [item.partition(":") for item in _items(text)]
    if not all(app_id and secret for app_id, _, secret in pairs):
        raise ValueError("must be app_id:secret pairs, separated by commas")
    return tuple(AppSecret(app_id.strip(), secret.strip().encode()) for app_id, _, secret in pairs)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an http or https address")
    return text.rstrip("/")


def _workspace(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise ValueError("must be a workspace id: letters, digits, - and _")
    return text


def _token(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be printable ASCII without spaces")
    return text


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError("must be a port, 1 to 65535")
    return int(text)


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(item) for item in _items(text))
    except ValueError as error:
        raise ValueError(f"must be networks such as 10.0.0.0/8: {error}") from error


def _limit(text: str) -> limits.RateLimitItem:
    try:
        return limits.parse(text)
    except ValueError as error:
        raise ValueError("must be a limit such as 30/minute") from error


def _limits(text: str) -> Limits:
    if text.lower() in ("0", "off"):
        return ()
    try:
        items = tuple(limits.parse_many(text))
    except ValueError as error:
        raise ValueError("must be limits such as 60/minute; 300/hour, or off") from error
    if not all(item.amount and item.get_expiry() <= MAX_WINDOW for item in items):
        raise ValueError("must allow at least one message, in at most a day")
    return items


def _limits_url(text: str) -> str:
    if text.lower() in ("memory", "memory://"):
        return ""
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("valkey", "valkeys", "redis", "rediss") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or not re.fullmatch(r"/?[0-9]*", parts.path):
        raise ValueError("must be memory:// or an address such as valkey://:password@host:6379/0")
    return text
