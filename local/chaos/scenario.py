"""What a scenario is, and the list of them: functions whose docstring is the promise that they try."""

from collections.abc import Callable
from dataclasses import dataclass, field

from local.chaos.findings import Findings, examine
from local.chaos.world import Case, World

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Size:
    """How much is done: `conversations` under load, and everything else in proportion. `short`: for `./dev test`."""

    conversations: int = 10_000
    hours: float = 0.0
    short: bool = False

    def share(self, part: float, least: int = 1) -> int:
        """That share of the conversations."""
        return max(least, round(self.conversations * part))

    @property
    def each(self) -> int:
        """Times that each point is tried: 20 with 10,000 conversations."""
        return min(20, self.share(1 / 500))


@dataclass
class Rounds:
    """How far a scenario of several rounds has come, and what these have found."""

    done: int = 0
    found: Findings = field(default_factory=Findings)
    #: Remembers it, so that a run that is interrupted goes on after the last whole round.
    keep: Callable[["Rounds"], None] = lambda rounds: None


@dataclass
class Run:
    """A scenario's run: what it works with."""

    world: World
    size: Size
    say: Progress
    rounds: Rounds = field(default_factory=Rounds)

    def wave(
        self,
        cases: list[Case],
        *,
        at_once: int = 64,
        meanwhile: Callable[[], None] = lambda: None,
        rest: bool = True,
    ) -> Findings:
        """Run the cases and look at what became of them. `meanwhile` runs beside them."""
        every = max(5, len(cases) // 10)

        def progress(done: int) -> None:
            if done % every == 0 or done == len(cases):
                self.say(f"{done} of {len(cases)} conversations")

        self.world.wave(cases, at_once=at_once, meanwhile=meanwhile, rest=rest, progress=progress)
        return examine(self.world, cases)

    def in_rounds(self, number: int, cases_of: Callable[[int], list[Case]], *, at_once: int = 64) -> Findings:
        """Run `number` waves of cases, one after the other; those of an earlier run that was interrupted count."""
        for nth in range(self.rounds.done, number):
            self.say(f"round {nth + 1} of {number}")
            self.rounds.found.add(self.wave(cases_of(nth), at_once=at_once))
            self.rounds.done = nth + 1
            self.rounds.keep(self.rounds)
        return self.rounds.found


@dataclass(frozen=True)
class Scenario:
    name: str
    promise: str
    run: Callable[[Run], Findings]
    #: A fresh process for each job, as Windmill has it.
    fresh: bool = False
    #: Has an installation of its own, which it may ruin.
    alone: bool = False


SCENARIOS: dict[str, Scenario] = {}


def scenario(*, fresh: bool = False, alone: bool = False) -> Callable[[Callable[[Run], Findings]], Scenario]:
    """Adds a function to SCENARIOS under its own name."""

    def add(function: Callable[[Run], Findings]) -> Scenario:
        promise = " ".join((function.__doc__ or "").split())
        SCENARIOS[function.__name__] = Scenario(function.__name__, promise, function, fresh, alone)
        return SCENARIOS[function.__name__]

    return add
