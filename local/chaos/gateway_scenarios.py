"""The gateway and its engine fail; Meta delivers again, and not always in the same words."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

from local.chaos.findings import Findings
from local.chaos.scenario import Run, scenario
from local.chaos.world import Case, Message, seconds_apart

DAY = 24 * 3600


def troubled_cases(run: Run) -> list[Case]:
    """A few conversations for each kind of trouble between Meta, gateway and engine."""
    world, few = run.world, run.size.share(1 / 300)

    def with_orders(*acts: str) -> list[Case]:
        def act(case: Case) -> None:
            message = world.compose(case)
            world.installation.upstream.order(message.wamid, *acts)
            world.deliver(case, [message])

        return [world.case(f"the engine: {', '.join(acts)}", act) for _ in range(few)]

    def three(case: Case) -> list[Message]:
        """A second apart: Meta's times have no fractions, so that more is not known of their order."""
        return [world.compose(case, ago=3 - n) for n in range(3)]

    def second_of_three(case: Case) -> None:
        messages = three(case)
        world.installation.upstream.order(messages[1].wamid, "500", "500", "500")
        world.deliver(case, messages)

    def split_differently(case: Case) -> None:
        messages = three(case)
        world.installation.upstream.order(messages[1].wamid, "400", "refuse")
        if world.post(world.body(case, messages)) == 200:
            world.accepted(messages)
        world.deliver(case, messages[:1])
        world.deliver(case, messages[1:])
        world.deliver(case, [messages[2], messages[0]])

    def twenty_at_once(case: Case) -> None:
        message = world.compose(case)
        body = world.body(case, [message])
        with ThreadPoolExecutor(20) as threads:
            statuses = list(threads.map(lambda _: world.post(body), range(20)))
        if 200 in statuses:
            world.accepted([message])
        world.deliver(case, [message])

    def old(case: Case) -> None:
        world.deliver(case, [world.compose(case, ago=6 * DAY)])
        world.deliver(case, case.messages)

    twice = [("500", "500"), ("400", "400"), ("slow", "slow"), ("lost", "lost"), ("refuse", "refuse"), ("lost", "500")]
    cases = [case for acts in twice for case in with_orders(*acts)]
    acts = {
        "second of three not queued": second_of_three,
        "split differently on retry": split_differently,
        "twenty at once": twenty_at_once,
        "six days old": old,
    }
    return cases + [world.case(name, act) for name, act in acts.items() for _ in range(few)]


def reordered_cases(run: Run) -> list[Case]:
    world = run.world

    def reordered(case: Case) -> None:
        messages = [world.compose(case, ago=30 - n) for n in range(4)]
        for message in reversed(messages):
            world.deliver(case, [message])
        # What comes after its successor has been answered cannot be answered before it.
        case.burst = case.ordered = seconds_apart(messages) < 1

    return [world.case("reordered", reordered) for _ in range(run.size.share(1 / 300))]


@scenario()
def gateway_and_engine_disagree(run: Run) -> Findings:
    """What the gateway answered with 200 is answered once, in order: the engine is slow, down, or answers 400 and 500
    for its own reasons, answers get lost, one of three messages is not queued, deliveries are split anew, repeated
    twenty times at once, six days old, reordered."""
    return run.wave(troubled_cases(run) + reordered_cases(run))


def gateway_killed_cases(run: Run) -> list[Case]:
    world = run.world

    def killed(*acts: str) -> Case:
        def act(case: Case) -> None:
            messages = [world.compose(case) for _ in range(2)]
            world.installation.upstream.order(messages[1].wamid, *acts)
            world.deliver(case, messages)

        return world.case(f"gateway killed {acts[0]} queueing", act)

    return [killed(act) for act in ("before", "after") for _ in range(max(1, min(20, run.size.share(1 / 300))))]


@scenario()
def gateway_killed(run: Run) -> Findings:
    """The gateway killed before and after it has queued a message: Meta's repetition finds what is queued."""
    return run.wave(gateway_killed_cases(run))


def restarts(run: Run, name: str, number: signal.Signals, times: int, pause: float, away: float = 0.0) -> None:
    """End a service again and again."""
    for _ in range(times):
        time.sleep(pause)
        run.say(f"{name}: {number.name}")
        run.world.installation.kill(name, number)
        time.sleep(away)
        run.world.installation.start(name)


@scenario()
def gateway_stopped_under_load(run: Run) -> Findings:
    """SIGTERM under load: no delivery that was answered with 200 is lost, all others come again."""
    cases = [run.world.case("SIGTERM under load") for _ in range(run.size.share(1 / 20, 20))]
    times = max(2, min(10, run.size.share(1 / 100)))
    return run.wave(cases, meanwhile=lambda: restarts(run, "gateway", signal.SIGTERM, times, 1.5))


@scenario()
def engine_killed_under_load(run: Run) -> Findings:
    """The engine, its API and all its processes killed and away for seconds: what it had taken goes on."""
    cases = [run.world.case("engine killed") for _ in range(run.size.share(1 / 20, 20))]
    times = 1 if run.size.short else max(2, min(20, run.size.share(1 / 100)))

    return run.wave(cases, meanwhile=lambda: restarts(run, "engine", signal.SIGKILL, times, 4, away=2))
