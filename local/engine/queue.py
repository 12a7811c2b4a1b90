"""Jobs that are due, in the order of their times. What is in it can be read from the database again."""

import heapq
import time
from dataclasses import dataclass, field
from threading import Condition
from uuid import UUID

#: Seconds after which a worker looks anew.
LONGEST_WAIT = 3600.0


@dataclass(order=True, frozen=True)
class Due:
    moment: float
    number: int
    job_id: UUID = field(compare=False)
    is_flow: bool = field(compare=False)


class Queue:
    """Hands each job to one of the threads that wait for it, once its time has come."""

    def __init__(self) -> None:
        self._heap: list[Due] = []
        self._changed = Condition()
        self._number = 0
        self._closed = False

    def put(self, job_id: UUID, *, is_flow: bool, moment: float | None = None) -> None:
        """Add a job; `moment` is seconds since 1970, None for now."""
        with self._changed:
            self._number += 1
            heapq.heappush(self._heap, Due(time.time() if moment is None else moment, self._number, job_id, is_flow))
            self._changed.notify()

    def take(self) -> Due | None:
        """The next job that is due; waits for it. None once the queue is closed."""
        with self._changed:
            while not self._closed:
                left = self._heap[0].moment - time.time() if self._heap else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._heap)
                # A wait of centuries is more than a lock can count.
                self._changed.wait(None if left is None else min(left, LONGEST_WAIT))
            return None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._heap)
