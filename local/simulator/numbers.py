"""The business numbers that exist: those of the configuration, and those that were bought since."""

import re
import secrets
from collections.abc import Iterable

from local.simulator.config import Number
from local.simulator.store import Store


class Numbers:
    """Numbers that are bought are not connected to a chatbot: a business does that with the Cloud API's calls."""

    def __init__(self, configured: Iterable[Number], store: Store) -> None:
        self._store = store
        self._known = {number.phone_number_id: number for number in configured}
        for row in store.numbers():
            self._known.setdefault(row["phone_number_id"], Number(**row))

    def all(self) -> list[Number]:
        return list(self._known.values())

    def ids(self) -> list[str]:
        return list(self._known)

    def get(self, phone_number_id: str) -> Number | None:
        return self._known.get(phone_number_id)

    def called(self, name: str) -> Number | None:
        return next((number for number in self._known.values() if number.is_called(name)), None)

    def with_token(self, token: str) -> list[Number]:
        return [n for n in self._known.values() if secrets.compare_digest(n.access_token.encode(), token.encode())]

    def buy(self, name: str, language: str) -> Number:
        """A new number in an account of its own, with a token for it."""
        place = len(self._known) + 1
        while str(place + 100_000_000_000_000) in self._known:
            place += 1
        number = Number(
            phone_number_id=str(place + 100_000_000_000_000),
            display_phone_number=f"+1 555 01{place % 100:02}",
            name=name,
            slug=re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "number",
            chatbot_id="none",
            waba_id=str(place + 200_000_000_000_000),
            language=language,
            access_token=secrets.token_urlsafe(24),
        )
        self._store.add_number(vars(number))
        self._known[number.phone_number_id] = number
        return number
