"""WhatsApp and the models fail in every way that is known of them."""

from typing import Any

from local.chaos.findings import Findings
from local.chaos.scenario import Run, scenario
from local.chaos.world import Case

ANSWERED = frozenset({"answered", "merged"})
FAILED = frozenset({"failed"})


def sending_cases(run: Run) -> list[Case]:
    """A few conversations for each failure of WhatsApp's."""
    world, few = run.world, run.size.share(1 / 300)

    def failing(name: str, kind: str, *, words: str = "hello", ends: frozenset[str] = ANSWERED, **fault: Any) -> Any:
        statuses = fault.get("statuses", True)

        def act(case: Case) -> None:
            world.whatsapp_fails(case, kind, **fault)
            world.write(case, words)

        return [world.case(name, act, ends=ends, statuses=statuses) for _ in range(few)]

    def unknown_status(case: Case) -> None:
        world.write(case)
        status = {"id": "wamid.nobody", "status": "delivered", "timestamp": "1790000000", "recipient_id": case.person}
        world.post(world.statuses(case, status, {**status, "biz_opaque_callback_data": "nonsense"}))

    return [
        *failing("130429 twice", "error", code=130429, times=2),
        *failing("131056 twice", "error", code=131056, times=2),
        *failing("131047", "error", code=131047, ends=FAILED),
        *failing("HTML 502", "html", status=502),
        *failing("HTML 503 twice", "html", status=503, times=2),
        *failing("reset before anything", "reset"),
        *failing("the answer lost", "lost"),
        *failing("the answer lost, no status", "lost", statuses=False),
        *failing("the status before our commit", "late", seconds=2),
        *failing("accepted, then failed", "failed"),
        *failing("slow", "delay", seconds=3),
        *failing("the second part refused", "error", words="!long", code=131000, times=2, skip=1),
        *failing("the second part lost", "lost", words="!long", skip=1),
        *failing("the second part fails for good", "error", words="!long", code=131047, skip=1, ends=FAILED),
        *[world.case("a status for an unknown message", unknown_status) for _ in range(few)],
    ]


@scenario()
def whatsapp_fails(run: Run) -> Findings:
    """Rate limits, closed windows, dead tokens, HTML, resets, lost answers, early and unknown statuses, a second part
    that fails: nothing is sent twice; what may have gone out is `uncertain`, with an alert, until a status settles
    it."""
    return run.wave(sending_cases(run))


@scenario()
def number_refused(run: Run) -> Findings:
    """The token of a number is refused (190): the number is held, nothing is sent twice, and all that waits is answered
    once a probe gets through."""
    world = run.world

    def write(case: Case) -> None:
        world.whatsapp_fails(case, "error", code=190)
        world.write(case)

    return run.wave([world.case("190", write) for _ in range(2)] + [world.case("beside 190") for _ in range(6)])


def model_cases(run: Run) -> list[Case]:
    """A few conversations for each failure of a model's."""
    world, few = run.world, run.size.share(1 / 300)
    passing = ["busy2", "empty1", "broken2", "reset1", "cut1", "page1", "tool1", "tool2", "invalid1"]
    lasting = ["broken", "empty", "invalid", "tool"] + ([] if run.size.short else ["hang"])

    def case_of(words: str, *, fallback: bool) -> Case:
        return world.case(f"the model: {words}", lambda case: world.write(case, f"!{words}"), fallback=fallback)

    sorts = [(words, False) for words in passing] + [(words, True) for words in lasting]
    # One of each after the other: models that hang all at once would take every worker.
    return [case_of(words, fallback=fallback) for _ in range(few) for words, fallback in sorts]


@scenario()
def model_fails(run: Run) -> Findings:
    """Timeouts, 429, empty answers, unknown tools, invalid and endless calls: the reply, or the fallback text."""
    return run.wave(model_cases(run))
