"""Many people at once, with a little of every fault."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from local.chaos.findings import Findings
from local.chaos.scenario import Run, scenario
from local.chaos.step_scenarios import STEPS, points
from local.chaos.world import Case, seconds_apart


def burst_cases(run: Run, number: int) -> list[Case]:
    world = run.world

    def burst(case: Case) -> None:
        messages = [world.compose(case, ago=0.4 - n / 10) for n in range(5)]
        with ThreadPoolExecutor(5) as threads:
            for _ in threads.map(lambda message: world.deliver(case, [message]), messages):
                pass
        # Where the machine was too slow for that, it was no burst.
        case.burst = seconds_apart(messages) < 1

    return [world.case("burst", burst, one_call_at_a_time=True, side_by_side=True) for _ in range(number)]


@scenario()
def bursts_of_five(run: Run) -> Findings:
    """Five messages within a second: one reply that has seen them all, no overlapping turns."""
    return run.wave(burst_cases(run, run.size.share(1 / 10)), at_once=6)


def duplicate_cases(run: Run, number: int) -> list[Case]:
    world = run.world

    def twice(case: Case) -> None:
        message = world.compose(case)
        for _ in range(random.randint(2, 4)):  # noqa: S311
            world.deliver(case, [message])
            time.sleep(random.choice((0, 0.1, 1, 3)))  # noqa: S311

    return [world.case("duplicate", twice) for _ in range(number)]


@scenario()
def duplicates(run: Run) -> Findings:
    """Deliveries that come two to four times, at once and seconds later: one reply."""
    return run.wave(duplicate_cases(run, run.size.share(1 / 4)))


def mixed_cases(run: Run, number: int, seed: int) -> list[Case]:
    """Conversations of one to four messages, every second of them with some fault, drawn with `seed`."""
    world, places = run.world, [place for place in points(run) if place[0] == "plain"]
    chance = random.Random(seed)  # noqa: S311

    def conversation(messages: int, fault: str) -> Any:
        def act(case: Case) -> None:
            if fault == "kill":
                _, step, point = chance.choice(places)
                world.plan(case.person, step, point, "kill")
            elif fault == "twin":
                world.plan(case.person, chance.choice(STEPS), "at begin 1", "twin")
            elif fault == "whatsapp":
                kind, more = chance.choice((("lost", {}), ("late", {"seconds": 1}), ("error", {"code": 130429})))
                world.whatsapp_fails(case, kind, **more)
            for n in range(messages):
                message = world.compose(case, "!busy1" if fault == "model" and not n else "hello")
                if fault == "engine":
                    world.installation.upstream.order(message.wamid, *chance.choice((("lost", "500"), ("400", "slow"))))
                world.deliver(case, [message])
                if fault == "duplicate":
                    world.deliver(case, [message])
                time.sleep(chance.choice((0.1, 0.5, 3, 6)))

        return act

    faults = ["", "", "", "", "", "", "", "kill", "kill", "twin", "whatsapp", "model", "engine", "duplicate"]
    made = []
    for _ in range(number):
        messages, fault = chance.randint(1, 4), chance.choice(faults)
        made.append(world.case(f"load, {fault or 'calm'}", conversation(messages, fault)))
    return made


@scenario()
def load(run: Run) -> Findings:
    """Many conversations at once, every second one with a fault: every accepted message has one end, in order."""
    began = time.monotonic()
    number, most = run.size.share(1 / 5), 500
    found = run.in_rounds(
        -(-number // most), lambda nth: mixed_cases(run, min(most, number - nth * most), nth), at_once=48
    )
    while time.monotonic() - began < run.size.hours * 3600:
        found.add(run.wave(mixed_cases(run, min(number, most), random.randrange(1 << 30)), at_once=48))  # noqa: S311
    return found
