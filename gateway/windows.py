"""How many messages were written in a span of time: each message counts once, whoever delivers it how often.

A rule is met with the sliding window that the `limits` library calls "sliding window counter": the
count of the present span, and as much of the span before as a window that ends now still covers.
Two things differ from that library's own storages. A message's verdict is remembered under its
run's id, in the same step that counts it, so that a repetition neither counts again nor ends
otherwise. And the time is when the message was written, not when it arrived: what piled up while
we were away is not excess.

Either every rule lets a message pass and it counts, or one refuses and nothing is counted: whoever
is refused uses up nobody else's share.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

from valkey.asyncio import BlockingConnectionPool, Valkey

Scope = Literal["sender", "number"]
Verdict = Scope | None
T = TypeVar("T")

#: Entries of one table in memory; beyond it the oldest are dropped, and with them a bit of strictness.
MAX_ENTRIES = 50_000

#: Messages for which Valkey, which serves one caller at a time, is asked at once: a few milliseconds.
HITS_PER_CALL = 250
CONNECTIONS = 32
PREFIX = "millrace:limits"


class Rule(NamedTuple):
    """At most `amount` messages of a scope in any `seconds`."""

    scope: Scope
    amount: int
    seconds: int


class Hit(NamedTuple):
    """A message to be counted: its run's id, what it counts for, and when it was written (seconds since 1970)."""

    job_id: str
    sender: str
    number: str
    at: int


class LocalWindows:
    """Counts in this process, in constant memory."""

    def __init__(self, rules: Sequence[Rule], max_entries: int = MAX_ENTRIES) -> None:
        self._rules = rules
        self._verdicts: Expiring[Verdict] = Expiring(keep_seconds(rules), max_entries)
        self._counts: dict[tuple[Scope, int], Expiring[int]] = {
            (rule.scope, rule.seconds): Expiring(2 * rule.seconds, max_entries) for rule in rules
        }

    def count(self, hits: Sequence[Hit], now: float) -> list[Verdict]:
        """The scope of the rule that refuses each message, None where it passes. `now` only rises."""
        return [self._count(hit, now) for hit in hits]

    @property
    def entries(self) -> int:
        """How much is kept."""
        return len(self._verdicts) + sum(map(len, self._counts.values()))

    def _count(self, hit: Hit, now: float) -> Verdict:
        if hit.job_id in self._verdicts:
            return self._verdicts.get(hit.job_id, None)
        verdict = next((rule.scope for rule in self._rules if self._used_up(rule, hit)), None)
        if verdict is None:
            for rule in self._rules:
                counts, key = self._counts[rule.scope, rule.seconds], _key(rule, hit, 0)
                counts.put(key, counts.get(key, 0) + 1, now)
        self._verdicts.put(hit.job_id, verdict, now)
        return verdict

    def _used_up(self, rule: Rule, hit: Hit) -> bool:
        counts = self._counts[rule.scope, rule.seconds]
        present, before = (counts.get(_key(rule, hit, back), 0) for back in (0, 1))
        return present * rule.seconds + before * (rule.seconds - hit.at % rule.seconds) >= rule.amount * rule.seconds


class SharedWindows:
    """Counts in one Valkey or Redis, for all gateways that name it. The same rules, as a script that runs alone."""

    SCRIPT = """
        local keep, rules, answers = ARGV[1], tonumber(ARGV[2]), {}
        for hit = 1, #KEYS / 3 do
            local known = KEYS[3 * hit - 2]
            local answer = redis.call('GET', known)
            if not answer then
                answer = ''
                local at, passed = tonumber(ARGV[2 + 3 * rules + hit]), {}
                for rule = 1, rules do
                    local scope, amount, seconds = unpack(ARGV, 3 * rule, 3 * rule + 2)
                    local who = KEYS[3 * hit - (scope == 'sender' and 1 or 0)] .. ':' .. seconds .. ':'
                    local bucket, elapsed = math.floor(at / seconds), at % seconds
                    local present = tonumber(redis.call('GET', who .. bucket) or 0)
                    local before = tonumber(redis.call('GET', who .. bucket - 1) or 0)
                    if present * seconds + before * (seconds - elapsed) >= amount * seconds then
                        answer = scope
                        break
                    end
                    passed[rule] = {who .. bucket, 2 * seconds}
                end
                if answer == '' then
                    for _, count in ipairs(passed) do
                        redis.call('INCR', count[1])
                        redis.call('EXPIRE', count[1], count[2])
                    end
                end
                redis.call('SET', known, answer, 'EX', keep)
            end
            answers[hit] = answer
        end
        return answers
    """

    def __init__(self, url: str, rules: Sequence[Rule], timeout: float) -> None:
        """`timeout`: seconds for a connection, and for an answer. Connects when it is first used."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=timeout,
            socket_connect_timeout=timeout,
            socket_timeout=timeout,
            decode_responses=True,
        )
        self._client = Valkey.from_pool(pool)
        self._script = self._client.register_script(self.SCRIPT)
        self._rules = [keep_seconds(rules), len(rules), *(value for rule in rules for value in rule)]

    async def count(self, hits: Sequence[Hit]) -> list[Verdict]:
        """As LocalWindows.count; without hits a mere test. Raises ValkeyError, OSError, ValueError."""
        answers: list[Verdict] = []
        for start in range(0, max(len(hits), 1), HITS_PER_CALL):
            part = hits[start : start + HITS_PER_CALL]
            keys = [
                f"{PREFIX}:{key}" for hit in part for key in (f"m:{hit.job_id}", f"s:{hit.sender}", f"n:{hit.number}")
            ]
            answers += [
                answer or None for answer in await self._script(keys, [*self._rules, *(hit.at for hit in part)])
            ]
        return answers

    async def close(self) -> None:
        await self._client.aclose()


class Expiring(Generic[T]):
    """Values that are dropped `seconds` after they were last put, or sooner when there are too many."""

    def __init__(self, seconds: int, max_entries: int) -> None:
        self._seconds = seconds
        self._max_entries = max_entries
        #: Key → (when to drop it, value), the next to be dropped first.
        self._entries: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def get(self, key: str, default: T) -> T:
        entry = self._entries.get(key)
        return default if entry is None else entry[1]

    def put(self, key: str, value: T, now: float) -> None:
        self._entries[key] = (now + self._seconds, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries or next(iter(self._entries.values()))[0] <= now:
            self._entries.popitem(last=False)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)


def keep_seconds(rules: Sequence[Rule]) -> int:
    """How long a verdict is remembered: as long as what it counted in."""
    return 2 * max(rule.seconds for rule in rules)


def _key(rule: Rule, hit: Hit, back: int) -> str:
    """The counter of the span in which the message was written, or of the one `back` before it."""
    return f"{hit.sender if rule.scope == 'sender' else hit.number}:{hit.at // rule.seconds - back}"
