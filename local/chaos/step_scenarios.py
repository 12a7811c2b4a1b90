"""Processes of steps are killed, stopped, started twice and cancelled at every point where they touch the world."""

import time
from functools import partial
from threading import BoundedSemaphore

from local.chaos.findings import Findings
from local.chaos.scenario import Run, scenario
from local.chaos.world import Case, World

STEPS = ("load_context", "generate_reply", "send_reply")
#: Longer than a lease and the sweep's pause after it.
STOPPED_SECONDS = 95
#: What happens to a flow at most points leaves a lease behind: these are told apart from the rest.
COMMITS = ("commit", "POST")
#: Conversations at once where each job is a process: more would only wait for each other.
AT_ONCE_FRESH = 36
Point = tuple[str, str, str]
#: A model that keeps its answer back keeps a worker: most of them are left for the messages that come meanwhile.
HELD = BoundedSemaphore(3)


def points(run: Run) -> list[Point]:
    """Every point of every step, as (sort of conversation, step, point): found out in a calm run of each sort."""
    world = run.world
    if "points" not in world.known:
        sorts = {sort: world.case("record", partial(write_as, world, sort)) for sort in ("plain", "continued", "tool")}
        # So that the list of tools is there, which only the first turn asks for.
        run.wave([world.case("first") for _ in range(2)], rest=False)
        for case in sorts.values():
            for step in (*STEPS, "store_events"):
                world.plan(case.person, step, "", "record")
        run.wave(list(sorts.values()), rest=False)
        # The last of its statuses may still be on their way.
        world.until(lambda: any(line["step"] == "store_events" for line in world.sprung()), 10)
        found: list[Point] = []
        for sort, case in sorts.items():
            known = {(step, point) for _, step, point in found}
            lines = [(line["step"], line["point"]) for line in world.sprung() if line["person"] == case.person]
            # What is only read, is read when it is needed: not every run passes there.
            found += [(sort, *place) for place in lines if place not in known and " GET " not in place[1]]
        world.known["points"] = found
        run.say(f"{len(found)} points where a step touches the world")
    return list(world.known["points"])


def write_as(world: World, sort: str, case: Case) -> None:
    """plain: one message. tool: one that makes the model call a tool. continued: a second message comes while the model
    is asked, so that its answer is a run that the first one starts."""
    if sort != "continued":
        world.write(case, {"plain": "hello", "tool": "!lead"}[sort])
        return
    with HELD:
        world.write(case, "!held")
        first, echo = case.messages[-1].token, world.installation.echo
        world.until(lambda: any(first in asked.tokens for asked in list(echo.asked)), 60)
        world.write(case)
        world.until(lambda: world.is_stored(case.messages[-1]), 15)
        for message in case.messages:
            echo.let_go(message.token)


def case_at(run: Run, place: Point, act: str, times: int = 1, **more: object) -> Case:
    """A conversation in which `act` happens at the point, in `times` processes that pass it one after the other."""
    world = run.world
    sort, step, point = place

    def write(case: Case) -> None:
        for _ in range(times):
            world.plan(case.person, step, point, act, **more)
        write_as(world, sort, case)

    return world.case(name_of(place, act), write, tool=sort == "tool")


def name_of(place: Point, act: str) -> str:
    return " ".join((act, *place[1:]))


@scenario(fresh=True)
def killed_at_every_point(run: Run) -> Findings:
    """`kill -9` before and after each write and each call outside of each step, in fresh processes: one answer, or
    `uncertain` with an alert, within three minutes."""
    places = points(run)
    found = run.in_rounds(
        run.size.each, lambda _: [case_at(run, place, "kill") for place in places], at_once=AT_ONCE_FRESH
    )
    missed = [place for name in found.unmet for place in places if name == name_of(place, "kill")]
    if missed:
        run.say(f"{len(missed)} kills did not come: once more")
        found.not_met, found.unmet = found.not_met - len(missed), []
        found.add(run.wave([case_at(run, place, "kill") for place in missed], at_once=AT_ONCE_FRESH))
    return found


@scenario(fresh=True)
def killed_again_and_again(run: Run) -> Findings:
    """Each step killed four times in a row at a commit or call, so that the flow's own retry has to begin anew."""
    wanted = [p for p in points(run) if p[0] == "plain" and p[1] in STEPS and any(word in p[2] for word in COMMITS)]
    cases = [case_at(run, place, "kill", times=4) for place in wanted for _ in range(max(1, min(3, run.size.each)))]
    return run.wave(cases, at_once=AT_ONCE_FRESH)


@scenario(fresh=True)
def killed_without_a_status(run: Run) -> Findings:
    """Killed during and after the call that sends, while no status ever tells what became of it: never sent again."""
    world = run.world

    def write(case: Case, place: str) -> None:
        world.whatsapp_fails(case, "late", seconds=1, statuses=False)
        world.plan(case.person, "send_reply", f"{place} POST messages 1", "kill")
        world.write(case)

    def case_of(place: str) -> Case:
        return world.case(f"killed {place} the call, no status", lambda case: write(case, place), statuses=False)

    return run.wave([case_of(place) for place in ("during", "after") for _ in range(run.size.each)])


