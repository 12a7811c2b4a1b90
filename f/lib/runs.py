# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Runs of Windmill, started and read over its API. `client` is a `wmill.Windmill`."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx

MESSAGE_FLOW = "f/whatsapp/webhook_processor"
EVENTS_SCRIPT = "f/whatsapp/store_events"


def start_flow(client: Any, path: str, arguments: dict[str, Any], job_id: UUID) -> bool:
    """Queue a run of the flow `path` under `job_id`; False when that id is known already.

    Raises httpx.HTTPStatusError for any other refusal.
    """
    return _start(client, f"f/{path}", arguments, job_id)


def start_script(client: Any, path: str, arguments: dict[str, Any], job_id: UUID) -> bool:
    """Queue a run of the script `path`, as `start_flow` does."""
    return _start(client, f"p/{path}", arguments, job_id)


def _start(client: Any, target: str, arguments: dict[str, Any], job_id: UUID) -> bool:
    response = client.client.post(
        f"/w/{client.workspace}/jobs/run/{target}", params={"job_id": str(job_id)}, json=arguments
    )
    if response.status_code == httpx.codes.BAD_REQUEST and f"Job with id {job_id} already exists" in response.text:
        return False
    response.raise_for_status()
    return True


def failed_runs(
    client: Any, path: str, since: str, page_size: int = 100, most_pages: int = 100
) -> Iterator[list[dict[str, Any]]]:
    """Pages of unsuccessful runs of the flow or script `path`, created after `since` (ISO time), newest first."""
    for page in range(1, most_pages + 1):
        rows = client.get(
            f"/w/{client.workspace}/jobs/completed/list",
            params={
                "script_path_exact": path,
                "success": "false",
                "created_after": since,
                "order_desc": "true",
                "per_page": page_size,
                "page": page,
            },
        ).json()
        if rows:
            yield rows
        if len(rows) < page_size:
            return


def has_failed_before(client: Any, flow_job_id: str) -> bool:
    """Whether the step that the flow's run is at is repeated; also when Windmill does not say."""
    try:
        answer = client.client.get(f"/w/{client.workspace}/jobs_u/get/{flow_job_id}")
        run = answer.raise_for_status().json()
    except httpx.HTTPError:
        return True
    retry = (run.get("flow_status") or {}).get("retry") or {}
    return bool(retry.get("fail_count"))


def arguments_of(client: Any, job_id: str) -> dict[str, Any]:
    """The arguments that a run was started with."""
    return client.get(f"/w/{client.workspace}/jobs_u/get/{job_id}").json().get("args") or {}


def success_of(client: Any, job_id: UUID | str) -> bool | None:
    """Whether a run has succeeded; None while it has not ended, or when nobody knows it."""
    response = client.client.get(f"/w/{client.workspace}/jobs_u/completed/get_result_maybe/{job_id}")
    if response.status_code == httpx.codes.NOT_FOUND:
        return None
    response.raise_for_status()
    return response.json().get("success")
