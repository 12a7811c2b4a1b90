"""The short form of `./dev chaos`: faults of every kind at once, and what people saw of them."""

from collections.abc import Iterator
from typing import Any

import pytest

from local.chaos.run import own_world, targets
from local.chaos.short import run_short

PROMISES = [
    "accepted messages lost",
    "double replies in duplicate and kill runs",
    "overlapping turns",
    "bursts without exactly one reply that has seen all",
    "conversations answered out of order",
    "turns whose usage is not written once",
    "effects of tools that did not happen once",
    "messages that ended wrongly or without an alert",
    "seconds from the end of trouble to the outcome, at most",
]


@pytest.fixture(scope="module")
def results() -> Iterator[dict[str, dict[str, Any]]]:
    with own_world(fresh=False) as world:
        yield {name: found.as_dict() for name, found in run_short(world).items()}


@pytest.mark.parametrize("promise", PROMISES)
def test_promise(results: dict[str, dict[str, Any]], promise: str) -> None:
    (target,) = [target for target in targets(results) if target["name"] == promise]
    assert target["met"], "\n".join([str(target), *(line for found in results.values() for line in found["broken"])])


def test_faults_came(results: dict[str, dict[str, Any]]) -> None:
    """Else all the rest says nothing."""
    came, stayed_away = (sum(found[what] for found in results.values()) for what in ("runs_broken", "not_met"))
    assert came > 30 and stayed_away < came / 4, [found["unmet"] for found in results.values()]