def twin_cases(run: Run) -> list[Case]:
    return [
        case_at(run, ("plain", step, "at begin 1"), "twin")
        for step in (*STEPS, "store_events")
        for _ in range(max(1, run.size.each))
    ]


@scenario(fresh=True)
def tool_dies_after_its_effect(run: Run) -> Findings:
    """A tool's answer is lost after its effect, and once more when the step asks again: the effect happens once."""
    point = ("tool", "generate_reply", "after POST capture_lead 1")
    cases = [case_at(run, point, "kill", times=2) for _ in range(run.size.each)]
    return run.wave(cases, at_once=AT_ONCE_FRESH)


@scenario()
def started_twice(run: Run) -> Findings:
    """A step started twice at once: one turn, one reply, one row of usage."""
    return run.wave(twin_cases(run))


def stopped_cases(run: Run) -> list[Case]:
    places = [
        ("load_context", "after commit 2"),
        ("generate_reply", "after commit 2"),
        ("generate_reply", "after POST completions 1"),
        ("send_reply", "before commit 2"),
        ("send_reply", "after commit 2"),
        ("send_reply", "after POST messages 1"),
        ("send_reply", "before commit 5"),
    ]
    return [
        case_at(run, ("plain", *place), "stop", seconds=STOPPED_SECONDS)
        for place in places
        for _ in range(max(1, min(5, run.size.each)))
    ]


@scenario()
def stopped_past_its_lease(run: Run) -> Findings:
    """A process stopped (SIGSTOP) past its lease and continued: whoever took over answers, the late one writes
    nothing."""
    # As many workers as there may be stopped processes, and some more for the others.
    return run.wave(stopped_cases(run), at_once=6)


def cancelled_cases(run: Run, places: list[Point]) -> list[Case]:
    wanted = [place for place in places if place[1] in STEPS and any(word in place[2] for word in COMMITS)]
    return [case_at(run, place, "cancel") for place in wanted for _ in range(max(1, min(5, run.size.each)))]


@scenario()
def cancelled_between_steps(run: Run) -> Findings:
    """The flow cancelled at each commit and call, so that whoever held the lease never comes back: the sweep takes it
    up."""
    return run.wave(cancelled_cases(run, points(run)), at_once=200)


@scenario()
def sweep_killed(run: Run) -> Findings:
    """The sweep itself killed before and after it starts a run for what was stranded."""
    world = run.world

    def write(case: Case) -> None:
        world.plan(case.person, "generate_reply", "after commit 1", "cancel")
        world.write(case)

    cases = [world.case("sweep killed", write) for _ in range(run.size.share(1 / 100, 2))]
    for point in ("before update conversations 1", "after commit 1", "before POST webhook_processor 1",
                  "after POST webhook_processor 1"):  # fmt: skip
        world.plan("any", "sweep", point, "kill")
    return run.wave(cases, at_once=200)


def gap_cases(run: Run, places: list[Point]) -> list[Case]:
    world = run.world

    def case_of(place: Point) -> Case:
        _, step, point = place

        def write(case: Case) -> None:
            second = []

            def reached() -> None:
                second.append(world.compose(case))
                world.deliver(case, second)
                world.until(lambda: world.is_stored(second[0]), 1.5)

            world.listener.expect(case.person, reached)
            world.plan(case.person, step, point, "tell", url=world.listener.url)
            world.write(case)
            world.until(lambda: bool(second and second[0].accepted_at), 60)

        return world.case(f"a message in the gap {step} {point}", write)

    wanted = [p for p in places if p[0] == "plain" and p[1] in STEPS and any(word in p[2] for word in COMMITS)]
    return [case_of(place) for place in wanted for _ in range(max(1, min(20, run.size.each)))]


@scenario()
def message_in_each_gap(run: Run) -> Findings:
    """A message that arrives in each gap around lease, model call, sending and release is answered, in its turn."""
    return run.wave(gap_cases(run, points(run)))


@scenario()
def workers_gone(run: Run) -> Findings:
    """All workers gone for minutes while messages are taken: all are answered when they are back."""
    world, installation = run.world, run.world.installation
    cases = [world.case("no workers") for _ in range(run.size.share(1 / 30, 5))]
    away = 5 if run.size.short else min(180, run.size.share(1 / 5, 30))
    before = installation.workers
    # One is left, and it is busy with a process that does not move.
    installation.workers = 1
    installation.restart("engine")
    world.plan("any", "sweep", "at begin 1", "stop", seconds=away + 60)
    if not world.until(lambda: any(line["step"] == "sweep" for line in world.sprung()), 60):
        raise TimeoutError("the sweep was not stopped")

    def come_back() -> None:
        time.sleep(away)
        installation.workers = before
        installation.restart("engine")
        for case in cases:
            case.trouble_ended_at = time.time()

    return run.wave(cases, at_once=len(cases), meanwhile=come_back)
