"""Which messages are more than one person, or one business number, may bring in. They are queued all the same.

Meta never learns of our limits: to what is refused it would come back for days, and with it
everything else in that delivery.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from types import TracebackType

from valkey.exceptions import ValkeyError

from f.whatsapp.deliveries import meta_time
from gateway.config import Config, Limits
from gateway.metrics import Metrics
from gateway.split import Run, sender_of
from gateway.windows import Hit, LocalWindows, Rule, Scope, SharedWindows, Verdict

log = logging.getLogger("gateway")

#: Seconds for Valkey to count a delivery, and how long it is left alone when it did not.
COUNT_SECONDS = 0.25
PAUSE_SECONDS = 3.0


class Excess:
    """Marks messages beyond a limit. Where Valkey does not answer, this process counts alone until it does."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._rules = rules(config)
        self._metrics = metrics
        self._local = LocalWindows(self._rules) if self._rules else None
        self._url = config.limits_url
        self._shared: SharedWindows | None = None
        self._away = False
        self._ask_again_at = 0.0

    async def __aenter__(self) -> None:
        if self._rules and self._url:
            self._shared = SharedWindows(self._url, self._rules, COUNT_SECONDS)
            await self._count_shared([])

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shared:
            await self._shared.close()

    async def mark(self, runs: Sequence[Run], app_id: str, now: datetime) -> list[Run]:
        """`runs`, with `limited` in the delivery of each message that is too much. Takes at most COUNT_SECONDS."""
        hits = [hit(run, app_id, now) for run in runs if run.kind == "message"]
        if self._local is None or not hits:
            return list(runs)
        verdicts = await self._count_shared(hits) if self._shared else None
        if verdicts is None:
            self._metrics.counted_alone.inc(1 if self._shared else 0)
            verdicts = self._local.count(hits, time.monotonic())
        limited = {hit.job_id: verdict for hit, verdict in zip(hits, verdicts, strict=True) if verdict}
        return [
            replace(run, delivery=run.delivery | {"limited": limited[str(run.job_id)]})
            if str(run.job_id) in limited
            else run
            for run in runs
        ]

    async def _count_shared(self, hits: Sequence[Hit]) -> list[Verdict] | None:
        """What Valkey says, None if it does not answer. While it is away one caller at a time finds out."""
        assert self._shared
        now = time.monotonic()
        if not self._away or now >= self._ask_again_at:
            self._ask_again_at = now + PAUSE_SECONDS
            try:
                async with asyncio.timeout(COUNT_SECONDS):
                    verdicts = await self._shared.count(hits)
            except (ValkeyError, OSError, EOFError, ValueError) as error:
                self._ask_again_at = time.monotonic() + PAUSE_SECONDS
                self._note(away=True, reason=type(error).__name__)
            else:
                self._note(away=False)
                return verdicts
        return None

    def _note(self, *, away: bool, reason: str | None = None) -> None:
        if away and not self._away:
            log.warning("limits are counted by this process alone", extra={"fields": {"reason": reason}})
        elif self._away and not away:
            log.info("limits are counted together again")
        self._away = away


def rules(config: Config) -> list[Rule]:
    """The configured limits, the sender's first; of two for the same time only the stricter counts."""
    amounts: dict[tuple[Scope, int], int] = {}
    limits: list[tuple[Scope, Limits]] = [("sender", config.sender_limit), ("number", config.number_limit)]
    for scope, items in limits:
        for item in items:
            key = (scope, item.get_expiry())
            amounts[key] = min(item.amount, amounts.get(key, item.amount))
    return [Rule(scope, amount, seconds) for (scope, seconds), amount in amounts.items()]


def hit(run: Run, app_id: str, now: datetime) -> Hit:
    """A message's run as what is counted. The keys have a fixed size and show neither names nor numbers.

    The app is part of them, since one app's deliveries must not use up the limits of another's
    numbers. Who names no sender shares no limit with others.
    """
    number, message = run.delivery["phone_number_id"], run.delivery["message"]
    sender = sender_of(message) or f"message {run.job_id}"
    written = min(meta_time(message.get("timestamp")) or now, now)
    return Hit(
        str(run.job_id),
        sender=_digest(f"{app_id}\n{number}\n{sender}"),
        number=_digest(f"{app_id}\n{number}"),
        at=max(0, int(written.timestamp())),
    )


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
