"""What the simulator is told: its gateway, its Meta app, its numbers. Read once, at the start."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


class ConfigError(Exception):
    """The configuration cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class Number:
    """A business number and the chatbot behind it."""

    phone_number_id: str
    display_phone_number: str
    name: str
    slug: str
    chatbot_id: str
    waba_id: str
    language: str
    access_token: str = field(repr=False)

    def is_called(self, name: str) -> bool:
        """Whether `name` is the chatbot's slug, name or id, or the number's id."""
        return name in (self.slug, self.chatbot_id, self.phone_number_id) or name.casefold() == self.name.casefold()


@dataclass(frozen=True)
class Config:
    """`state` is the SQLite file that remembers everything; `database_url` logs in as a role that may become owner."""

    gateway_url: str
    app_id: str
    app_secret: str = field(repr=False)
    database_url: str = field(repr=False)
    state: Path
    numbers: tuple[Number, ...]


def load(path: Path) -> Config:
    """Read the JSON file at `path`. Raises ConfigError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    names = [item.name for item in fields(Config) if item.name != "numbers"]
    texts = _texts(values, names, str(path))
    if not isinstance(values.get("numbers"), list) or not values["numbers"]:
        raise ConfigError(f"{path}: numbers must be a list with at least one number")
    numbers = tuple(
        Number(**_texts(number, [item.name for item in fields(Number)], f"{path}: numbers[{place}]"))
        for place, number in enumerate(values["numbers"])
    )
    texts["gateway_url"] = texts["gateway_url"].rstrip("/")
    return Config(state=Path(texts.pop("state")), numbers=numbers, **texts)


def _texts(values: Any, names: list[str], where: str) -> dict[str, str]:
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be an object")
    missing = [name for name in names if not isinstance(values.get(name), str) or not values[name]]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)} (a text that is not empty)")
    return {name: values[name] for name in names}
