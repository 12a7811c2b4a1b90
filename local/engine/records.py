"""How jobs look in the API: Windmill's field names."""

from typing import Any

from local.engine.jobs import Job


def record(job: Job, workspace: str) -> dict[str, Any]:
    """A job as `jobs_u/get` shows it, finished or not."""
    shown: dict[str, Any] = {
        "id": str(job.id),
        "workspace_id": workspace,
        "type": "CompletedJob" if job.state == "done" else "QueuedJob",
        "parent_job": str(job.parent_id) if job.parent_id else None,
        "created_by": job.created_by,
        "permissioned_as": f"u/{job.created_by}",
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "scheduled_for": _time(job.scheduled_for),
        "script_path": job.path,
        "args": job.args,
        "canceled": job.canceled_by is not None,
        "canceled_by": job.canceled_by,
        "canceled_reason": job.canceled_reason,
        "job_kind": job.kind,
        "schedule_path": job.schedule_path,
        "is_flow_step": job.is_step,
        "flow_step_id": job.step_id,
        "language": "python3" if job.kind in ("script", "flowscript") else None,
        "flow_status": job.status,
        "raw_flow": job.flow,
        "email": f"{job.created_by}@localhost",
        "logs": job.logs,
        "tag": "flow" if job.is_flow else "python3",
    }
    optional = {name for name, value in shown.items() if value is None} - {"started_at"}
    shown = {name: value for name, value in shown.items() if name not in optional}
    if job.state == "done":
        return shown | _ended(job)
    waits = [state["suspend"] for state in (job.status or {}).get("modules", []) if "suspend" in state]
    return shown | {"running": job.state != "queued", "suspend": waits[-1] if job.state == "suspended" else 0}


def _ended(job: Job) -> dict[str, Any]:
    duration = (job.completed_at - job.started_at).total_seconds() if job.completed_at and job.started_at else 0
    return {
        "success": bool(job.success),
        "is_skipped": job.skipped,
        "result": job.result,
        "result_columns": None,
        "completed_at": _time(job.completed_at),
        "duration_ms": round(duration * 1000),
        "deleted": False,
    }


def _time(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
