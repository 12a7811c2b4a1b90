"""Passwords, tokens and keys of a local installation: made at its first start, kept in one file of mode 0600."""

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

#: The Meta app that the demo tenants' numbers belong to (db/seed.sql).
APP_ID = "demo-app"
WORKSPACE = "local"


@dataclass(frozen=True)
class Tenant:
    """A demo tenant of db/seed.sql, as far as commands and tests name it."""

    organization_id: str
    chatbot_id: str
    phone_number_id: str


DEMO1 = Tenant("11111111-1111-4111-8111-111111111111", "1b1c1d1e-0000-4000-8000-000000000001", "100000000000001")
DEMO2 = Tenant("22222222-2222-4222-8222-222222222222", "2b2c2d2e-0000-4000-8000-000000000002", "100000000000002")


@dataclass(frozen=True, repr=False)
class Credentials:
    owner_password: str
    app_password: str
    manager_password: str
    backup_password: str
    engine_password: str
    windmill_token: str
    meta_app_secret: str
    meta_verify_token: str
    demo1_access_token: str
    demo2_access_token: str
    demo1_api_key: str
    demo2_api_key: str
    operator_key: str
    mcp_signing_key: str
    exchange_signing_key: str

    @classmethod
    def load(cls, data_dir: Path) -> Self:
        """The credentials in `data_dir`; what is not there yet is made and kept."""
        data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        path = data_dir / "secrets.json"
        with (data_dir / "secrets.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
            wanted = {field.name: known.get(field.name) or _make(field.name) for field in fields(cls)}
            credentials = cls(**wanted)
            if asdict(credentials) != known:
                write_private(path, json.dumps(wanted, indent=2) + "\n")
        return credentials


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, at once: a reader sees the old text or the new."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def key_hash(api_key: str) -> str:
    """What the database keeps of an API key."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def _make(name: str) -> str:
    makers: dict[str, Callable[[], str]] = {
        "meta_app_secret": lambda: secrets.token_hex(16),
        "mcp_signing_key": lambda: secrets.token_urlsafe(32),
        "exchange_signing_key": lambda: secrets.token_urlsafe(32),
        "demo1_api_key": lambda: f"mr_{secrets.token_urlsafe(24)}",
        "demo2_api_key": lambda: f"mr_{secrets.token_urlsafe(24)}",
        "operator_key": lambda: f"mro_{secrets.token_urlsafe(24)}",
    }
    return makers.get(name, lambda: secrets.token_urlsafe(24))()
