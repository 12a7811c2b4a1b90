"""Queue runs at Windmill, and say of each what became of it."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

import aiohttp

from gateway.config import Config
from gateway.metrics import Metrics
from gateway.split import Run, by_lane

#: Lanes of one delivery that are queued side by side; connections of all deliveries together.
LANES_PER_DELIVERY = 32
CONNECTIONS = 128

#: Seconds for one call. Two of them and the pause fit into the time that the app has for an answer.
CALL_SECONDS = 1.2
PAUSE_SECONDS = 0.05
VERSION_SECONDS = 1.0

#: How long and of how many runs a slow delivery's progress is remembered.
PROGRESS_SECONDS = 300.0
PROGRESS_RUNS = 20_000


class Outcome(StrEnum):
    QUEUED = "queued"
    ALREADY_QUEUED = "already_queued"
    FAILED = "failed"


@dataclass
class Submission:
    """What became of each run of a delivery."""

    runs: Sequence[Run]
    outcomes: dict[UUID, Outcome] = field(default_factory=dict)
    #: Calls that did not queue their run, by status or by the exception's name.
    failed_calls: Counter[str] = field(default_factory=Counter)

    def of(self, outcome: Outcome) -> list[UUID]:
        """The jobs with this outcome; those that were not reached have failed."""
        return [run.job_id for run in self.runs if self.outcomes.get(run.job_id, Outcome.FAILED) == outcome]


class Windmill:
    """Windmill's API, as far as the gateway needs it, over one session."""

    def __init__(self, session: aiohttp.ClientSession, config: Config, metrics: Metrics) -> None:
        self._session = session
        self._api = f"{config.windmill_url}/api"
        self._jobs = f"{self._api}/w/{config.windmill_workspace}/jobs/run"
        self._headers = {"authorization": f"Bearer {config.windmill_token}", "content-type": "application/json"}
        self._metrics = metrics
        self._progress = Progress()
        self._reachable = (0.0, False)
        self._asking = asyncio.Lock()

    async def submit(self, runs: Sequence[Run], deadline: float) -> Submission:
        """Queue `runs` until the event loop's time `deadline`. Never raises: what failed has that outcome.

        One that fails does not hold up the next of its lane: the database puts messages in order,
        and a run that is refused again and again must not keep a person's later messages out.
        """
        submission = Submission(runs)
        known = self._progress.known(runs)
        submission.outcomes.update(dict.fromkeys(known, Outcome.ALREADY_QUEUED))
        lanes = deque(by_lane([run for run in runs if run.job_id not in known]))

        async def work() -> None:
            while lanes:
                for run in lanes.popleft():
                    submission.outcomes[run.job_id] = await self._queue(run, submission.failed_calls)

        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline), asyncio.TaskGroup() as group:
                for _ in range(min(LANES_PER_DELIVERY, len(lanes))):
                    group.create_task(work())
        if not submission.of(Outcome.FAILED):
            self._progress.forget(known)
        elif not submission.failed_calls:
            self._progress.remember(submission.outcomes)
        for run in runs:
            self._metrics.runs.labels(run.kind, submission.outcomes.get(run.job_id, Outcome.FAILED)).inc()
        return submission

    async def reachable(self) -> bool:
        """Whether Windmill answers. Asked at most once a second."""
        async with self._asking:
            asked_at, reachable = self._reachable
            if time.monotonic() - asked_at >= 1:
                reachable = await self._answers()
                self._reachable = (time.monotonic(), reachable)
            return reachable

    async def _queue(self, run: Run, failed_calls: Counter[str]) -> Outcome:
        """Call once, and once more unless the answer says exactly that the run is queued."""
        outcome = await self._call(run, failed_calls)
        if outcome == Outcome.FAILED:
            await asyncio.sleep(PAUSE_SECONDS)
            outcome = await self._call(run, failed_calls)
        return outcome

    async def _call(self, run: Run, failed_calls: Counter[str]) -> Outcome:
        started = time.perf_counter()
        try:
            async with self._session.post(
                f"{self._jobs}/{run.path}",
                params={"job_id": str(run.job_id)},
                data=run.arguments(),
                headers=self._headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failed_calls[type(error).__name__] += 1
            return Outcome.FAILED
        finally:
            self._metrics.upstream_seconds.observe(time.perf_counter() - started)
        if response.status == 201:
            return Outcome.QUEUED
        if response.status == 400 and f"Job with id {run.job_id} already exists".encode() in answer:
            return Outcome.ALREADY_QUEUED
        failed_calls[f"status {response.status}"] += 1
        return Outcome.FAILED

    async def _answers(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=VERSION_SECONDS)
        try:
            async with self._session.get(f"{self._api}/version", timeout=timeout, allow_redirects=False) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


class Progress:
    """Runs that were queued for deliveries too large for the time there is for an answer.

    Without it a repetition would spend its whole time on the runs that the first attempt queued
    and never come to the end. Only of deliveries without any failed call, only until one is
    answered 200, and only for minutes: otherwise Windmill is asked about every run again.
    """

    def __init__(self) -> None:
        self._until: dict[UUID, float] = {}

    def known(self, runs: Sequence[Run]) -> set[UUID]:
        now = time.monotonic()
        return {run.job_id for run in runs if self._until.get(run.job_id, 0) > now}

    def remember(self, job_ids: Iterable[UUID]) -> None:
        now = time.monotonic()
        self._until = {job_id: until for job_id, until in self._until.items() if until > now}
        self._until.update(dict.fromkeys(job_ids, now + PROGRESS_SECONDS))
        for job_id in list(self._until)[: max(0, len(self._until) - PROGRESS_RUNS)]:
            del self._until[job_id]

    def forget(self, job_ids: Iterable[UUID]) -> None:
        for job_id in job_ids:
            self._until.pop(job_id, None)


def open_session() -> aiohttp.ClientSession:
    """The session that every call shares. Call it inside the event loop."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )
