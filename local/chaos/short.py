"""The short form: a little of everything at once in one installation, in less than two minutes."""

import signal
import time

from local.chaos import database_scenarios, gateway_scenarios, load_scenarios, sending_scenarios, step_scenarios
from local.chaos.findings import Findings
from local.chaos.run import say
from local.chaos.scenario import Run, Size
from local.chaos.step_scenarios import Point, case_at, points
from local.chaos.world import World

#: Where a cancelled flow leaves a lease: these take longest, so they begin first.
CANCELLED: list[Point] = [
    ("plain", "load_context", "before commit 1"),
    ("plain", "load_context", "after commit 2"),
    ("plain", "generate_reply", "after POST completions 1"),
    ("plain", "send_reply", "after commit 2"),
]


#: Conversations at once on a real Windmill, where a reply and its statuses take a worker some seconds.
AT_ONCE_ON_WINDMILL = 3


def run_short(world: World) -> dict[str, Findings]:
    """What the scenarios of all waves have found."""
    run = Run(world, Size(conversations=100, short=True), lambda line: say("short", line))
    return with_traps(run) if world.installation.has_traps else on_windmill(run)


def on_windmill(run: Run) -> dict[str, Findings]:
    """All that does nothing to Windmill's server, its workers and the processes of steps."""
    installation = run.world.installation

    def restart_database() -> None:
        for how in (signal.SIGQUIT, signal.SIGINT):
            time.sleep(20)
            installation.stop_database(installation.platform, how)
            installation.start_database(installation.platform)

    bursts = load_scenarios.burst_cases(run, 6) + gateway_scenarios.reordered_cases(run)
    found = {"bursts_of_five": run.wave(bursts, at_once=1)}
    cases = gateway_scenarios.troubled_cases(run) + gateway_scenarios.gateway_killed_cases(run)
    found["gateway_and_engine_disagree"] = run.wave(cases, at_once=AT_ONCE_ON_WINDMILL)
    found["duplicates"] = run.wave(load_scenarios.duplicate_cases(run, 6), at_once=AT_ONCE_ON_WINDMILL)
    cases = sending_scenarios.sending_cases(run)[::2] + sending_scenarios.model_cases(run)[::2]
    found["database_restarts"] = run.wave(cases, at_once=AT_ONCE_ON_WINDMILL, meanwhile=restart_database)
    return found


def with_traps(run: Run) -> dict[str, Findings]:
    world = run.world
    found: dict[str, Findings] = {}

    def everything_else() -> None:
        places = [place for place in points(run) if any(word in place[2] for word in step_scenarios.COMMITS)]
        kills = [case_at(run, place, "kill") for place in places]
        cases = kills[:: 2 if len(kills) > 50 else 1] + step_scenarios.twin_cases(run)
        cases += step_scenarios.gap_cases(run, places)[::3] + database_scenarios.refused_cases(run, places)[::6]
        cases += gateway_scenarios.troubled_cases(run) + gateway_scenarios.gateway_killed_cases(run)
        cases += sending_scenarios.sending_cases(run)[::2] + sending_scenarios.model_cases(run)[::2]
        cases += load_scenarios.duplicate_cases(run, 4)

        def break_services() -> None:
            installation = world.installation
            for cluster, how in (
                (installation.platform, signal.SIGQUIT),
                (installation.engine_cluster, signal.SIGINT),
            ):
                time.sleep(6)
                installation.stop_database(cluster, how)
                installation.start_database(cluster)
            installation.restart("engine")

        found["everything else"] = run.wave(cases, at_once=100, meanwhile=break_services)

    # What makes one turn of several messages is promised while the database answers.
    bursts = load_scenarios.burst_cases(run, 6) + gateway_scenarios.reordered_cases(run)
    found["bursts"] = run.wave(bursts, at_once=len(bursts))
    cancelled = [case_at(run, place, "cancel") for place in CANCELLED]
    found["cancelled"] = run.wave(cancelled, at_once=len(cancelled), meanwhile=everything_else)
    return found
