# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "attrs==26.1.0", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "psycopg==3.3.9",
#   "psycopg-binary==3.3.9", "referencing==0.37.0", "rpds-py==2026.9.1", "typing-extensions==4.16.0",
# ]
# ///
"""What an organisation may use: turns and tokens of a month, and turns of one person on a day.

A turn is counted when it starts to think. Tokens are reserved before each call of a model, at the
most that the call may take, and settled after it: many turns at once cannot go past the limit
together. Whoever counts or reserves holds the organisation's row of the month for a moment only,
never while a model is called.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from f.agent.loop import ModelError
from f.lib.alerts import raise_alert
from f.lib.database import Connection, tenant
from f.usage import queries

MESSAGES = "monthly messages"
TOKENS = "monthly tokens"
CONTACT = "daily messages of one person"

#: Shares of a monthly limit at which the organisation is warned, in percent.
WARNINGS = (80, 100)


class QuotaBusy(Exception):
    """The rest of the quota is reserved by calls under way; when they are settled there may be some: try again."""


@dataclass(frozen=True)
class Refusal:
    """A quota that is used up, and the first day of the period for which that holds."""

    quota: str
    period: date


def admit(connection: Connection, organization_id: str, turn_id: str, contact_id: str) -> Refusal | None:
    """Count the turn, once however often it is asked for; a Refusal when a limit is reached.

    Inside the caller's transaction of the organisation.
    """
    values: dict[str, Any] = {"organization_id": organization_id, "turn_id": turn_id, "contact_id": contact_id}
    month = _lock_month(connection, values)
    counted = connection.execute(queries.COUNTED, values).fetchone()
    if counted and counted["counted_at"] is not None:
        return None
    limits = _limits(connection, values)
    today = connection.execute(queries.CONTACT_TODAY, values).fetchone()
    if month["messages"] >= limits["monthly_messages"]:
        _warn(connection, organization_id, MESSAGES, month["month"], month["messages"], limits["monthly_messages"])
        return Refusal(MESSAGES, month["month"])
    if month["tokens"] >= limits["monthly_tokens"]:
        _warn(connection, organization_id, TOKENS, month["month"], month["tokens"], limits["monthly_tokens"])
        return Refusal(TOKENS, month["month"])
    if today and today["messages"] >= limits["daily_messages_per_contact"]:
        details = {"limit": limits["daily_messages_per_contact"]}
        raise_alert(connection, organization_id, "quota_of_contact_reached", contact_id, details)
        return Refusal(CONTACT, datetime.now(UTC).date())
    values["month"] = month["month"]
    connection.execute(queries.COUNT_TURN, values)
    connection.execute(queries.COUNT_MESSAGE, values)
    connection.execute(queries.COUNT_CONTACT, values)
    _warn(connection, organization_id, MESSAGES, month["month"], month["messages"] + 1, limits["monthly_messages"])
    return None


def refuse(connection: Connection, organization_id: str, turn_id: str, contact_id: str, refusal: Refusal) -> bool:
    """Record that a quota ended the turn. Returns whether the contact is to be told: once a period."""
    values = {
        "organization_id": organization_id,
        "turn_id": turn_id,
        "contact_id": contact_id,
        "quota": refusal.quota,
        "period": refusal.period,
        "refusal": f"quota: {refusal.quota}",
    }
    connection.execute(queries.REFUSE_TURN, values)
    row = connection.execute(queries.GIVE_NOTICE, values).fetchone()
    return bool(row and row["is_ours"])


class Meter:
    """The tokens of one turn's model calls."""

    def __init__(self, connection: Connection, organization_id: str, turn_id: str) -> None:
        self._connection = connection
        self._values: dict[str, Any] = {"organization_id": organization_id, "turn_id": turn_id}
        #: Set when a call was not made because the quota is used up.
        self.refusal: Refusal | None = None

    def reserve(self, prompt: int, answer: int, least: int) -> int:
        """Reserve a call's `prompt` tokens and as many of `answer` as there are, `least` at least.

        Returns the tokens that the answer may have. Raises ModelError "quota", or QuotaBusy.
        """
        with self._transaction():
            # What an attempt that died has left, or a twin of this step holds: of a turn only one call counts as open.
            month = self._settle(0)
            limit = _limits(self._connection, self._values)["monthly_tokens"]
            left = limit - month["tokens"] - prompt
            free = left - month["reserved_tokens"]
            if left < least:
                organization_id = self._values["organization_id"]
                _warn(self._connection, organization_id, TOKENS, month["month"], limit, limit)
                self.refusal = Refusal(TOKENS, month["month"])
            elif free < least:
                raise QuotaBusy(f"{month['reserved_tokens']} tokens are reserved by calls under way")
            else:
                granted = min(answer, free)
                values = {**self._values, "month": month["month"], "tokens": prompt + granted}
                self._connection.execute(queries.RESERVE, values)
        if self.refusal:
            raise ModelError(f"quota: {TOKENS}", "quota")
        return int(granted)

    def settle(self, used: int) -> None:
        """Replace the reservation by what the call has taken; 0 when it was made in vain."""
        with self._transaction():
            self._settle(used)

    def _settle(self, used: int) -> dict[str, Any]:
        """Returns the month's row as it is then. It is locked before anything else, so that no two runs deadlock."""
        month = _lock_month(self._connection, self._values)
        released = self._connection.execute(queries.RELEASE, self._values).fetchone()
        if released or used:
            # A call that ends in another month than it began in is of the month in which it was reserved.
            of = released["month"] if released else month["month"]
            values = {"month": of, "released": released["tokens"] if released else 0, "used": used}
            self._connection.execute(queries.SETTLE, {**self._values, **values})
            month = _lock_month(self._connection, self._values)
        if used:
            limit = _limits(self._connection, self._values)["monthly_tokens"]
            _warn(self._connection, self._values["organization_id"], TOKENS, month["month"], month["tokens"], limit)
        return month

    def _transaction(self) -> Any:
        return tenant(self._connection, self._values["organization_id"])


def release_stale(connection: Connection, most: int) -> int:
    """Give back what turns that died had reserved. Returns how many."""
    stale = connection.execute(queries.STALE, {"most": most}).fetchall()
    for row in stale:
        Meter(connection, str(row["organization_id"]), str(row["turn_id"])).settle(0)
    return len(stale)


def _lock_month(connection: Connection, values: dict[str, Any]) -> dict[str, Any]:
    row = connection.execute(queries.LOCK_MONTH, values).fetchone()
    if row is None:
        connection.execute(queries.OPEN_MONTH, values)
        row = connection.execute(queries.LOCK_MONTH, values).fetchone()
    assert row is not None
    return row


def _limits(connection: Connection, values: dict[str, Any]) -> dict[str, Any]:
    row = connection.execute(queries.LIMITS, values).fetchone()
    assert row is not None
    return row


def _warn(connection: Connection, organization_id: str, quota: str, month: date, used: int, limit: int) -> None:
    """One alert for each share of the limit that is reached, once a month."""
    for share in WARNINGS:
        if used * 100 >= limit * share:
            subject = f"{quota} {month:%Y-%m} {share} %"
            if connection.execute(queries.WARNED, {"organization_id": organization_id, "subject": subject}).fetchone():
                continue
            raise_alert(connection, organization_id, "quota_warning", subject, {"used": used, "limit": limit})
