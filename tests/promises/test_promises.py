"""The short form of `./dev chaos`: faults of every kind at once, and what people saw of them."""

from collections.abc import Iterator
from typing import Any

import pytest
from systems import given_windmill

from local.chaos.run import own_world, targets
from local.chaos.short import run_short
from local.chaos.world import World
from local.settings import load

pytestmark = pytest.mark.system

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
#: Promises about what only happens where processes of steps are killed.
NEED_TRAPS = ("effects of tools that did not happen once",)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with own_world(fresh=False, real=load(given_windmill()).real_windmill) as made:
        yield made


@pytest.fixture(scope="module")
def results(world: World) -> dict[str, dict[str, Any]]:
    return {name: found.as_dict() for name, found in run_short(world).items()}


@pytest.mark.parametrize("promise", PROMISES)
def test_promise(world: World, results: dict[str, dict[str, Any]], promise: str) -> None:
    found = [target for target in targets(results) if target["name"] == promise]
    if not found and promise in NEED_TRAPS and not world.installation.has_traps:
        pytest.skip("what would break it needs the local engine's traps")
    (target,) = found
    assert target["met"], "\n".join([str(target), *(line for found in results.values() for line in found["broken"])])


def test_faults_came(world: World, results: dict[str, dict[str, Any]]) -> None:
    """Else all the rest says nothing."""
    assert len(world.installation.upstream.met) >= 15
    if not world.installation.has_traps:
        return
    came, stayed_away = (sum(found[what] for found in results.values()) for what in ("runs_broken", "not_met"))
    assert came > 30 and stayed_away < came / 4, [found["unmet"] for found in results.values()]
