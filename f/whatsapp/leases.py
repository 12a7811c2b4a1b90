# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""One run at a time works on a conversation.

The lease is a row with a fencing number: every write of a turn checks the number, so a run
that was paused past its lease cannot write over the one that took over. Never an advisory
lock (steps are separate processes) and never time alone.
"""

from dataclasses import asdict, dataclass
from typing import Any

from f.lib.database import Connection
from f.whatsapp import turn_queries


class LeaseLost(Exception):
    """Another run took this conversation over; this one must not write any more."""


@dataclass(frozen=True)
class Turn:
    """What a step needs to go on with a turn: ids only, since Windmill stores what steps return."""

    organization_id: str
    conversation_id: str
    turn_id: str
    fence: int

    @classmethod
    def of(cls, value: dict[str, Any]) -> "Turn":
        return cls(value["organization_id"], value["conversation_id"], value["turn_id"], int(value["fence"]))

    @property
    def parameters(self) -> dict[str, Any]:
        return asdict(self)


def take_lease(connection: Connection, organization_id: str, conversation_id: str, job_id: str) -> Turn | None:
    """Lease the conversation to flow run `job_id` and open (or take over) its turn.

    None when another run has the lease or nothing waits for an answer. A repeated call of the
    same run gets the same fence.
    """
    keys = {"organization_id": organization_id, "conversation_id": conversation_id}
    lease = connection.execute(turn_queries.TAKE_LEASE, {**keys, "job_id": job_id}).fetchone()
    if lease is None:
        return None
    turn = connection.execute(turn_queries.OPEN_TURN, {**keys, "fence": lease["lease_fence"]}).fetchone()
    assert turn is not None
    return Turn(organization_id, conversation_id, str(turn["id"]), lease["lease_fence"])


def release_lease(connection: Connection, turn: Turn, wait_seconds: float | None = None) -> None:
    """Let the conversation go; with `wait_seconds`, nobody takes it up before."""
    connection.execute(turn_queries.RELEASE_LEASE, {**turn.parameters, "wait_seconds": wait_seconds})


def hold_lease(connection: Connection, turn: Turn) -> dict[str, Any]:
    """Renew the lease, lock the conversation for this transaction and return its row, or raise LeaseLost.

    `is_handed_over` in it: a person answers, and it is not this turn that called for one.
    """
    row = connection.execute(turn_queries.RENEW_LEASE, turn.parameters).fetchone()
    if row is None:
        raise LeaseLost(turn.conversation_id)
    return row
