"""Failures on order: what the next sends of a business run into, so that tests can see what it makes of them."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from local.simulator.rules import MESSAGES

#: kind of fault: what happens to a send. Nothing is shown to the person unless it says so.
KINDS = {
    "error": "Meta's error body with `code` (and `status`)",
    "html": "a proxy's HTML page with `status` (502)",
    "reset": "the connection is reset before anything is done",
    "lost": "the person gets the message, but the connection is reset instead of answering",
    "delay": "answered as ever, `seconds` late",
    "late": "the person gets the message at once, the answer comes `seconds` late",
    "failed": "answered 200, then a status `failed` with `code` (131026)",
}
CALLS = ("send", "read")


class FaultError(ValueError):
    """A fault that cannot be; the message says why."""


@dataclass
class Fault:
    """For the next `times` calls of one sort (`on`: send, or read for marking as read), of one number and to one person
    (digits of the phone number, or user id) if named, once `skip` of them went well.
    """

    kind: str
    times: int = 1
    on: str = "send"
    phone_number_id: str | None = None
    person: str | None = None
    skip: int = 0
    code: int = 131000
    status: int | None = None
    seconds: float = 0
    #: False: no status ever tells what became of the message.
    statuses: bool = True


class Faults:
    """Taken in the order in which they were ordered. Forgotten when the simulator ends."""

    def __init__(self) -> None:
        self._waiting: deque[Fault] = deque()

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def waiting(self) -> list[dict[str, Any]]:
        return [vars(fault) for fault in self._waiting]

    def take(self, on: str, phone_number_id: str, person: str | None = None) -> Fault | None:
        """The fault that this call meets, counted as met."""
        for fault in self._waiting:
            if fault.on == on and fault.phone_number_id in (None, phone_number_id) and fault.person in (None, person):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.times == 0:
                    self._waiting.remove(fault)
                return fault
        return None


def parse_fault(values: dict[str, Any]) -> Fault:
    """Raises FaultError."""
    types: dict[str, type | tuple[type, ...]] = {
        "kind": str, "times": int, "on": str, "phone_number_id": str, "person": str, "skip": int, "code": int,
        "status": int, "seconds": (int, float), "statuses": bool,
    }  # fmt: skip
    for name, value in values.items():
        if name not in types:
            raise FaultError(f"unknown field {name}: there are {', '.join(types)}")
        if not isinstance(value, types[name]) or (isinstance(value, bool) and name != "statuses"):
            raise FaultError(f"{name} is of the wrong type")
    if values.get("kind") not in KINDS:
        raise FaultError(f"kind must be one of {', '.join(KINDS)}")
    defaults = {"failed": {"code": 131026}, "html": {"status": 502}}.get(values["kind"], {})
    fault = Fault(**(defaults | values))
    if fault.times < 1 or fault.skip < 0 or fault.on not in CALLS or not 0 <= fault.seconds <= 120:
        raise FaultError("times must be at least 1, skip at least 0, on send or read, seconds between 0 and 120")
    if fault.status is not None and not 400 <= fault.status <= 599:
        raise FaultError("status must be between 400 and 599")
    if fault.kind in ("error", "failed") and "code" in values and fault.code not in MESSAGES:
        raise FaultError(f"code must be one of {', '.join(map(str, MESSAGES))}")
    return fault
