"""The row of a run, as Python sees it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

#: Stands in a flow's status where no job was needed, such as an empty branch.
NO_JOB = UUID(int=0)

FLOW_KINDS = ("flow", "flownode")


@dataclass
class Job:
    """A row of the table `job`; see schema.sql for what its columns mean."""

    id: UUID
    root_id: UUID
    kind: str
    path: str
    created_by: str
    parent_id: UUID | None = None
    key: str | None = None
    attempt: int = 0
    scope_id: UUID | None = None
    step_id: str | None = None
    args: dict[str, Any] = field(default_factory=dict)
    flow: dict[str, Any] | None = None
    code: dict[str, Any] | None = None
    state: str = "queued"
    scheduled_for: datetime | None = None
    suspend_until: datetime | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    timeout: float | None = None
    preprocess: bool = False
    status: dict[str, Any] | None = None
    items: list[Any] | None = None
    leaf_jobs: dict[str, Any] = field(default_factory=dict)
    success: bool | None = None
    skipped: bool = False
    result: Any = None
    canceled_by: str | None = None
    canceled_reason: str | None = None
    deaths: int = 0
    logs: str = ""
    trigger_kind: str | None = None
    schedule_path: str | None = None
    request: UUID | None = None

    @property
    def is_flow(self) -> bool:
        return self.kind in FLOW_KINDS

    @property
    def is_step(self) -> bool:
        return self.key is not None


@dataclass(frozen=True)
class Ended:
    """A job that is done, for whoever waits for it."""

    job_id: UUID
    success: bool
    result: Any
    skipped: bool = False


def failure(name: str, message: str, **more: Any) -> dict[str, Any]:
    """The result of a job that failed."""
    return {"error": {"name": name, "message": message, **more}}
