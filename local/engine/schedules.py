"""Starts what is scheduled. A slot that passed while the engine was away is not made up for."""

import logging
from datetime import UTC, datetime
from threading import Event, Thread
from uuid import UUID, uuid5

from cronsim import CronSim

from local.engine import queries
from local.engine.access import ADMIN
from local.engine.engine import Engine, JobExists
from local.engine.store import Unavailable
from local.engine.workspace import Schedule

log = logging.getLogger("engine")

#: Of the ids of scheduled runs: the same slot has the same id, so it runs once.
NAMESPACE = UUID("b5a1f5d0-6a53-4c0c-8f3e-3b7f2b6f7c11")


class Schedules:
    """One thread that waits for the next slot of any schedule."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._schedules = [s for s in engine.workspace.schedules.values() if s.enabled]
        self._stop = Event()
        self._thread = Thread(target=self._run, name="schedules", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        slots = {schedule.path: next_slot(schedule, datetime.now(UTC)) for schedule in self._schedules}
        while self._schedules and not self._stop.is_set():
            schedule = min(self._schedules, key=lambda item: slots[item.path])
            if self._stop.wait(max(0.0, (slots[schedule.path] - datetime.now(UTC)).total_seconds())):
                return
            self._start(schedule, slots[schedule.path])
            slots[schedule.path] = next_slot(schedule, max(slots[schedule.path], datetime.now(UTC)))

    def _start(self, schedule: Schedule, slot: datetime) -> None:
        """Queue the run of `slot`, unless one of the schedule is still under way: Windmill plans a script's next
        run when the last has ended, and a flow's unless its runs may not overlap."""
        try:
            if schedule.no_overlap or not schedule.is_flow:
                row = self._engine.store.run(lambda c: c.execute(queries.SCHEDULE_RUNS, (schedule.path,)).fetchone(), 5)
                if row and row[0]:
                    return
            self._engine.submit(
                schedule.target,
                schedule.args,
                is_flow=schedule.is_flow,
                by=ADMIN,
                job_id=uuid5(NAMESPACE, f"{schedule.path}:{slot.isoformat()}"),
                schedule=schedule.path,
            )
        except JobExists:
            log.info("%s: the run of %s exists", schedule.path, slot)
        except Unavailable as error:
            log.warning("%s: the run of %s is left out: %s", schedule.path, slot, error)


def next_slot(schedule: Schedule, after: datetime) -> datetime:
    """The first slot later than `after`."""
    return next(CronSim(schedule.expression, after.astimezone(schedule.timezone))).astimezone(UTC)
