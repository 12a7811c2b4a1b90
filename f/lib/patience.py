# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Calls that are waited for only so long, whatever they hang on. Pure."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


class OutOfTime(Exception):
    """What was waited for is not done."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns or raises; OutOfTime once `seconds` are over.

    A timeout of a socket begins anew with every byte, so a server that drips has no end, and looking up a name has no
    timeout at all. The thread is left behind: a job's process ends soon.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, daemon=True, name="waited for").start()
    if not wait([done], seconds).done:
        raise OutOfTime(f"no answer within {seconds:.3g} s")
    return done.result()
